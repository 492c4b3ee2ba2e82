/**
 * Scalar floating-point work done by WebAssembly's own operations where that is exact to the last flag, with a call of
 * the runtime (runtime/float) for everything else.
 *
 * The native result stands when MXCSR is settled (round to nearest, no DAZ or FTZ, precision masked and recorded
 * already), the result is a normal number above the smallest one (no overflow, underflow or NaN), and no operand is
 * denormal. It is written first and overwritten in the rare other case, so no value has to be merged.
 */
import type { Type, Value } from '../../ir/value.js';
import type { Operand } from '../insn.js';
import type { Lift } from '../lift.js';
import * as S from '../state.js';

export interface Format {
  readonly size: 4 | 8;
  readonly integer: 'i32' | 'i64';
  readonly float: 'f32' | 'f64';
  /** In terms of the bits shifted left by one: twice the smallest normal number, the distance from there to infinity. */
  readonly smallestSafe: bigint;
  readonly safeSpan: bigint;
  readonly denormalSpan: bigint;
}

export const SINGLE: Format = {
  size: 4,
  integer: 'i32',
  float: 'f32',
  smallestSafe: 2n << 24n,
  safeSpan: 0xfdn << 24n,
  denormalSpan: (1n << 24n) - 1n,
};
export const DOUBLE: Format = {
  size: 8,
  integer: 'i64',
  float: 'f64',
  smallestSafe: 2n << 53n,
  safeSpan: 0x7fdn << 53n,
  denormalSpan: (1n << 53n) - 1n,
};

/** FTZ RC PM DAZ PE; settled is PM and PE alone. */
const SETTLED_BITS = 0xf060;
const SETTLED = 0x1020;

export const isUnsettled = (b: Lift): Value => b.ne(b.and(b.state(S.MXCSR, 4), b.i32(SETTLED_BITS)), b.i32(SETTLED));

export const toFloat = (b: Lift, f: Format, bits: Value): Value =>
  b.unary(`${f.float}.reinterpret_${f.integer}`, f.float, bits);
export const toBits = (b: Lift, f: Format, v: Value): Value =>
  b.unary(`${f.integer}.reinterpret_${f.float}`, f.integer, v);

/** Shifted left by one: the sign is gone. */
const magnitude = (b: Lift, f: Format, bits: Value): Value => b.shl(bits, b.constant(f.size, 1));

export function isUnsafe(b: Lift, f: Format, bits: Value): Value {
  return b.geu(b.sub(magnitude(b, f, bits), b.constant(f.size, f.smallestSafe)), b.constant(f.size, f.safeSpan));
}
export function isDenormal(b: Lift, f: Format, bits: Value): Value {
  return b.ltu(b.sub(magnitude(b, f, bits), b.constant(f.size, 1)), b.constant(f.size, f.denormalSpan));
}

/** Writes `quick` to the low part of dst; where `bad`, what `routine` answers. */
export function writeQuick(b: Lift, f: Format, dst: Operand, quick: Value, bad: Value, slow: () => Value): void {
  b.now(bad);
  b.writeLow(dst, f.size, quick);
  b.ifThen(bad, () => b.writeLow(dst, f.size, slow()));
}

/** dst = dst op src for ADD SUB MUL DIV. */
export function quickBinary(b: Lift, f: Format, name: string, dst: Operand, src: Operand): void {
  const y = b.readLow(src, f.size);
  const x = b.readLow(dst, f.size);
  const quick = b.now(toBits(b, f, b.binop(`${f.float}.${name}`, f.float, toFloat(b, f, x), toFloat(b, f, y))));
  const operands = b.or(isDenormal(b, f, x), isDenormal(b, f, y));
  const bad = b.or(b.or(isUnsafe(b, f, quick), isUnsettled(b)), operands);
  writeQuick(b, f, dst, quick, bad, () => b.call(`${f.float}_${name}`, f.integer, x, y));
}

export function quickSquareRoot(b: Lift, f: Format, dst: Operand, src: Operand): void {
  const x = b.readLow(src, f.size);
  const quick = b.now(toBits(b, f, b.unary(`${f.float}.sqrt`, f.float, toFloat(b, f, x))));
  const bad = b.or(b.or(isUnsafe(b, f, quick), isUnsettled(b)), isDenormal(b, f, x));
  writeQuick(b, f, dst, quick, bad, () => b.call(`${f.float}_sqrt`, f.integer, x));
}

/** One of the operands is a NaN or denormal: what comparisons and MIN, MAX cannot leave to the native operations. */
function isExtraordinary(b: Lift, f: Format, x: Value, y: Value): Value {
  const p = toFloat(b, f, x);
  const q = toFloat(b, f, y);
  const ordered = b.and(b.binop(`${f.float}.eq`, 'i32', p, p), b.binop(`${f.float}.eq`, 'i32', q, q));
  return b.or(b.or(isDenormal(b, f, x), isDenormal(b, f, y)), b.eqz(ordered));
}

