// Packed conversions; see f64x2.ts for the conditions of the fast paths. Two-element forms use the low half of their
// argument and leave zeros in the high half of a narrower result.
import { f32_to_f64, f32_to_i32, f64_to_f32, f64_to_i32, i32_to_f32 } from '../float/convert';
import { isSettled, mxcsr, PE, PM } from '../float/mxcsr';
import { four, lane0, lane1, lane2, lane3 } from './f32x4';

@inline
function pair(lo: u64, hi: u64): v128 {
  return v128.replace_lane<u64>(v128.splat<u64>(lo), 1, hi);
}
@inline
function low(a: v128): u64 {
  return v128.extract_lane<u64>(a, 0);
}
@inline
function high(a: v128): u64 {
  return v128.extract_lane<u64>(a, 1);
}

export function f32x2_to_f64x2(a: v128): v128 {
  return pair(f32_to_f64(lane0(a)), f32_to_f64(lane1(a)));
}

export function f64x2_to_f32x2(a: v128): v128 {
  return four(f64_to_f32(low(a)), f64_to_f32(high(a)), 0, 0);
}

export function i32x4_to_f32x4(a: v128): v128 {
  if (isSettled(mxcsr())) return v128.convert<i32>(a);
  return four(
    i32_to_f32(<i32>lane0(a)),
    i32_to_f32(<i32>lane1(a)),
    i32_to_f32(<i32>lane2(a)),
    i32_to_f32(<i32>lane3(a)),
  );
}

/** Exact always. */
export function i32x2_to_f64x2(a: v128): v128 {
  return v128.convert_low<i32>(a);
}

export function i32x2_to_f32x2(a: v128): v128 {
  return four(i32_to_f32(<i32>lane0(a)), i32_to_f32(<i32>lane1(a)), 0, 0);
}

export function f32x4_to_i32x4(a: v128, truncate: i32): v128 {
  const control = mxcsr();
  const quick = truncate ? (control & (PE | PM)) == (PE | PM) : isSettled(control);
  if (quick) {
    const inRange = v128.lt<f32>(v128.abs<f32>(a), v128.splat<f32>(2147483648.0));
    if (v128.all_true<i32>(inRange)) return v128.trunc_sat<i32>(truncate ? a : v128.nearest<f32>(a));
  }
  return four(
    f32_to_i32(lane0(a), truncate),
    f32_to_i32(lane1(a), truncate),
    f32_to_i32(lane2(a), truncate),
    f32_to_i32(lane3(a), truncate),
  );
}

export function f32x2_to_i32x2(a: v128, truncate: i32): v128 {
  return four(f32_to_i32(lane0(a), truncate), f32_to_i32(lane1(a), truncate), 0, 0);
}

export function f64x2_to_i32x2(a: v128, truncate: i32): v128 {
  return four(f64_to_i32(low(a), truncate), f64_to_i32(high(a), truncate), 0, 0);
}
