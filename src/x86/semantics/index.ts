/** The meaning of every instruction, by mnemonic: all families merged. */
import type { Insn } from '../insn.js';
import type { Definitions } from '../lift.js';
import { definitions as arith } from './arith.js';
import { definitions as bit } from './bit.js';
import { definitions as branch } from './branch.js';
import { definitions as decimal } from './decimal.js';
import { definitions as flag } from './flag.js';
import { definitions as logic } from './logic.js';
import { definitions as move } from './move.js';
import { definitions as multiply } from './multiply.js';
import { definitions as shift } from './shift.js';
import { simdFamilies } from './simd.js';
import { definitions as stack } from './stack.js';
import { definitions as string } from './string.js';
import { definitions as system } from './system.js';
import { definitions as xsave } from './xsave.js';

const families: readonly Definitions[] = [
  arith,
  bit,
  branch,
  decimal,
  flag,
  logic,
  move,
  multiply,
  shift,
  stack,
  string,
  system,
  xsave,
  ...simdFamilies,
];

export const semantics: Definitions = Object.assign({}, ...families);

/** Mnemonics whose every form ends a block. */
export const blockEnders: ReadonlySet<string> = new Set(
  Object.entries(semantics).flatMap(([mnemonic, definition]) => (definition.ends ? [mnemonic] : [])),
);

/**
 * Whether this instruction ends a block: a definition that always does, or MOV and POP to a segment, control or debug
 * register. Known before lifting, when blocks are cut. Conditional branches fall through and are not counted.
 */
export function endsBlock(i: Insn): boolean {
  if (blockEnders.has(i.mnemonic)) return true;
  if (i.mnemonic !== 'mov' && i.mnemonic !== 'pop') return false;
  const dst = i.operands[0];
  return dst?.kind === 'reg' && (dst.file === 'seg' || dst.file === 'cr' || dst.file === 'dr');
}