/** MIN, MAX: src unless dst is strictly below (above) it. */
export function quickMinimum(b: Lift, f: Format, name: 'min' | 'max', dst: Operand, src: Operand): void {
  const y = b.readLow(src, f.size);
  const x = b.readLow(dst, f.size);
  const first = b.binop(`${f.float}.${name === 'min' ? 'lt' : 'gt'}`, 'i32', toFloat(b, f, x), toFloat(b, f, y));
  const quick = b.now(b.select(first, x, y));
  writeQuick(b, f, dst, quick, isExtraordinary(b, f, x, y), () => b.call(`${f.float}_${name}`, f.integer, x, y));
}

/** COMIS*, UCOMIS*: the flags as a word. The rare case is merged through scratch memory. */
export function quickCompare(b: Lift, f: Format, dst: Operand, src: Operand, signalQuiet: 0 | 1): Value {
  const y = b.readLow(src, f.size);
  const x = b.readLow(dst, f.size);
  const p = toFloat(b, f, x);
  const q = toFloat(b, f, y);
  const below = b.binop(`${f.float}.lt`, 'i32', p, q);
  const equal = b.binop(`${f.float}.eq`, 'i32', p, q);
  b.setState(S.SCRATCH, 4, b.or(below, b.shl(equal, b.i32(6))));
  b.ifThen(isExtraordinary(b, f, x, y), () =>
    b.setState(S.SCRATCH, 4, b.call(`${f.float}_compare`, 'i32', x, y, b.i32(signalQuiet))),
  );
  return b.state(S.SCRATCH, 4);
}

// ---- conversions ----
/** CVTSI2SS, CVTSI2SD: exact from 32 bits to a double, else rounded to nearest. */
export function quickFromInteger(b: Lift, f: Format, dst: Operand, v: Value): void {
  const quick = toBits(b, f, b.unary(`${f.float}.convert_${v.type}_s`, f.float, v));
  if (f.size === 8 && v.type === 'i32') {
    b.writeLow(dst, 8, quick);
    return;
  }
  writeQuick(b, f, dst, b.now(quick), isUnsettled(b), () => b.call(`${v.type}_to_${f.float}`, f.integer, v));
}

/** CVTSS2SD: every normal number is exact. */
export function quickWiden(b: Lift, dst: Operand, src: Operand): void {
  const x = b.readLow(src, 4);
  const quick = b.now(toBits(b, DOUBLE, b.unary('f64.promote_f32', 'f64', toFloat(b, SINGLE, x))));
  const bad = b.geu(b.sub(magnitude(b, SINGLE, x), b.i32(0x1000000)), b.i32(0xfe000000));
  writeQuick(b, DOUBLE, dst, quick, bad, () => b.call('f32_to_f64', 'i64', x));
}

/** CVTSD2SS: a denormal operand never gives a safe result. */
export function quickNarrow(b: Lift, dst: Operand, src: Operand): void {
  const x = b.readLow(src, 8);
  const quick = b.now(toBits(b, SINGLE, b.unary('f32.demote_f64', 'f32', toFloat(b, DOUBLE, x))));
  const bad = b.or(isUnsafe(b, SINGLE, quick), isUnsettled(b));
  writeQuick(b, SINGLE, dst, quick, bad, () => b.call('f64_to_f32', 'i32', x));
}

/** 1.5 * 2^52: added to an integer below 2^51 it leaves that integer in the low bits. */
const INTEGER_MAGIC = 0x4338000000000000n;
/** 2^31 and 2^51 as doubles. */
const LIMIT = { 4: 0x41e0000000000000n, 8: 0x4320000000000000n } as const;
const ROUND_BITS = 0x6000;
const PRECISION = 0x1020;

/** CVT(T)SS2SI, CVT(T)SD2SI: quick where the integer is small and precision is recorded already. */
export function quickToInteger(b: Lift, f: Format, dst: Operand, src: Operand, truncate: 0 | 1): void {
  const x = b.readLow(src, f.size);
  const size = dst.size === 8 ? 8 : 4;
  const type: Type = size === 8 ? 'i64' : 'i32';
  const constant = (bits: bigint): Value => b.unary('f64.reinterpret_i64', 'f64', b.i64(bits));
  const number = toFloat(b, f, x);
  const wide = f.size === 8 ? number : b.unary('f64.promote_f32', 'f64', number);
  const whole = b.unary(truncate ? 'f64.trunc' : 'f64.nearest', 'f64', wide);
  const moved = b.unary('i64.reinterpret_f64', 'i64', b.binop('f64.add', 'f64', whole, constant(INTEGER_MAGIC)));
  const integer = b.sub(moved, b.i64(INTEGER_MAGIC));
  const fits = b.binop('f64.lt', 'i32', b.unary('f64.abs', 'f64', whole), constant(LIMIT[size]));
  const control = b.and(b.state(S.MXCSR, 4), b.i32(truncate ? PRECISION : PRECISION | ROUND_BITS));
  const bad = b.now(b.or(b.ne(control, b.i32(PRECISION)), b.eqz(fits)));
  b.setState(S.SCRATCH, size, size === 8 ? integer : b.wrap(integer));
  b.ifThen(bad, () => b.setState(S.SCRATCH, size, b.call(`${f.float}_to_${type}`, type, x, b.i32(truncate))));
  b.write(dst, b.state(S.SCRATCH, size));
}
