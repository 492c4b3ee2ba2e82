/** PCLMULQDQ: carry-less product of one half of each operand. Intel SDM Vol. 2B, "PCLMULQDQ". */
import type { Definition, Definitions } from '../lift.js';
import { readVector, sse } from './sse-guard.js';

const pclmulqdq: Definition = sse((b, i) => {
  const [dst, src, imm] = i.operands;
  const y = readVector(b, src);
  b.write(dst, b.call('simd_pclmulqdq', 'v128', b.read(dst), y, b.read(imm)));
});

export const definitions: Definitions = { pclmulqdq };
