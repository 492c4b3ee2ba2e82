/** Conversions between integers, singles and doubles. Intel SDM Vol. 2A, "CVTDQ2PD" to "CVTTSS2SI". */
import type { Type, Value } from '../../ir/value.js';
import type { Definition, Definitions, Lift } from '../lift.js';
import * as S from '../state.js';
import { arithmetic, enterMmx, isMmx, readMmx, readVector, simd, sse, writeMmx } from './sse-guard.js';
import { DOUBLE, type Format, quickFromInteger, quickNarrow, quickToInteger, quickWiden, SINGLE } from './sse-quick.js';
import { low64, splat64, zeroExtend } from './sse-vector.js';

const isMasked = (b: Lift): boolean => (b.key & S.KEY_SSE_UNMASKED) === 0;

/** CVTSI2SS, CVTSI2SD from a 4- or 8-byte integer. */
const fromInteger = (f: Format): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const v = b.read(src);
    if (isMasked(b)) quickFromInteger(b, f, dst, v);
    else
      b.writeLow(
        dst,
        f.size,
        arithmetic(b, () => b.call(`${v.type}_to_${f.float}`, f.integer, v)),
      );
  });

/** CVT(T)SS2SI, CVT(T)SD2SI. */
const toInteger = (f: Format, truncate: 0 | 1): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    if (isMasked(b)) {
      quickToInteger(b, f, dst, src, truncate);
      return;
    }
    const v = b.readLow(src, f.size);
    const type: Type = dst.size === 8 ? 'i64' : 'i32';
    b.write(
      dst,
      arithmetic(b, () => b.call(`${f.float}_to_${type}`, type, v, b.i32(truncate))),
    );
  });

const cvtss2sd: Definition = sse((b, i) => {
  const [dst, src] = i.operands;
  if (isMasked(b)) {
    quickWiden(b, dst, src);
    return;
  }
  const v = b.readLow(src, 4);
  b.writeLow(
    dst,
    8,
    arithmetic(b, () => b.call('f32_to_f64', 'i64', v)),
  );
});

const cvtsd2ss: Definition = sse((b, i) => {
  const [dst, src] = i.operands;
  if (isMasked(b)) {
    quickNarrow(b, dst, src);
    return;
  }
  const v = b.readLow(src, 8);
  b.writeLow(
    dst,
    4,
    arithmetic(b, () => b.call('f64_to_f32', 'i32', v)),
  );
});

/** Whole vectors. `half`: the source is 8 bytes and its memory operand need not be aligned. */
const packed = (routine: string, half: boolean, ...flags: readonly number[]): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const v = half ? zeroExtend(b, b.readLow(src, 8)) : readVector(b, src);
    b.write(
      dst,
      arithmetic(b, () => b.call(routine, 'v128', v, ...flags.map((n) => b.i32(n)))),
    );
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
  cvtsi2ss: fromInteger(SINGLE),
  cvtsi2sd: fromInteger(DOUBLE),
  cvtss2si: toInteger(SINGLE, 0),
  cvttss2si: toInteger(SINGLE, 1),
  cvtsd2si: toInteger(DOUBLE, 0),
  cvttsd2si: toInteger(DOUBLE, 1),
  cvtss2sd,
  cvtsd2ss,
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
