// Numbers of the 80-bit format: classes, NaN rules, rounding into the format.
// Intel SDM Vol. 1, "Real Numbers and Non-Finite Numbers", "Unsupported Double Extended-Precision Floating-Point
// Encodings and Pseudo-Denormals", "Operating on NaNs".
import {
  resultExponent,
  resultSign,
  roundedCarry,
  roundedInexact,
  roundedSig,
  roundedUp,
  roundResult,
} from '../float/round';
import {
  C1,
  controlWord,
  IE,
  OE,
  PE,
  precision,
  raise,
  roundingMode,
  setConditions,
  setIndefinite,
  setNumber,
  UE,
} from './state';

export const SIGN: u32 = 0x8000;
export const EXPONENT: u32 = 0x7fff;
export const INTEGER_BIT: u64 = 1 << 63;
const QUIET: u64 = 1 << 62;
const BIAS: i32 = 16383;
const SMALLEST: i32 = -16382;
/** Exponent adjustment of an unmasked overflow or underflow, 3 * 2^13. */
const WRAP: i32 = 24576;

export const ZERO = 0;
export const NORMAL = 1;
/** Denormals and pseudo-denormals. */
export const DENORMAL = 2;
export const INFINITY = 3;
export const QUIET_NAN = 4;
export const SIGNALING_NAN = 5;
/** Pseudo-NaN, pseudo-infinity, unnormal. */
export const UNSUPPORTED = 6;

export function classify(m: u64, h: u32): i32 {
  const exponent = h & EXPONENT;
  if (exponent == 0) return m == 0 ? ZERO : DENORMAL;
  if (<i64>m >= 0) return UNSUPPORTED;
  if (exponent != EXPONENT) return NORMAL;
  if (m == INTEGER_BIT) return INFINITY;
  return m & QUIET ? QUIET_NAN : SIGNALING_NAN;
}

/** Weight of the leading bit of a finite nonzero number. */
@inline
export function exponentOf(m: u64, h: u32): i32 {
  const field = <i32>(h & EXPONENT);
  return (field == 0 ? 1 : field) - BIAS - <i32>clz<u64>(m);
}

@inline
export function significandOf(m: u64): u64 {
  return m << clz<u64>(m);
}

@inline
export function signOf(h: u32): u32 {
  return (h >> 15) & 1;
}

/** A masked invalid operation gives the indefinite. */
export function invalid(): void {
  raise(IE);
  setIndefinite();
}

/**
 * The outcome for one operand that is a NaN or unsupported; false when it is neither. Quiets a signaling NaN.
 */
export function takeNan(m: u64, h: u32): bool {
  const kind = classify(m, h);
  if (kind < QUIET_NAN) return false;
  if (kind == UNSUPPORTED) invalid();
  else {
    if (kind == SIGNALING_NAN) raise(IE);
    setNumber(m | QUIET, h);
  }
  return true;
}

/** The same for two operands: of two NaNs a quiet one is preferred, then the larger significand, then the positive. */
export function takeNans(m1: u64, h1: u32, m2: u64, h2: u32): bool {
  const kind1 = classify(m1, h1);
  const kind2 = classify(m2, h2);
  if (kind1 < QUIET_NAN && kind2 < QUIET_NAN) return false;
  if (kind1 == UNSUPPORTED || kind2 == UNSUPPORTED) {
    invalid();
    return true;
  }
  if (kind1 == SIGNALING_NAN || kind2 == SIGNALING_NAN) raise(IE);
  let first: bool;
  if (kind2 < QUIET_NAN) first = true;
  else if (kind1 < QUIET_NAN) first = false;
  else if (kind1 != kind2) first = kind1 == QUIET_NAN;
  else if (m1 != m2) first = m1 > m2;
  else first = h1 <= h2;
  setNumber((first ? m1 : m2) | QUIET, first ? h1 : h2);
  return true;
}

