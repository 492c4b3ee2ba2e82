// Packed single-precision arithmetic of SSE and later; see f64x2.ts for the fast path.

import { f32_cmp_predicate } from '../float/compare';
import { f32_round } from '../float/convert';
import { f32_add, f32_div, f32_max, f32_min, f32_mul, f32_sqrt, f32_sub } from '../float/f32';
import { float_pending, isSettled, mxcsr } from '../float/mxcsr';

const SMALLEST_SAFE: f32 = 2.350988701644575e-38;
const SMALLEST_NORMAL: f32 = 1.1754943508222875e-38;

@inline
export function lane0(a: v128): u32 {
  return v128.extract_lane<u32>(a, 0);
}
@inline
export function lane1(a: v128): u32 {
  return v128.extract_lane<u32>(a, 1);
}
@inline
export function lane2(a: v128): u32 {
  return v128.extract_lane<u32>(a, 2);
}
@inline
export function lane3(a: v128): u32 {
  return v128.extract_lane<u32>(a, 3);
}
@inline
export function four(x: u32, y: u32, z: u32, w: u32): v128 {
  const v = v128.replace_lane<u32>(v128.splat<u32>(x), 1, y);
  return v128.replace_lane<u32>(v128.replace_lane<u32>(v, 2, z), 3, w);
}

@inline
function isZero(a: v128): v128 {
  return v128.eq<f32>(a, v128.splat<f32>(0));
}

@inline
function isSafe(a: v128): v128 {
  const magnitude = v128.abs<f32>(a);
  return v128.and(
    v128.ge<f32>(magnitude, v128.splat<f32>(SMALLEST_SAFE)),
    v128.lt<f32>(magnitude, v128.splat<f32>(<f32>Infinity)),
  );
}

@inline
function isOrdinary(a: v128): v128 {
  return v128.or(v128.ge<f32>(v128.abs<f32>(a), v128.splat<f32>(SMALLEST_NORMAL)), isZero(a));
}

@inline
function all(mask: v128): bool {
  return v128.all_true<i32>(mask);
}

export function f32x4_add(a: v128, b: v128): v128 {
  const sum = v128.add<f32>(a, b);
  const fine = v128.and(v128.or(isSafe(sum), isZero(sum)), v128.and(isOrdinary(a), isOrdinary(b)));
  if (all(fine) && isSettled(mxcsr())) return sum;
  return four(
    f32_add(lane0(a), lane0(b)),
    f32_add(lane1(a), lane1(b)),
    f32_add(lane2(a), lane2(b)),
    f32_add(lane3(a), lane3(b)),
  );
}

export function f32x4_sub(a: v128, b: v128): v128 {
  const difference = v128.sub<f32>(a, b);
  const fine = v128.and(v128.or(isSafe(difference), isZero(difference)), v128.and(isOrdinary(a), isOrdinary(b)));
  if (all(fine) && isSettled(mxcsr())) return difference;
  return four(
    f32_sub(lane0(a), lane0(b)),
    f32_sub(lane1(a), lane1(b)),
    f32_sub(lane2(a), lane2(b)),
    f32_sub(lane3(a), lane3(b)),
  );
}

export function f32x4_mul(a: v128, b: v128): v128 {
  const product = v128.mul<f32>(a, b);
  const exactZero = v128.and(isZero(product), v128.or(isZero(a), isZero(b)));
  const fine = v128.and(v128.or(isSafe(product), exactZero), v128.and(isOrdinary(a), isOrdinary(b)));
  if (all(fine) && isSettled(mxcsr())) return product;
  return four(
    f32_mul(lane0(a), lane0(b)),
    f32_mul(lane1(a), lane1(b)),
    f32_mul(lane2(a), lane2(b)),
    f32_mul(lane3(a), lane3(b)),
  );
}

export function f32x4_div(a: v128, b: v128): v128 {
  const quotient = v128.div<f32>(a, b);
  const exactZero = v128.and(isZero(quotient), isZero(a));
  const fine = v128.and(v128.or(isSafe(quotient), exactZero), v128.and(isOrdinary(a), isOrdinary(b)));
  if (all(fine) && isSettled(mxcsr())) return quotient;
  return four(
    f32_div(lane0(a), lane0(b)),
    f32_div(lane1(a), lane1(b)),
    f32_div(lane2(a), lane2(b)),
    f32_div(lane3(a), lane3(b)),
  );
}

