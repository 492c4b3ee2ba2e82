// Unpacked numbers and their rounding, shared by SSE (24 and 53 bits) and x87 (64 bits).
//
// A finite nonzero number is (-1)^sign * (hi:lo) * 2^(exponent - 127), bit 63 of hi set: the leading bit weighs
// 2^exponent. Bits that do not fit below lo are or-ed into its bit 0 (sticky), which no rounding can mistake.
import { divideWide, mulHigh, shiftRightJam, squareRootWide, wideCarry, wideLo, wideRest } from './wide';

/** The result of the last operation below. hi = 0 means an exact zero (its sign is the caller's matter). */
export let resultSign: u32 = 0;
export let resultExponent: i32 = 0;
export let resultHi: u64 = 0;
export let resultLo: u64 = 0;

export function setResult(sign: u32, exponent: i32, hi: u64, lo: u64): void {
  resultSign = sign;
  resultExponent = exponent;
  resultHi = hi;
  resultLo = lo;
}

/** Any (hi:lo), leading bit anywhere; exponent is the weight of bit 63 of hi. */
export function setNormalized(sign: u32, exponent: i32, hi: u64, lo: u64): void {
  if (hi == 0) {
    hi = lo;
    lo = 0;
    exponent -= 64;
  }
  if (hi != 0) {
    const shift = clz(hi);
    if (shift != 0) {
      hi = (hi << shift) | (lo >> (64 - shift));
      lo <<= shift;
      exponent -= <i32>shift;
    }
  }
  setResult(sign, exponent, hi, lo);
}

/** x + y of two 64-bit significands; subtraction is addition of the negated sign. */
export function addParts(signX: u32, expX: i32, sigX: u64, signY: u32, expY: i32, sigY: u64): void {
  if (expX < expY || (expX == expY && sigX < sigY)) {
    const sign = signX;
    const exponent = expX;
    const sig = sigX;
    signX = signY;
    expX = expY;
    sigX = sigY;
    signY = sign;
    expY = exponent;
    sigY = sig;
  }
  const hi = shiftRightJam(sigY, 0, expX - expY);
  const lo = wideLo;
  if (signX == signY) {
    const sum = sigX + hi;
    if (sum < hi) setResult(signX, expX + 1, (1 << 63) | (sum >> 1), (sum << 63) | (lo >> 1) | (lo & 1));
    else setResult(signX, expX, sum, lo);
  } else {
    setNormalized(signX, expX, sigX - hi - u64(lo != 0), 0 - lo);
  }
}

export function multiplyParts(sign: u32, expX: i32, sigX: u64, expY: i32, sigY: u64): void {
  const hi = mulHigh(sigX, sigY);
  const lo = sigX * sigY;
  if (<i64>hi < 0) setResult(sign, expX + expY + 1, hi, lo);
  else setResult(sign, expX + expY, (hi << 1) | (lo >> 63), lo << 1);
}

export function divideParts(sign: u32, expX: i32, sigX: u64, expY: i32, sigY: u64): void {
  let quotient: u64;
  let exponent = expX - expY;
  if (sigX < sigY) {
    quotient = divideWide(sigX, 0, sigY);
    exponent--;
  } else {
    quotient = divideWide(sigX >> 1, sigX << 63, sigY);
  }
  const half = sigY - wideRest;
  const above = wideRest >= half;
  setResult(sign, exponent, quotient, (u64(above) << 63) | u64(above ? wideRest > half : wideRest != 0));
}

export function squareRootParts(exponent: i32, sig: u64): void {
  const odd = exponent & 1;
  const root = odd ? squareRootWide(sig, 0) : squareRootWide(sig >> 1, sig << 63);
  // (root + 1/2)^2 = root^2 + root + 1/4: the remainder says on which side of the half the true root lies.
  const above = wideCarry != 0 || wideRest > root;
  setResult(0, exponent >> 1, root, (u64(above) << 63) | u64((wideRest | wideCarry) != 0));
}

/** The outcome of roundResult: the significand as an integer, whether it carried into bit `keep`, and what was lost. */
export let roundedSig: u64 = 0;
export let roundedCarry: bool = false;
export let roundedInexact: bool = false;
/** The magnitude went up (x87's C1). */
export let roundedUp: bool = false;

/** Rounds the result to its leading `keep` bits (at most 64; zero or negative when it lies below the last place). */
export function roundResult(keep: i32, rounding: u32): void {
  let sig: u64 = 0;
  let rest = resultHi;
  let sticky = resultLo != 0;
  if (keep >= 64) {
    sig = resultHi;
    rest = resultLo;
    sticky = false;
  } else if (keep > 0) {
    sig = resultHi >> (64 - keep);
    rest = resultHi << keep;
  } else if (keep < 0) {
    rest = 1;
    sticky = true;
  }
  roundedInexact = rest != 0 || sticky;
  let up = false;
  if (roundedInexact) {
    if (rounding == 0) up = <i64>rest < 0 && (rest << 1 != 0 || sticky || (sig & 1) != 0);
    else if (rounding == 1) up = resultSign != 0;
    else if (rounding == 2) up = resultSign == 0;
  }
  roundedUp = up;
  roundedCarry = false;
  if (up) {
    sig++;
    roundedCarry = keep >= 64 ? sig == 0 : keep >= 0 && sig >> keep != 0;
  }
  roundedSig = sig;
}
