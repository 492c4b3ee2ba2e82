// Packed double-precision arithmetic of SSE2 and later: element by element through runtime/float, with a vector fast
// path. The fast path demands a settled MXCSR (nearest, no DAZ or FTZ, precision recorded and masked), no denormal
// operand, and results that are normal, above the smallest normal number, or exact zeros.

import { f64_cmp_predicate } from '../float/compare';
import { f64_round } from '../float/convert';
import { f64_add, f64_div, f64_max, f64_min, f64_mul, f64_sqrt, f64_sub } from '../float/f64';
import { float_pending, isSettled, mxcsr } from '../float/mxcsr';

/** Smallest safe magnitude is 2^-1021; below it a tiny result may have been rounded up. */
const SMALLEST_SAFE = 4.4501477170144028e-308;
const SMALLEST_NORMAL = 2.2250738585072014e-308;

@inline
function low(a: v128): u64 {
  return v128.extract_lane<u64>(a, 0);
}
@inline
function high(a: v128): u64 {
  return v128.extract_lane<u64>(a, 1);
}
@inline
function pair(lo: u64, hi: u64): v128 {
  return v128.replace_lane<u64>(v128.splat<u64>(lo), 1, hi);
}

@inline
function isZero(a: v128): v128 {
  return v128.eq<f64>(a, v128.splat<f64>(0));
}

/** Normal, finite and not the smallest normal. */
@inline
function isSafe(a: v128): v128 {
  const magnitude = v128.abs<f64>(a);
  return v128.and(
    v128.ge<f64>(magnitude, v128.splat<f64>(SMALLEST_SAFE)),
    v128.lt<f64>(magnitude, v128.splat<f64>(Infinity)),
  );
}

/** No denormals and no NaNs; zeros and infinities pass. */
@inline
function isOrdinary(a: v128): v128 {
  return v128.or(v128.ge<f64>(v128.abs<f64>(a), v128.splat<f64>(SMALLEST_NORMAL)), isZero(a));
}

@inline
function all(mask: v128): bool {
  return v128.all_true<i64>(mask);
}

export function f64x2_add(a: v128, b: v128): v128 {
  const sum = v128.add<f64>(a, b);
  const fine = v128.and(v128.or(isSafe(sum), isZero(sum)), v128.and(isOrdinary(a), isOrdinary(b)));
  if (all(fine) && isSettled(mxcsr())) return sum;
  return pair(f64_add(low(a), low(b)), f64_add(high(a), high(b)));
}

export function f64x2_sub(a: v128, b: v128): v128 {
  const difference = v128.sub<f64>(a, b);
  const fine = v128.and(v128.or(isSafe(difference), isZero(difference)), v128.and(isOrdinary(a), isOrdinary(b)));
  if (all(fine) && isSettled(mxcsr())) return difference;
  return pair(f64_sub(low(a), low(b)), f64_sub(high(a), high(b)));
}

export function f64x2_mul(a: v128, b: v128): v128 {
  const product = v128.mul<f64>(a, b);
  // A zero is exact when a factor is one.
  const exactZero = v128.and(isZero(product), v128.or(isZero(a), isZero(b)));
  const fine = v128.and(v128.or(isSafe(product), exactZero), v128.and(isOrdinary(a), isOrdinary(b)));
  if (all(fine) && isSettled(mxcsr())) return product;
  return pair(f64_mul(low(a), low(b)), f64_mul(high(a), high(b)));
}

export function f64x2_div(a: v128, b: v128): v128 {
  const quotient = v128.div<f64>(a, b);
  const exactZero = v128.and(isZero(quotient), isZero(a));
  const fine = v128.and(v128.or(isSafe(quotient), exactZero), v128.and(isOrdinary(a), isOrdinary(b)));
  if (all(fine) && isSettled(mxcsr())) return quotient;
  return pair(f64_div(low(a), low(b)), f64_div(high(a), high(b)));
}

export function f64x2_sqrt(a: v128): v128 {
  const root = v128.sqrt<f64>(a);
  const fine = v128.and(v128.or(isSafe(root), isZero(root)), isOrdinary(a));
  if (all(fine) && isSettled(mxcsr())) return root;
  return pair(f64_sqrt(low(a)), f64_sqrt(high(a)));
}

export function f64x2_min(a: v128, b: v128): v128 {
  if (all(v128.and(isOrdinary(a), isOrdinary(b)))) return v128.pmin<f64>(b, a);
  return pair(f64_min(low(a), low(b)), f64_min(high(a), high(b)));
}

export function f64x2_max(a: v128, b: v128): v128 {
  if (all(v128.and(isOrdinary(a), isOrdinary(b)))) return v128.pmax<f64>(b, a);
  return pair(f64_max(low(a), low(b)), f64_max(high(a), high(b)));
}

@inline
function mask(holds: i32): u64 {
  return 0 - <u64>holds;
}

/** CMPPD. Predicates 4-7 are the opposites of 0-3. */
export function f64x2_cmp(a: v128, b: v128, predicate: i32): v128 {
  predicate &= 7;
  if (all(v128.and(isOrdinary(a), isOrdinary(b)))) {
    let holds: v128;
    const kind = predicate & 3;
    if (kind == 0) holds = v128.eq<f64>(a, b);
    else if (kind == 1) holds = v128.lt<f64>(a, b);
    else if (kind == 2) holds = v128.le<f64>(a, b);
    else holds = v128.splat<i64>(0);
    return predicate & 4 ? v128.not(holds) : holds;
  }
  const lo = f64_cmp_predicate(low(a), low(b), predicate);
  return pair(mask(lo), mask(f64_cmp_predicate(high(a), high(b), predicate)));
}

export function f64x2_round(a: v128, imm: i32): v128 {
  return pair(f64_round(low(a), imm), f64_round(high(a), imm));
}

/** HADDPD: sums of neighbours, those of a below those of b. */
export function f64x2_hadd(a: v128, b: v128): v128 {
  return f64x2_add(v128.shuffle<u64>(a, b, 0, 2), v128.shuffle<u64>(a, b, 1, 3));
}

export function f64x2_hsub(a: v128, b: v128): v128 {
  return f64x2_sub(v128.shuffle<u64>(a, b, 0, 2), v128.shuffle<u64>(a, b, 1, 3));
}

/** ADDSUBPD: the low element is subtracted. */
export function f64x2_addsub(a: v128, b: v128): v128 {
  return pair(f64_sub(low(a), low(b)), f64_add(high(a), high(b)));
}

/** DPPD: imm 5:4 select the products, 1:0 where the sum goes. */
export function f64x2_dot(a: v128, b: v128, imm: i32): v128 {
  const p0 = imm & 0x10 ? f64_mul(low(a), low(b)) : 0;
  const p1 = imm & 0x20 ? f64_mul(high(a), high(b)) : 0;
  // The products' unmasked exceptions are raised before anything is added.
  if (float_pending()) return a;
  const sum = f64_add(p0, p1);
  return pair(imm & 1 ? sum : 0, imm & 2 ? sum : 0);
}
