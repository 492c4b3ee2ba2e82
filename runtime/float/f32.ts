// Single-precision arithmetic of SSE. Operands and results are raw bits.
//
// Fast paths: WebAssembly rounds to nearest even, as MXCSR almost always asks for. The native result is taken when its
// exponent shows a normal number above the smallest one (so no overflow, underflow or NaN happened), no operand is
// denormal, and precision is either already recorded and masked or provably not lost.
import { ADD, arithmetic32, DIVIDE, denormal32, MULTIPLY, SUBTRACT, squareRoot32 } from './core';
import { DAZ, DE, IE, isPlain, isSettled, mxcsr, raise } from './mxcsr';

const SIGN: u32 = 1 << 31;
const SMALLEST_SAFE: u32 = 2 << 24;
const SAFE_SPAN: u32 = 0xfd << 24;
const DENORMAL_SPAN: u32 = (1 << 24) - 1;
const FRACTION: u32 = (1 << 23) - 1;

/** Normal, finite, and not the smallest normal number, which a tiny value may have been rounded up to. */
@inline
function isSafe(bits: u32): bool {
  return (bits << 1) - SMALLEST_SAFE < SAFE_SPAN;
}

@inline
function isDenormal(bits: u32): bool {
  return (bits << 1) - 1 < DENORMAL_SPAN;
}

@inline
function hasZeroExponent(bits: u32): bool {
  return bits << 1 < 1 << 24;
}

/** Significant bits of a normal number. */
@inline
function length(bits: u32): i32 {
  return 24 - <i32>ctz<u32>((bits & FRACTION) | (1 << 23));
}

/** x + y lost nothing: the error term of Knuth's two-sum, exact itself, is zero. */
@inline
function isExactSum(x: f32, y: f32, sum: f32): bool {
  const part = sum - x;
  return x - (sum - part) + (y - part) == 0;
}

@inline
export function f32_add(a: u32, b: u32): u32 {
  const control = mxcsr();
  const x = reinterpret<f32>(a);
  const y = reinterpret<f32>(b);
  const sum = x + y;
  const bits = reinterpret<u32>(sum);
  if (isPlain(control) && (isSafe(bits) || bits << 1 == 0) && !isDenormal(a) && !isDenormal(b)) {
    if (isSettled(control) || isExactSum(x, y, sum)) return bits;
  }
  return arithmetic32(ADD, a, b);
}

@inline
export function f32_sub(a: u32, b: u32): u32 {
  const control = mxcsr();
  const x = reinterpret<f32>(a);
  const y = reinterpret<f32>(b);
  const difference = x - y;
  const bits = reinterpret<u32>(difference);
  if (isPlain(control) && (isSafe(bits) || bits << 1 == 0) && !isDenormal(a) && !isDenormal(b)) {
    if (isSettled(control) || isExactSum(x, -y, difference)) return bits;
  }
  return arithmetic32(SUBTRACT, a, b);
}

@inline
export function f32_mul(a: u32, b: u32): u32 {
  const control = mxcsr();
  const bits = reinterpret<u32>(reinterpret<f32>(a) * reinterpret<f32>(b));
  if (isPlain(control) && isSafe(bits) && !hasZeroExponent(a) && !hasZeroExponent(b)) {
    if (isSettled(control) || length(a) + length(b) <= 24) return bits;
  }
  return arithmetic32(MULTIPLY, a, b);
}

@inline
export function f32_div(a: u32, b: u32): u32 {
  const control = mxcsr();
  const bits = reinterpret<u32>(reinterpret<f32>(a) / reinterpret<f32>(b));
  if (isPlain(control) && isSafe(bits) && !hasZeroExponent(a) && !hasZeroExponent(b)) {
    if (isSettled(control) || (length(b) + length(bits) <= 24 && isExactQuotient(a, b, bits))) return bits;
  }
  return arithmetic32(DIVIDE, a, b);
}

/** The product of b and the quotient is exact as the caller has checked; does it give a back? */
@inline
function isExactQuotient(a: u32, b: u32, quotient: u32): bool {
  return reinterpret<f32>(b) * reinterpret<f32>(quotient) == reinterpret<f32>(a);
}

@inline
export function f32_sqrt(a: u32): u32 {
  const control = mxcsr();
  const root = sqrt<f32>(reinterpret<f32>(a));
  const bits = reinterpret<u32>(root);
  if (isPlain(control) && isSafe(bits) && !hasZeroExponent(a)) {
    if (isSettled(control) || (length(bits) * 2 <= 24 && root * root == reinterpret<f32>(a))) return bits;
  }
  return squareRoot32(a);
}

@inline
function isNan(bits: u32): bool {
  return bits << 1 > 0xff << 24;
}

/** MINSS: the second operand when either is a NaN (invalid, quiet ones too) or both are zeros. */
export function f32_min(a: u32, b: u32): u32 {
  if (isDenormal(a) || isDenormal(b) || isNan(a) || isNan(b)) {
    if (mxcsr() & DAZ) {
      if (isDenormal(a)) a &= SIGN;
      if (isDenormal(b)) b &= SIGN;
    }
    if (isNan(a) || isNan(b)) {
      raise(IE);
      return b;
    }
    if (denormal32(a) || denormal32(b)) raise(DE);
  }
  return reinterpret<f32>(a) < reinterpret<f32>(b) ? a : b;
}

/** MAXSS, as MINSS. */
export function f32_max(a: u32, b: u32): u32 {
  if (isDenormal(a) || isDenormal(b) || isNan(a) || isNan(b)) {
    if (mxcsr() & DAZ) {
      if (isDenormal(a)) a &= SIGN;
      if (isDenormal(b)) b &= SIGN;
    }
    if (isNan(a) || isNan(b)) {
      raise(IE);
      return b;
    }
    if (denormal32(a) || denormal32(b)) raise(DE);
  }
  return reinterpret<f32>(a) > reinterpret<f32>(b) ? a : b;
}
