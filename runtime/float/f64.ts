// Double-precision arithmetic of SSE. Operands and results are raw bits.
//
// Fast paths: WebAssembly rounds to nearest even, as MXCSR almost always asks for. The native result is taken when its
// exponent shows a normal number above the smallest one (so no overflow, underflow or NaN happened), no operand is
// denormal, and precision is either already recorded and masked or provably not lost.
import { ADD, arithmetic64, DIVIDE, denormal64, MULTIPLY, SUBTRACT, squareRoot64 } from './core';
import { DAZ, DE, IE, isPlain, isSettled, mxcsr, raise } from './mxcsr';

const SIGN: u64 = 1 << 63;
const SMALLEST_SAFE: u64 = 2 << 53;
const SAFE_SPAN: u64 = 0x7fd << 53;
const DENORMAL_SPAN: u64 = (1 << 53) - 1;
const FRACTION: u64 = (1 << 52) - 1;

/** Normal, finite, and not the smallest normal number, which a tiny value may have been rounded up to. */
@inline
function isSafe(bits: u64): bool {
  return (bits << 1) - SMALLEST_SAFE < SAFE_SPAN;
}

@inline
function isDenormal(bits: u64): bool {
  return (bits << 1) - 1 < DENORMAL_SPAN;
}

@inline
function hasZeroExponent(bits: u64): bool {
  return bits << 1 < 1 << 53;
}

/** Significant bits of a normal number. */
@inline
function length(bits: u64): i32 {
  return 53 - <i32>ctz<u64>((bits & FRACTION) | (1 << 52));
}

/** x + y lost nothing: the error term of Knuth's two-sum, exact itself, is zero. */
@inline
function isExactSum(x: f64, y: f64, sum: f64): bool {
  const part = sum - x;
  return x - (sum - part) + (y - part) == 0;
}

@inline
export function f64_add(a: u64, b: u64): u64 {
  const control = mxcsr();
  const x = reinterpret<f64>(a);
  const y = reinterpret<f64>(b);
  const sum = x + y;
  const bits = reinterpret<u64>(sum);
  if (isPlain(control) && (isSafe(bits) || bits << 1 == 0) && !isDenormal(a) && !isDenormal(b)) {
    if (isSettled(control) || isExactSum(x, y, sum)) return bits;
  }
  return arithmetic64(ADD, a, b);
}

@inline
export function f64_sub(a: u64, b: u64): u64 {
  const control = mxcsr();
  const x = reinterpret<f64>(a);
  const y = reinterpret<f64>(b);
  const difference = x - y;
  const bits = reinterpret<u64>(difference);
  if (isPlain(control) && (isSafe(bits) || bits << 1 == 0) && !isDenormal(a) && !isDenormal(b)) {
    if (isSettled(control) || isExactSum(x, -y, difference)) return bits;
  }
  return arithmetic64(SUBTRACT, a, b);
}

@inline
export function f64_mul(a: u64, b: u64): u64 {
  const control = mxcsr();
  const bits = reinterpret<u64>(reinterpret<f64>(a) * reinterpret<f64>(b));
  if (isPlain(control) && isSafe(bits) && !hasZeroExponent(a) && !hasZeroExponent(b)) {
    if (isSettled(control) || length(a) + length(b) <= 53) return bits;
  }
  return arithmetic64(MULTIPLY, a, b);
}

@inline
export function f64_div(a: u64, b: u64): u64 {
  const control = mxcsr();
  const bits = reinterpret<u64>(reinterpret<f64>(a) / reinterpret<f64>(b));
  if (isPlain(control) && isSafe(bits) && !hasZeroExponent(a) && !hasZeroExponent(b)) {
    if (isSettled(control) || (length(b) + length(bits) <= 53 && isExactQuotient(a, b, bits))) return bits;
  }
  return arithmetic64(DIVIDE, a, b);
}

/** The product of b and the quotient is exact as the caller has checked; does it give a back? */
@inline
function isExactQuotient(a: u64, b: u64, quotient: u64): bool {
  return reinterpret<f64>(b) * reinterpret<f64>(quotient) == reinterpret<f64>(a);
}

@inline
export function f64_sqrt(a: u64): u64 {
  const control = mxcsr();
  const root = sqrt<f64>(reinterpret<f64>(a));
  const bits = reinterpret<u64>(root);
  if (isPlain(control) && isSafe(bits) && !hasZeroExponent(a)) {
    if (isSettled(control) || (length(bits) * 2 <= 53 && root * root == reinterpret<f64>(a))) return bits;
  }
  return squareRoot64(a);
}

@inline
function isNan(bits: u64): bool {
  return bits << 1 > 0x7ff << 53;
}

/** MINSD: the second operand when either is a NaN (invalid, quiet ones too) or both are zeros. */
export function f64_min(a: u64, b: u64): u64 {
  if (isDenormal(a) || isDenormal(b) || isNan(a) || isNan(b)) {
    if (mxcsr() & DAZ) {
      if (isDenormal(a)) a &= SIGN;
      if (isDenormal(b)) b &= SIGN;
    }
    if (isNan(a) || isNan(b)) {
      raise(IE);
      return b;
    }
    if (denormal64(a) || denormal64(b)) raise(DE);
  }
  return reinterpret<f64>(a) < reinterpret<f64>(b) ? a : b;
}

/** MAXSD, as MINSD. */
export function f64_max(a: u64, b: u64): u64 {
  if (isDenormal(a) || isDenormal(b) || isNan(a) || isNan(b)) {
    if (mxcsr() & DAZ) {
      if (isDenormal(a)) a &= SIGN;
      if (isDenormal(b)) b &= SIGN;
    }
    if (isNan(a) || isNan(b)) {
      raise(IE);
      return b;
    }
    if (denormal64(a) || denormal64(b)) raise(DE);
  }
  return reinterpret<f64>(a) > reinterpret<f64>(b) ? a : b;
}
