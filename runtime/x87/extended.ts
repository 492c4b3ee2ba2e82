// 128-bit arithmetic for the transcendental instructions: unsigned fractions (hi:lo) / 2^128, and the running number
// of float/round.ts with its 128-bit significand. Errors are a few units of the last of 128 places, so that a result
// rounded to 64 places is the nearest one except when the true value lies within about 2^-60 places of a tie.
import { resultExponent, resultHi, resultLo, resultSign, setNormalized } from '../float/round';
import { divideWide, mulHigh, shiftRightJam, wideLo, wideRest } from '../float/wide';

/** Low half of the last fraction computed. */
export let fixedLo: u64 = 0;

/** The product of two fractions, truncated. */
export function multiplyFixed(aHi: u64, aLo: u64, bHi: u64, bLo: u64): u64 {
  let hi = mulHigh(aHi, bHi);
  let lo = aHi * bHi;
  const first = mulHigh(aHi, bLo);
  lo += first;
  hi += u64(lo < first);
  const second = mulHigh(aLo, bHi);
  lo += second;
  hi += u64(lo < second);
  fixedLo = lo;
  return hi;
}

/** a / 2b as a fraction, for a and b with their top bits set. */
export function divideFixed(aHi: u64, aLo: u64, bHi: u64, bLo: u64): u64 {
  let quotient = divideWide(aHi >> 1, (aHi << 63) | (aLo >> 1), bHi);
  const partHi = mulHigh(quotient, bLo);
  let restLo = 0 - quotient * bLo;
  let restHi = wideRest - partHi - u64(restLo != 0);
  // Whether the estimate was too large shows in the sign of a 129-bit remainder; two corrections are enough.
  let negative = wideRest < partHi || (wideRest == partHi && restLo != 0);
  while (negative) {
    quotient--;
    const sum = restLo + bLo;
    const carry = u64(sum < bLo);
    const high = restHi + bHi + carry;
    negative = !(high < restHi || (high == restHi && carry != 0));
    restLo = sum;
    restHi = high;
  }
  fixedLo = restHi >= bHi ? u64.MAX_VALUE : divideWide(restHi, restLo, bHi);
  return quotient;
}

/** Sum of table[k] * z^k for k = 0 to last, with alternating signs on request; the table holds fractions. */
export function series(table: usize, last: i32, zHi: u64, zLo: u64, alternating: bool): u64 {
  let at = table + ((<usize>last) << 4);
  let hi = load<u64>(at);
  let lo = load<u64>(at, 8);
  while (at != table) {
    at -= 16;
    const termHi = multiplyFixed(hi, lo, zHi, zLo);
    const termLo = fixedLo;
    hi = load<u64>(at);
    lo = load<u64>(at, 8);
    if (alternating) {
      hi -= termHi + u64(lo < termLo);
      lo -= termLo;
    } else {
      lo += termLo;
      hi += termHi + u64(lo < termLo);
    }
  }
  fixedLo = lo;
  return hi;
}

/** The running number (below 1) as a fraction. */
export function toFixed(): u64 {
  const hi = shiftRightJam(resultHi, resultLo, <u32>(-1 - resultExponent));
  fixedLo = wideLo;
  return hi;
}

/** The running number times a fraction times 2^power. */
export function scaleBy(hi: u64, lo: u64, power: i32): void {
  const productHi = multiplyFixed(resultHi, resultLo, hi, lo);
  setNormalized(resultSign, resultExponent + power, productHi, fixedLo);
}

/** Something was lost below the last place: no rounding may take the running number for exact. */
export function markInexact(): void {
  setNormalized(resultSign, resultExponent, resultHi, resultLo | 1);
}
