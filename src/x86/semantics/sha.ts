/** SHA-1 and SHA-256 rounds. Intel SDM Vol. 1, "Intel SHA Extensions"; FIPS 180-4. */
import type { Definition, Definitions } from '../lift.js';
import * as S from '../state.js';
import { readVector, sse } from './sse-guard.js';
import { vector } from './sse-vector.js';

const two = (routine: string): Definition => vector((b, x, y) => b.call(routine, 'v128', x, y));

const rounds4: Definition = sse((b, i) => {
  const [dst, src, imm] = i.operands;
  const y = readVector(b, src);
  b.write(dst, b.call('sha1_rounds4', 'v128', b.read(dst), y, b.read(imm)));
});

/** The message words with their constants are in XMM0. */
const rounds2: Definition = sse((b, i) => {
  const [dst, src] = i.operands;
  const y = readVector(b, src);
  b.write(dst, b.call('sha256_rounds2', 'v128', b.read(dst), y, b.state(S.XMM, 16)));
});

export const definitions: Definitions = {
  sha1rnds4: rounds4,
  sha1nexte: two('sha1_next_e'),
  sha1msg1: two('sha1_message1'),
  sha1msg2: two('sha1_message2'),
  sha256rnds2: rounds2,
  sha256msg1: two('sha256_message1'),
  sha256msg2: two('sha256_message2'),
};
