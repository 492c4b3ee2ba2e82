// SSE arithmetic in full: every operand class, rounding mode, DAZ and FTZ. The fast paths in f32.ts and f64.ts come
// here for whatever they do not settle.
//
// A single is widened to the bits of the double of the same value (always possible, NaN payloads included), so that
// one routine serves both formats; `single` says which one is meant.
// Intel SDM Vol. 1, "Operating on NaNs", "Numeric Overflow", "Numeric Underflow", "Exception Priority".
import { DAZ, DE, FTZ, IE, mxcsr, OE, OM, PE, raise, roundingControl, UE, UM, ZE } from './mxcsr';
import {
  addParts,
  divideParts,
  multiplyParts,
  resultExponent,
  resultHi,
  resultSign,
  roundedCarry,
  roundedInexact,
  roundedSig,
  roundResult,
  setNormalized,
  squareRootParts,
} from './round';

export const ADD = 0;
export const SUBTRACT = 1;
export const MULTIPLY = 2;
export const DIVIDE = 3;

const SIGN: u64 = 1 << 63;
const INFINITY: u64 = 0x7ff << 52;
const QUIET: u64 = 1 << 51;
const DEFAULT_NAN: u64 = 0xfff8 << 48;
const FRACTION: u64 = (1 << 52) - 1;

@inline
export function isNan64(bits: u64): bool {
  return bits << 1 > INFINITY << 1;
}

@inline
export function isSignaling64(bits: u64): bool {
  return isNan64(bits) && (bits & QUIET) == 0;
}

/** The bits of a single as the double of the same value. */
export function widen(bits: u32): u64 {
  const sign = (<u64>(bits & 0x80000000)) << 32;
  const exponent = <i32>(bits >> 23) & 0xff;
  let fraction = <u64>(bits & 0x7fffff);
  if (exponent == 0xff) return sign | INFINITY | (fraction << 29);
  if (exponent != 0) return sign | ((<u64>(exponent + 896)) << 52) | (fraction << 29);
  if (fraction == 0) return sign;
  const shift = clz<u32>(<u32>fraction) - 8;
  fraction = (fraction << shift) & 0x7fffff;
  return sign | ((<u64>(897 - shift)) << 52) | (fraction << 29);
}

/** A zero, infinity or NaN (or any number that the single format holds as a normal one) in the format. */
@inline
export function special(bits: u64, single: bool): u64 {
  return single ? ((bits >> 32) & 0xc0000000) | ((bits >> 29) & 0x3fffffff) : bits;
}

@inline
export function denormal32(bits: u32): bool {
  return (bits & 0x7f800000) == 0 && bits << 1 != 0;
}

@inline
export function denormal64(bits: u64): bool {
  return (bits & INFINITY) == 0 && bits << 1 != 0;
}

/** Exponent and significand of a finite nonzero double. */
@inline
export function exponentOf(bits: u64): i32 {
  const exponent = <i32>(bits >> 52) & 0x7ff;
  return exponent != 0 ? exponent - 1023 : -1011 - <i32>clz<u64>(bits & FRACTION);
}

@inline
export function significandOf(bits: u64): u64 {
  const fraction = bits & FRACTION;
  return (bits & INFINITY) != 0 ? SIGN | (fraction << 11) : fraction << clz<u64>(fraction);
}

/** The result of the last operation in the format, with overflow, underflow and precision raised. */
export function pack(control: u32, single: bool): u64 {
  const precision = single ? 24 : 53;
  const smallest = single ? -126 : -1022;
  const largest = single ? 127 : 1023;
  const rounding = roundingControl(control);
  const sign = (<u64>resultSign) << (single ? 31 : 63);
  let exponent = resultExponent;
  if (exponent >= smallest) {
    roundResult(precision, rounding);
    let sig = roundedSig;
    if (roundedCarry) exponent++;
    if (exponent > largest) {
      // Unmasked, the handler sees the result of an unbounded exponent: precision is lost only by its rounding.
      raise((control & OM) != 0 || roundedInexact ? OE | PE : OE);
      const toInfinity = rounding == 0 || rounding == (resultSign != 0 ? 1 : 2);
      const infinity: u64 = single ? 0x7f800000 : INFINITY;
      return sign | (toInfinity ? infinity : infinity - 1);
    }
    if (roundedInexact) raise(PE);
    if (roundedCarry) sig >>= 1;
    const hidden: u64 = 1 << (precision - 1);
    return sign | ((<u64>(exponent + largest)) << (precision - 1)) | (sig & (hidden - 1));
  }
  // Tiny unless rounding with an unbounded exponent already reaches the smallest normal number.
  roundResult(precision, rounding);
  const tiny = exponent < smallest - 1 || !roundedCarry;
  if (tiny && (control & UM) == 0) {
    raise(roundedInexact ? UE | PE : UE);
    return sign;
  }
  if (tiny && (control & FTZ) != 0) {
    raise(UE | PE);
    return sign;
  }
  roundResult(precision - (smallest - exponent), rounding);
  if (roundedInexact) raise(tiny ? UE | PE : PE);
  return sign | roundedSig;
}

/** The NaN result of two operands of which at least one is a NaN: the first one that is, quieted. */
function propagate(a: u64, b: u64, single: bool): u64 {
  if (isSignaling64(a) || isSignaling64(b)) raise(IE);
  return special((isNan64(a) ? a : b) | QUIET, single);
}

function invalid(single: bool): u64 {
  raise(IE);
  return special(DEFAULT_NAN, single);
}

export function arithmetic64(operation: i32, a: u64, b: u64): u64 {
  return arithmetic(operation, a, b, denormal64(a), denormal64(b), false);
}

export function arithmetic32(operation: i32, a: u32, b: u32): u32 {
  return <u32>arithmetic(operation, widen(a), widen(b), denormal32(a), denormal32(b), true);
}

