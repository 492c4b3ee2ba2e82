/** All families of SSE, MMX, AES, SHA and x87. */
import type { Definitions } from '../lift.js';
import { definitions as aes } from './aes.js';
import { definitions as mmxMove } from './mmx-move.js';
import { definitions as pclmul } from './pclmul.js';
import { definitions as sha } from './sha.js';
import { definitions as compare } from './sse-compare.js';
import { definitions as control } from './sse-control.js';
import { definitions as convert } from './sse-convert.js';
import { definitions as float } from './sse-float.js';
import { definitions as insert } from './sse-insert.js';
import { definitions as integer } from './sse-integer.js';
import { definitions as logic } from './sse-logic.js';
import { definitions as move } from './sse-move.js';
import { definitions as multiply } from './sse-multiply.js';
import { definitions as shift } from './sse-shift.js';
import { definitions as shuffle } from './sse-shuffle.js';
import { definitions as string } from './sse-string.js';
import { definitions as x87Arith } from './x87-arith.js';
import { definitions as x87Control } from './x87-control.js';
import { definitions as x87Load } from './x87-load.js';

export const simdFamilies: readonly Definitions[] = [
  aes,
  mmxMove,
  pclmul,
  sha,
  compare,
  control,
  convert,
  float,
  insert,
  integer,
  logic,
  move,
  multiply,
  shift,
  shuffle,
  string,
  x87Arith,
  x87Control,
  x87Load,
]; // prettier-ignore