/** The result of the last operation rounded to `keep` bits in the format; raises overflow, underflow, precision. */
export function packTo(keep: i32): void {
  const control = controlWord();
  const rounding = roundingMode();
  const sign = resultSign << 15;
  let exponent = resultExponent;
  roundResult(keep, rounding);
  let inexact = roundedInexact;
  let up = roundedUp;
  const carry = roundedCarry;
  let sig = carry ? INTEGER_BIT : roundedSig << (64 - keep);
  if (carry) exponent++;
  if (exponent > BIAS) {
    // Only FSCALE gets so far that even the adjusted exponent overflows.
    const massive = (control & OE) == 0 && exponent - WRAP > BIAS;
    if ((control & OE) != 0 || massive) {
      raise(OE | PE);
      const toInfinity = massive || rounding == 0 || rounding == (resultSign != 0 ? 1 : 2);
      if (toInfinity) {
        setConditions(C1);
        setNumber(INTEGER_BIT, sign | EXPONENT);
      } else {
        setNumber((<u64>-1) << (64 - keep), sign | (EXPONENT - 1));
      }
      return;
    }
    raise(OE);
    exponent -= WRAP;
  } else if (resultExponent < SMALLEST) {
    const tiny = resultExponent < SMALLEST - 1 || !carry;
    if (tiny && (control & UE) == 0) {
      if (exponent + WRAP < SMALLEST) {
        raise(UE | PE);
        return setSignedZero(resultSign);
      }
      raise(UE);
      exponent += WRAP;
    } else {
      const lost = SMALLEST - resultExponent;
      roundResult(keep - lost, rounding);
      inexact = roundedInexact;
      up = roundedUp;
      sig = roundedSig << (64 - keep);
      exponent = sig >> 63 ? SMALLEST : SMALLEST - 1;
      if (inexact && tiny) raise(UE);
    }
  }
  if (inexact) raise(up ? PE | C1 : PE);
  setNumber(sig, sign | (<u32>(exponent + BIAS) & EXPONENT));
}

/** Rounded as the control word says. */
export function pack(): void {
  packTo(precision());
}

export function setSignedZero(sign: u32): void {
  setNumber(0, sign << 15);
}

export function setSignedInfinity(sign: u32): void {
  setNumber(INTEGER_BIT, (sign << 15) | EXPONENT);
}

/** An exact integer as a number. */
export function setInteger(value: i64): void {
  if (value == 0) {
    setNumber(0, 0);
    return;
  }
  const magnitude = value < 0 ? 0 - <u64>value : <u64>value;
  const shift = clz<u64>(magnitude);
  setNumber(magnitude << shift, (value < 0 ? SIGN : 0) | (<u32>(BIAS + 63) - <u32>shift));
}

/** A double's bits as a number, without any exception; true when it was denormal. */
export function setFromDouble(bits: u64): bool {
  const sign = <u32>(bits >> 48) & SIGN;
  const field = <u32>(bits >> 52) & 0x7ff;
  const fraction = bits << 11;
  if (field == 0x7ff) setNumber(fraction | INTEGER_BIT, sign | EXPONENT);
  else if (field != 0) setNumber(fraction | INTEGER_BIT, sign | (field + 15360));
  else if (fraction << 1 == 0) setNumber(0, sign);
  else {
    const shift = clz<u64>(fraction);
    setNumber(fraction << shift, sign | (15361 - <u32>shift));
    return true;
  }
  return false;
}

/** A single's bits. */
export function setFromSingle(bits: u32): bool {
  const sign = (bits >> 16) & SIGN;
  const field = (bits >> 23) & 0xff;
  const fraction = (<u64>bits) << 40;
  if (field == 0xff) setNumber(fraction | INTEGER_BIT, sign | EXPONENT);
  else if (field != 0) setNumber(fraction | INTEGER_BIT, sign | (field + 16256));
  else if (fraction << 1 == 0) setNumber(0, sign);
  else {
    const small = fraction & ~INTEGER_BIT;
    const shift = clz<u64>(small);
    setNumber(small << shift, sign | (16257 - <u32>shift));
    return true;
  }
  return false;
}
