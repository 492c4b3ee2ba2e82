// Conversions of SSE between integers, singles and doubles; CVT* and CVTT*. Operands and results are raw bits.
import { denormal32, denormal64, fromInteger, narrowConvert, toInteger, widen, widenConvert } from './core';
import { DAZ, IE, isPlain, isSettled, mxcsr, PE, PM, raise } from './mxcsr';

export function f32_to_f64(a: u32): u64 {
  if ((a << 1) - 0x1000000 < 0xfe000000) return reinterpret<u64>(<f64>reinterpret<f32>(a));
  return widenConvert(a);
}

export function f64_to_f32(a: u64): u32 {
  const value = <f32>reinterpret<f64>(a);
  const bits = reinterpret<u32>(value);
  const control = mxcsr();
  // A normal single above the smallest one: nothing but precision can have been lost.
  if (isPlain(control) && (bits << 1) - 0x2000000 < 0xfd000000) {
    if (isSettled(control) || <f64>value == reinterpret<f64>(a)) return bits;
  }
  return narrowConvert(a);
}

export function i32_to_f64(value: i32): u64 {
  return reinterpret<u64>(<f64>value);
}

export function i64_to_f64(value: i64): u64 {
  if (<u64>(value + (1 << 53)) <= 1 << 54 || isSettled(mxcsr())) return reinterpret<u64>(<f64>value);
  return fromInteger(value, false);
}

export function i32_to_f32(value: i32): u32 {
  if (<u32>(value + (1 << 24)) <= 1 << 25 || isSettled(mxcsr())) return reinterpret<u32>(<f32>value);
  return <u32>fromInteger(value, true);
}

export function i64_to_f32(value: i64): u32 {
  if (<u64>(value + (1 << 24)) <= 1 << 25 || isSettled(mxcsr())) return reinterpret<u32>(<f32>value);
  return <u32>fromInteger(value, true);
}

/** Truncated or rounded to nearest by WebAssembly where MXCSR allows it; the comparison leaves out NaNs. */
@inline
function isQuick(control: u32, truncate: i32): bool {
  return truncate != 0 ? (control & PM) != 0 : (control & 0x6000) == 0 && (control & PM) != 0;
}

export function f64_to_i32(a: u64, truncate: i32): i32 {
  const value = reinterpret<f64>(a);
  if (isQuick(mxcsr(), truncate)) {
    const whole = truncate ? trunc<f64>(value) : nearest<f64>(value);
    if (whole >= -2147483648.0 && whole <= 2147483647.0 && (whole == value || (mxcsr() & PE) != 0)) return <i32>whole;
  }
  return <i32>toIntegerSlow(a, denormal64(a), truncate, 32);
}

export function f64_to_i64(a: u64, truncate: i32): i64 {
  const value = reinterpret<f64>(a);
  if (isQuick(mxcsr(), truncate)) {
    const whole = truncate ? trunc<f64>(value) : nearest<f64>(value);
    if (abs<f64>(whole) < 9223372036854775808.0 && (whole == value || (mxcsr() & PE) != 0)) return <i64>whole;
  }
  return toIntegerSlow(a, denormal64(a), truncate, 64);
}

export function f32_to_i32(a: u32, truncate: i32): i32 {
  const value = reinterpret<f32>(a);
  if (isQuick(mxcsr(), truncate)) {
    const whole = truncate ? trunc<f32>(value) : nearest<f32>(value);
    if (abs<f32>(whole) < 2147483648.0 && (whole == value || (mxcsr() & PE) != 0)) return <i32>whole;
  }
  return <i32>toIntegerSlow(widen(a), denormal32(a), truncate, 32);
}

export function f32_to_i64(a: u32, truncate: i32): i64 {
  const value = reinterpret<f32>(a);
  if (isQuick(mxcsr(), truncate)) {
    const whole = truncate ? trunc<f32>(value) : nearest<f32>(value);
    if (abs<f32>(whole) < 9223372036854775808.0 && (whole == value || (mxcsr() & PE) != 0)) return <i64>whole;
  }
  return toIntegerSlow(widen(a), denormal32(a), truncate, 64);
}

function toIntegerSlow(a: u64, denormal: bool, truncate: i32, bits: i32): i64 {
  if (a << 1 == 0 || (denormal && (mxcsr() & DAZ) != 0)) return 0;
  return toInteger(a, truncate != 0, bits);
}

/** ROUNDSD: imm 1:0 rounding, bit 2 take it from MXCSR, bit 3 keep quiet about precision. Denormals raise nothing. */
export function f64_round(a: u64, imm: i32): u64 {
  const control = mxcsr();
  if (denormal64(a) && (control & DAZ) != 0) return a & (1 << 63);
  if (a << 1 > 0x7ff << 53) {
    if ((a & (1 << 51)) == 0) raise(IE);
    return a | (1 << 51);
  }
  const value = reinterpret<f64>(a);
  const rounding = imm & 4 ? (control >> 13) & 3 : imm & 3;
  let whole: f64;
  if (rounding == 0) whole = nearest<f64>(value);
  else if (rounding == 1) whole = floor<f64>(value);
  else if (rounding == 2) whole = ceil<f64>(value);
  else whole = trunc<f64>(value);
  if (whole != value && (imm & 8) == 0) raise(PE);
  return reinterpret<u64>(whole);
}

/** ROUNDSS. */
export function f32_round(a: u32, imm: i32): u32 {
  const control = mxcsr();
  if (denormal32(a) && (control & DAZ) != 0) return a & 0x80000000;
  if (a << 1 > 0xff000000) {
    if ((a & 0x400000) == 0) raise(IE);
    return a | 0x400000;
  }
  const value = reinterpret<f32>(a);
  const rounding = imm & 4 ? (control >> 13) & 3 : imm & 3;
  let whole: f32;
  if (rounding == 0) whole = nearest<f32>(value);
  else if (rounding == 1) whole = floor<f32>(value);
  else if (rounding == 2) whole = ceil<f32>(value);
  else whole = trunc<f32>(value);
  if (whole != value && (imm & 8) == 0) raise(PE);
  return reinterpret<u32>(whole);
}