function arithmetic(operation: i32, a: u64, b: u64, denormalA: bool, denormalB: bool, single: bool): u64 {
  const control = mxcsr();
  if (control & DAZ) {
    if (denormalA) a &= SIGN;
    if (denormalB) b &= SIGN;
    denormalA = denormalB = false;
  }
  if (isNan64(a) || isNan64(b)) return propagate(a, b, single);
  if (operation == SUBTRACT) {
    b ^= SIGN;
    operation = ADD;
  }
  const sign = (a ^ b) & SIGN;
  const magnitudeA = a & ~SIGN;
  const magnitudeB = b & ~SIGN;
  const denormal = denormalA || denormalB;

  if (magnitudeA == INFINITY || magnitudeB == INFINITY) {
    const both = magnitudeA == magnitudeB;
    let result: u64;
    if (operation == ADD) {
      if (both && sign != 0) return invalid(single);
      result = magnitudeA == INFINITY ? a : b;
    } else if (operation == MULTIPLY) {
      if (magnitudeA == 0 || magnitudeB == 0) return invalid(single);
      result = sign | INFINITY;
    } else {
      if (both) return invalid(single);
      result = magnitudeA == INFINITY ? sign | INFINITY : sign;
    }
    if (denormal) raise(DE);
    return special(result, single);
  }

  if (operation == DIVIDE && magnitudeB == 0) {
    if (magnitudeA == 0) return invalid(single);
    raise(ZE);
    return special(sign | INFINITY, single);
  }
  if (denormal) raise(DE);

  if (operation == ADD) {
    if (magnitudeA == 0 && magnitudeB == 0) {
      if (sign == 0) return special(a, single);
      return special(roundingControl(control) == 1 ? SIGN : 0, single);
    }
    if (magnitudeA == 0) setNormalized(<u32>(b >> 63), exponentOf(b), significandOf(b), 0);
    else if (magnitudeB == 0) setNormalized(<u32>(a >> 63), exponentOf(a), significandOf(a), 0);
    else {
      addParts(<u32>(a >> 63), exponentOf(a), significandOf(a), <u32>(b >> 63), exponentOf(b), significandOf(b));
      if (resultHi == 0) return special(roundingControl(control) == 1 ? SIGN : 0, single);
    }
  } else {
    if (magnitudeA == 0 || magnitudeB == 0) return special(sign, single);
    const negative = <u32>(sign >> 63);
    if (operation == MULTIPLY) {
      multiplyParts(negative, exponentOf(a), significandOf(a), exponentOf(b), significandOf(b));
    } else {
      divideParts(negative, exponentOf(a), significandOf(a), exponentOf(b), significandOf(b));
    }
  }
  return pack(control, single);
}

export function squareRoot64(a: u64): u64 {
  return squareRoot(a, denormal64(a), false);
}

export function squareRoot32(a: u32): u32 {
  return <u32>squareRoot(widen(a), denormal32(a), true);
}

function squareRoot(a: u64, denormal: bool, single: bool): u64 {
  const control = mxcsr();
  if (denormal && (control & DAZ) != 0) {
    a &= SIGN;
    denormal = false;
  }
  if (isNan64(a)) return propagate(a, a, single);
  if (a << 1 == 0) return special(a, single);
  if (a >> 63) return invalid(single);
  if (denormal) raise(DE);
  if (a == INFINITY) return special(a, single);
  squareRootParts(exponentOf(a), significandOf(a));
  return pack(control, single);
}

/** CVTSS2SD of anything but a normal number or zero. */
export function widenConvert(bits: u32): u64 {
  if (denormal32(bits)) {
    if (mxcsr() & DAZ) return (<u64>(bits & 0x80000000)) << 32;
    raise(DE);
    return widen(bits);
  }
  const wide = widen(bits);
  return isNan64(wide) ? propagate(wide, wide, false) : wide;
}

/** CVTSD2SS. */
export function narrowConvert(bits: u64): u32 {
  const control = mxcsr();
  if (isNan64(bits)) return <u32>propagate(bits, bits, true);
  if (denormal64(bits)) {
    if (control & DAZ) return <u32>special(bits & SIGN, true);
    raise(DE);
  }
  if ((bits & ~SIGN) == INFINITY || bits << 1 == 0) return <u32>special(bits, true);
  setNormalized(<u32>(bits >> 63), exponentOf(bits), significandOf(bits), 0);
  return <u32>pack(control, true);
}

/** An integer in the format; zero is positive in every rounding mode. */
export function fromInteger(value: i64, single: bool): u64 {
  if (value == 0) return 0;
  const negative = <u32>(value < 0);
  setNormalized(negative, 63, negative ? 0 - <u64>value : <u64>value, 0);
  return pack(mxcsr(), single);
}

/** A finite nonzero double as a signed integer of `bits` bits, or the integer indefinite with IE. */
export function toInteger(value: u64, truncate: bool, bits: i32): i64 {
  const indefinite: i64 = i64.MIN_VALUE >> (64 - bits);
  if ((value & INFINITY) == INFINITY) {
    raise(IE);
    return indefinite;
  }
  const exponent = exponentOf(value);
  if (exponent >= bits) {
    raise(IE);
    return indefinite;
  }
  setNormalized(<u32>(value >> 63), exponent, significandOf(value), 0);
  roundResult(exponent + 1, truncate ? 3 : roundingControl(mxcsr()));
  const magnitude = roundedSig;
  const limit: u64 = (1 << (bits - 1)) - u64(resultSign == 0);
  if (magnitude > limit) {
    raise(IE);
    return indefinite;
  }
  if (roundedInexact) raise(PE);
  return resultSign ? 0 - <i64>magnitude : <i64>magnitude;
}
