/**
 * Packed integer arithmetic and comparisons that WebAssembly has as such, for MMX and XMM.
 * Intel SDM Vol. 2B, "PABSB" to "PXOR".
 */
import type { Definition, Definitions } from '../lift.js';
import { enterMmx, isMmx, readMmx, readVector, simd } from './sse-guard.js';
import { packed, packedPair, packedUnary, splat64, vector, vectorUnary, writeInteger } from './sse-vector.js';

const both = (op: string): Definition => packed((b, x, y) => b.binop(op, 'v128', x, y));
const pairs = (op: string): Definition => packedPair((b, x, y) => b.binop(op, 'v128', x, y));
const one = (op: string): Definition => packedUnary((b, x) => b.unary(op, 'v128', x));
const xmmOnly = (op: string): Definition => vector((b, x, y) => b.binop(op, 'v128', x, y));

/** PMOVMSKB: the sign bit of each byte. */
const pmovmskb: Definition = simd((b, i) => {
  const [dst, src] = i.operands;
  if (isMmx(src)) {
    const bits = b.unary('i8x16.bitmask', 'i32', splat64(b, readMmx(b, src)));
    writeInteger(b, dst, b.and(bits, b.i32(0xff)));
    enterMmx(b);
  } else {
    writeInteger(b, dst, b.unary('i8x16.bitmask', 'i32', readVector(b, src)));
  }
});

export const definitions: Definitions = {
  paddb: both('i8x16.add'),
  paddw: both('i16x8.add'),
  paddd: both('i32x4.add'),
  paddq: both('i64x2.add'),
  paddsb: both('i8x16.add_sat_s'),
  paddsw: both('i16x8.add_sat_s'),
  paddusb: both('i8x16.add_sat_u'),
  paddusw: both('i16x8.add_sat_u'),
  psubb: both('i8x16.sub'),
  psubw: both('i16x8.sub'),
  psubd: both('i32x4.sub'),
  psubq: both('i64x2.sub'),
  psubsb: both('i8x16.sub_sat_s'),
  psubsw: both('i16x8.sub_sat_s'),
  psubusb: both('i8x16.sub_sat_u'),
  psubusw: both('i16x8.sub_sat_u'),
  pavgb: both('i8x16.avgr_u'),
  pavgw: both('i16x8.avgr_u'),
  pminub: both('i8x16.min_u'),
  pminsw: both('i16x8.min_s'),
  pmaxub: both('i8x16.max_u'),
  pmaxsw: both('i16x8.max_s'),
  pminsb: xmmOnly('i8x16.min_s'),
  pminuw: xmmOnly('i16x8.min_u'),
  pminsd: xmmOnly('i32x4.min_s'),
  pminud: xmmOnly('i32x4.min_u'),
  pmaxsb: xmmOnly('i8x16.max_s'),
  pmaxuw: xmmOnly('i16x8.max_u'),
  pmaxsd: xmmOnly('i32x4.max_s'),
  pmaxud: xmmOnly('i32x4.max_u'),
  pcmpeqb: both('i8x16.eq'),
  pcmpeqw: both('i16x8.eq'),
  pcmpeqd: both('i32x4.eq'),
  pcmpeqq: xmmOnly('i64x2.eq'),
  pcmpgtb: both('i8x16.gt_s'),
  pcmpgtw: both('i16x8.gt_s'),
  pcmpgtd: both('i32x4.gt_s'),
  pcmpgtq: xmmOnly('i64x2.gt_s'),
  pmullw: both('i16x8.mul'),
  pmulld: xmmOnly('i32x4.mul'),
  pmaddwd: both('i32x4.dot_i16x8_s'),
  packsswb: pairs('i8x16.narrow_i16x8_s'),
  packuswb: pairs('i8x16.narrow_i16x8_u'),
  packssdw: pairs('i16x8.narrow_i32x4_s'),
  packusdw: xmmOnly('i16x8.narrow_i32x4_u'),
  pabsb: one('i8x16.abs'),
  pabsw: one('i16x8.abs'),
  pabsd: one('i32x4.abs'),
  pmovmskb,
  phminposuw: vectorUnary((b, x) => b.call('simd_phminposuw', 'v128', x)),
};
