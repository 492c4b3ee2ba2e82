/** Conversions between integers, singles and doubles. Intel SDM Vol. 2A, "CVTDQ2PD" to "CVTTSS2SI". */
import type { Type, Value } from '../../ir/value.js';
import { type Definition, type Definitions, type Lift } from '../lift.js';
import { arithmetic, enterMmx, isMmx, readMmx, readVector, simd, sse, writeMmx } from './sse-guard.js';
import { low64, splat64, zeroExtend } from './sse-vector.js';

/** CVTSI2SS, CVTSI2SD from a 4- or 8-byte integer. */
const fromInteger = (size: 4 | 8, format: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const v = b.read(src);
    const routine = `${v.type}_to_${format}`;
    b.writeLow(dst, size, arithmetic(b, () => b.call(routine, size === 8 ? 'i64' : 'i32', v)));
  });

/** CVT(T)SS2SI, CVT(T)SD2SI. */
const toInteger = (size: 4 | 8, format: string, truncate: 0 | 1): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const v = b.readLow(src, size);
    const type: Type = dst.size === 8 ? 'i64' : 'i32';
    b.write(dst, arithmetic(b, () => b.call(`${format}_to_${type}`, type, v, b.i32(truncate))));
  });

/** CVTSS2SD, CVTSD2SS. */
const between = (from: 4 | 8, to: 4 | 8, routine: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const v = b.readLow(src, from);
    b.writeLow(dst, to, arithmetic(b, () => b.call(routine, to === 8 ? 'i64' : 'i32', v)));
  });

/** Whole vectors. `half`: the source is 8 bytes and its memory operand need not be aligned. */
const packed = (routine: string, half: boolean, ...flags: readonly number[]): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const v = half ? zeroExtend(b, b.readLow(src, 8)) : readVector(b, src);
    b.write(dst, arithmetic(b, () => b.call(routine, 'v128', v, ...flags.map((n) => b.i32(n)))));
  });

/** CVTPI2PS keeps the high half of dst, CVTPI2PD fills the register; both leave x87 state alone if src is memory. */
const fromMmx = (routine: string, half: boolean): Definition =>
  simd((b, i) => {
    const [dst, src] = i.operands;
    const v = splat64(b, readMmx(b, src));
    if (isMmx(src)) enterMmx(b);
    const result = arithmetic(b, () => b.call(routine, 'v128', v));
    if (half) b.writeLow(dst, 8, low64(b, result));
    else b.write(dst, result);
  });

/** CVT(T)PS2PI, CVT(T)PD2PI: two integers in the low half of the routine's result. */
const toMmx = (routine: string, half: boolean, truncate: 0 | 1): Definition =>
  simd((b, i) => {
    const [dst, src] = i.operands;
    if (!isMmx(dst)) throw new TypeError(`${routine} into something else than MMX`);
    const v = b.now(half ? zeroExtend(b, b.readLow(src, 8)) : readVector(b, src));
    // The change to MMX state happens even if #XM follows.
    enterMmx(b);
    const result = arithmetic(b, () => integers(b, routine, v, truncate));
    writeMmx(b, dst, low64(b, result));
  });

function integers(b: Lift, routine: string, v: Value, truncate: 0 | 1): Value {
  return b.call(routine, 'v128', v, b.i32(truncate));
}

export const definitions: Definitions = {
  cvtsi2ss: fromInteger(4, 'f32'),
  cvtsi2sd: fromInteger(8, 'f64'),
  cvtss2si: toInteger(4, 'f32', 0),
  cvttss2si: toInteger(4, 'f32', 1),
  cvtsd2si: toInteger(8, 'f64', 0),
  cvttsd2si: toInteger(8, 'f64', 1),
  cvtss2sd: between(4, 8, 'f32_to_f64'),
  cvtsd2ss: between(8, 4, 'f64_to_f32'),
  cvtps2pd: packed('f32x2_to_f64x2', true),
  cvtpd2ps: packed('f64x2_to_f32x2', false),
  cvtdq2ps: packed('i32x4_to_f32x4', false),
  cvtdq2pd: packed('i32x2_to_f64x2', true),
  cvtps2dq: packed('f32x4_to_i32x4', false, 0),
  cvttps2dq: packed('f32x4_to_i32x4', false, 1),
  cvtpd2dq: packed('f64x2_to_i32x2', false, 0),
  cvttpd2dq: packed('f64x2_to_i32x2', false, 1),
  cvtpi2ps: fromMmx('i32x2_to_f32x2', true),
  cvtpi2pd: fromMmx('i32x2_to_f64x2', false),
  cvtps2pi: toMmx('f32x2_to_i32x2', true, 0),
  cvttps2pi: toMmx('f32x2_to_i32x2', true, 1),
  cvtpd2pi: toMmx('f64x2_to_i32x2', false, 0),
  cvttpd2pi: toMmx('f64x2_to_i32x2', false, 1),
};
