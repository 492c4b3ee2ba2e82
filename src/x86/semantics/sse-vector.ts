/** Small vocabulary of the vector definitions: lanes, widening, control bytes, and operands with an MMX and an XMM form. */
import type { Value } from '../../ir/value.js';
import type { Operand } from '../insn.js';
import type { Definition, Lift } from '../lift.js';
import { isMmx, readMmx, readVector, simd, sse, writeMmx } from './sse-guard.js';

export type Binary = (b: Lift, x: Value, y: Value) => Value;
export type Unary = (b: Lift, x: Value) => Value;

export const zero128 = (b: Lift): Value => b.v128(new Uint8Array(16));

/** All bits of one byte pattern, repeated: `fill(b, [0xff, 0])`. */
export function fill(b: Lift, pattern: readonly number[]): Value {
  return b.v128(Uint8Array.from({ length: 16 }, (_, n) => pattern[n % pattern.length]));
}

export const splat64 = (b: Lift, v: Value): Value => b.unary('i64x2.splat', 'v128', v);
export const low64 = (b: Lift, v: Value): Value => b.lane('i64x2.extract_lane', 'i64', 0, v);
export const high64 = (b: Lift, v: Value): Value => b.lane('i64x2.extract_lane', 'i64', 1, v);

/** An i32 or i64 in the lowest lane, zeros above. */
export const zeroExtend = (b: Lift, v: Value): Value =>
  b.lane(v.type === 'i64' ? 'i64x2.replace_lane' : 'i32x4.replace_lane', 'v128', 0, zero128(b), v);

/** Two i64 as a vector, `low` first. */
export const pair64 = (b: Lift, low: Value, high: Value): Value =>
  b.lane('i64x2.replace_lane', 'v128', 1, splat64(b, low), high);

/** Writes an i32 to a GPR of 4 or 8 bytes (zero-extended) or to memory of the operand's size. */
export function writeInteger(b: Lift, op: Operand, v: Value): void {
  if (op.kind === 'mem') b.write(op, b.resize(v, 4, op.size));
  else b.write(op, b.resize(v, 4, op.size === 8 ? 8 : 4));
}

/** Indices of a byte shuffle that moves whole elements of `size` bytes; element 16 / size and up come from the second. */
export function elements(size: number, ...order: readonly number[]): number[] {
  return order.flatMap((e) => Array.from({ length: size }, (_, n) => e * size + n));
}

/** dst = dst op src, lane by lane; the MMX form is the low half of the XMM form. */
export const packed = (compute: Binary): Definition =>
  simd((b, i) => {
    const [dst, src] = i.operands;
    if (isMmx(dst)) {
      const y = splat64(b, readMmx(b, src));
      writeMmx(b, dst, low64(b, compute(b, splat64(b, readMmx(b, dst)), y)));
    } else {
      const y = readVector(b, src);
      b.write(dst, compute(b, b.read(dst), y));
    }
  });

/** As `packed` for operations whose low result half comes from dst and high half from src (PACKS*, PHADD*). */
export const packedPair = (compute: Binary): Definition =>
  simd((b, i) => {
    const [dst, src] = i.operands;
    if (isMmx(dst)) {
      const y = readMmx(b, src);
      const both = pair64(b, readMmx(b, dst), y);
      writeMmx(b, dst, low64(b, compute(b, both, both)));
    } else {
      const y = readVector(b, src);
      b.write(dst, compute(b, b.read(dst), y));
    }
  });

/** dst = op src. */
export const packedUnary = (compute: Unary): Definition =>
  simd((b, i) => {
    const [dst, src] = i.operands;
    if (isMmx(dst)) writeMmx(b, dst, low64(b, compute(b, splat64(b, readMmx(b, src)))));
    else b.write(dst, compute(b, readVector(b, src)));
  });

/** XMM only: dst = dst op src. */
export const vector = (compute: Binary): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const y = readVector(b, src);
    b.write(dst, compute(b, b.read(dst), y));
  });

/** XMM only: dst = op src. */
export const vectorUnary = (compute: Unary): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    b.write(dst, compute(b, readVector(b, src)));
  });