export function f32x4_sqrt(a: v128): v128 {
  const root = v128.sqrt<f32>(a);
  const fine = v128.and(v128.or(isSafe(root), isZero(root)), isOrdinary(a));
  if (all(fine) && isSettled(mxcsr())) return root;
  return four(f32_sqrt(lane0(a)), f32_sqrt(lane1(a)), f32_sqrt(lane2(a)), f32_sqrt(lane3(a)));
}

export function f32x4_min(a: v128, b: v128): v128 {
  if (all(v128.and(isOrdinary(a), isOrdinary(b)))) return v128.pmin<f32>(b, a);
  return four(
    f32_min(lane0(a), lane0(b)),
    f32_min(lane1(a), lane1(b)),
    f32_min(lane2(a), lane2(b)),
    f32_min(lane3(a), lane3(b)),
  );
}

export function f32x4_max(a: v128, b: v128): v128 {
  if (all(v128.and(isOrdinary(a), isOrdinary(b)))) return v128.pmax<f32>(b, a);
  return four(
    f32_max(lane0(a), lane0(b)),
    f32_max(lane1(a), lane1(b)),
    f32_max(lane2(a), lane2(b)),
    f32_max(lane3(a), lane3(b)),
  );
}

@inline
function mask(a: u32, b: u32, predicate: i32): u32 {
  return 0 - <u32>f32_cmp_predicate(a, b, predicate);
}

/** CMPPS. Predicates 4-7 are the opposites of 0-3. */
export function f32x4_cmp(a: v128, b: v128, predicate: i32): v128 {
  predicate &= 7;
  if (all(v128.and(isOrdinary(a), isOrdinary(b)))) {
    let holds: v128;
    const kind = predicate & 3;
    if (kind == 0) holds = v128.eq<f32>(a, b);
    else if (kind == 1) holds = v128.lt<f32>(a, b);
    else if (kind == 2) holds = v128.le<f32>(a, b);
    else holds = v128.splat<i32>(0);
    return predicate & 4 ? v128.not(holds) : holds;
  }
  return four(
    mask(lane0(a), lane0(b), predicate),
    mask(lane1(a), lane1(b), predicate),
    mask(lane2(a), lane2(b), predicate),
    mask(lane3(a), lane3(b), predicate),
  );
}

export function f32x4_round(a: v128, imm: i32): v128 {
  return four(f32_round(lane0(a), imm), f32_round(lane1(a), imm), f32_round(lane2(a), imm), f32_round(lane3(a), imm));
}

/** HADDPS: sums of neighbours, those of a below those of b. */
export function f32x4_hadd(a: v128, b: v128): v128 {
  return f32x4_add(v128.shuffle<u32>(a, b, 0, 2, 4, 6), v128.shuffle<u32>(a, b, 1, 3, 5, 7));
}

export function f32x4_hsub(a: v128, b: v128): v128 {
  return f32x4_sub(v128.shuffle<u32>(a, b, 0, 2, 4, 6), v128.shuffle<u32>(a, b, 1, 3, 5, 7));
}

/** ADDSUBPS: even elements are subtracted. */
export function f32x4_addsub(a: v128, b: v128): v128 {
  return four(
    f32_sub(lane0(a), lane0(b)),
    f32_add(lane1(a), lane1(b)),
    f32_sub(lane2(a), lane2(b)),
    f32_add(lane3(a), lane3(b)),
  );
}

/** DPPS: imm 7:4 select the products, 3:0 where the sum goes. */
export function f32x4_dot(a: v128, b: v128, imm: i32): v128 {
  const p0 = imm & 0x10 ? f32_mul(lane0(a), lane0(b)) : 0;
  const p1 = imm & 0x20 ? f32_mul(lane1(a), lane1(b)) : 0;
  const p2 = imm & 0x40 ? f32_mul(lane2(a), lane2(b)) : 0;
  const p3 = imm & 0x80 ? f32_mul(lane3(a), lane3(b)) : 0;
  // Unmasked exceptions are raised stage by stage: the products, the first sums, the last one.
  if (float_pending()) return a;
  const low = f32_add(p0, p1);
  const high = f32_add(p2, p3);
  if (float_pending()) return a;
  const sum = f32_add(low, high);
  return four(imm & 1 ? sum : 0, imm & 2 ? sum : 0, imm & 4 ? sum : 0, imm & 8 ? sum : 0);
}
