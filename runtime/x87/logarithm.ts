// F2XM1 FYL2X FYL2XP1.
// Intel SDM Vol. 2A, "F2XM1"; Vol. 2B, "FYL2X", "FYL2XP1".
import { resultExponent, resultHi, resultLo, resultSign, setNormalized, setResult } from '../float/round';
import { shiftRightJam, wideLo } from '../float/wide';
import { EXPONENTIAL, HALF_LOG2E_HI, HALF_LOG2E_LO, LN2_HI, LN2_LO, ODD_RECIPROCALS } from './coefficients';
import { divideFixed, fixedLo, markInexact, multiplyFixed, scaleBy, series, toFixed } from './extended';
import {
  classify,
  DENORMAL,
  EXPONENT,
  exponentOf,
  INFINITY,
  invalid,
  packTo,
  setSignedInfinity,
  setSignedZero,
  significandOf,
  signOf,
  takeNan,
  takeNans,
  ZERO,
} from './number';
import {
  begin,
  DE,
  head,
  headOf,
  isEmpty,
  isStopped,
  mantissaOf,
  PE,
  pop,
  raise,
  setNumber,
  UE,
  underflowStack,
  writeNumber,
  ZE,
} from './state';

const EXPONENTIAL_LAST = 25;
const LOGARITHM_LAST = 19;
const ROOT_2: u64 = 0xb504f333f9de6484;
const ONE_HALF: u64 = 1 << 63;

export function x87_f2xm1(): void {
  begin();
  if (isEmpty(0)) underflowStack();
  else exponential(mantissaOf(0), headOf(0));
  writeNumber(0);
}

/** 2^x - 1 = t * ((e^t - 1) / t) with t = x ln 2. Outside of [-1, 1], where the manual promises nothing, x stays. */
function exponential(m: u64, h: u32): void {
  if (takeNan(m, h)) return;
  setNumber(m, h);
  const kind = classify(m, h);
  if (kind == ZERO) return;
  if (kind == INFINITY) {
    if (signOf(h)) setNumber(ONE_HALF, 0xbfff);
    return;
  }
  if (kind == DENORMAL) raise(DE);
  const exponent = exponentOf(m, h);
  if (isStopped() || exponent >= 0) {
    if (isStopped() || exponent > 0 || m != ONE_HALF) return;
    // 1 and -1/2 are exact, but the processors set the flag.
    raise(PE);
    if (signOf(h)) setNumber(ONE_HALF, 0xbffe);
    return;
  }
  setResult(signOf(h), exponent, significandOf(m), 0);
  scaleBy(LN2_HI, LN2_LO, 0);
  const sign = resultSign;
  const tExponent = resultExponent;
  const tHi = resultHi;
  const tLo = resultLo;
  const fixedHi = toFixed();
  const factor = series(EXPONENTIAL, EXPONENTIAL_LAST, fixedHi, fixedLo, sign != 0);
  const factorLo = fixedLo;
  setResult(sign, tExponent, tHi, tLo);
  scaleBy(factor, factorLo, 1);
  markInexact();
  packTo(64);
}

/**
 * The running number becomes log2((1 + s) / (1 - s)) for the running number s, |s| < 0.1716: 2/ln 2 * atanh s.
 */
function doubleArcTangent(): void {
  const sign = resultSign;
  const exponent = resultExponent;
  const hi = resultHi;
  const lo = resultLo;
  const fixedHi = toFixed();
  const low = fixedLo;
  const squareHi = multiplyFixed(fixedHi, low, fixedHi, low);
  const sum = series(ODD_RECIPROCALS, LOGARITHM_LAST, squareHi, fixedLo, false);
  const sumLo = fixedLo;
  setResult(sign, exponent, hi, lo);
  scaleBy(sum, sumLo, 1);
  scaleBy(HALF_LOG2E_HI, HALF_LOG2E_LO, 2);
}

/** log2 of sig * 2^(exponent - 63), sig with its top bit set, as the running number; zero for 1. */
function logarithm(sig: u64, sigLo: u64, exponent: i32): void {
  // m = sig scaled into [sqrt 1/2, sqrt 2); s = (m - 1) / (m + 1), both terms exact in 128 bits with two to spare.
  const small = sig <= ROOT_2;
  if (!small) exponent++;
  const low = (sig << 62) | (sigLo >> 2);
  const high = sig >> 2;
  // In units of 2^-125 (m below 2^1 when small, else halved by the units 2^-126).
  const oneHi: u64 = small ? 1 << 61 : 1 << 62;
  let sign: u32 = 0;
  let differenceHi = high - oneHi;
  let differenceLo = low;
  if (high < oneHi) {
    sign = 1;
    differenceLo = 0 - low;
    differenceHi = oneHi - high - u64(low != 0);
  }
  if ((differenceHi | differenceLo) == 0) {
    setInteger128(exponent);
    return;
  }
  setNormalized(0, 0, high + oneHi, low);
  const sumExponent = resultExponent;
  const sumHi = resultHi;
  const sumLo = resultLo;
  setNormalized(sign, 0, differenceHi, differenceLo);
  const quotient = divideFixed(resultHi, resultLo, sumHi, sumLo);
  setNormalized(sign, resultExponent - sumExponent, quotient, fixedLo);
  doubleArcTangent();
  if (exponent != 0) addInteger(exponent);
}

function setInteger128(value: i32): void {
  setNormalized(u32(value < 0), 63, <u64>(value < 0 ? -value : value), 0);
}

/** The running number (at most one half) plus a nonzero integer, in units of 2^-100. */
function addInteger(value: i32): void {
  const sign = u32(value < 0);
  const magnitude = (<u64>(value < 0 ? -value : value)) << 36;
  const hi = shiftRightJam(resultHi, resultLo, <u32>(27 - resultExponent));
  const lo = wideLo;
  if (sign == resultSign) setNormalized(sign, 27, magnitude + hi, lo);
  else setNormalized(sign, 27, magnitude - hi - u64(lo != 0), 0 - lo);
}

/** The running number times y. Exact results set the precision (and underflow) flag too, as the processors do it. */
function timesOperand(m: u64, h: u32, exact: bool): void {
  setResult(resultSign ^ signOf(h), resultExponent + 1 + exponentOf(m, h), resultHi, resultLo);
  scaleBy(significandOf(m), 0, 0);
  if (!exact) markInexact();
  packTo(64);
  raise((head & EXPONENT) == 0 ? UE | PE : PE);
}

/** ST(1) = ST(1) * log2 ST(0), then a pop. */
export function x87_fyl2x(): void {
  begin();
  if (isEmpty(0) || isEmpty(1)) underflowStack();
  else multiplyLogarithm(mantissaOf(0), headOf(0), mantissaOf(1), headOf(1));
  writeNumber(1);
  if (!isStopped()) pop();
}

function multiplyLogarithm(mx: u64, hx: u32, my: u64, hy: u32): void {
  if (takeNans(mx, hx, my, hy)) return;
  const kindX = classify(mx, hx);
  const kindY = classify(my, hy);
  const signX = signOf(hx);
  const signY = signOf(hy);
  if (kindX == ZERO) {
    if (kindY == ZERO) return invalid();
    if (kindY != INFINITY) raise(ZE);
    return setSignedInfinity(signY ^ 1);
  }
  if (signX) return invalid();
  const exponent = kindX == INFINITY ? 1 : exponentOf(mx, hx);
  const sig = kindX == INFINITY ? ONE_HALF : significandOf(mx);
  const isOne = exponent == 0 && sig == ONE_HALF;
  if ((kindX == INFINITY && kindY == ZERO) || (kindY == INFINITY && isOne)) return invalid();
  if (kindX == DENORMAL || kindY == DENORMAL) raise(DE);
  // Below 1 the logarithm is negative.
  const sign = signY ^ u32(exponent < 0);
  if (kindX == INFINITY || kindY == INFINITY) return setSignedInfinity(sign);
  if (kindY == ZERO || isOne) return setSignedZero(isOne ? signY : sign);
  if (isStopped()) return;
  logarithm(sig, 0, exponent);
  timesOperand(my, hy, sig == ONE_HALF);
}

/** ST(1) = ST(1) * log2(ST(0) + 1), then a pop. */
export function x87_fyl2xp1(): void {
  begin();
  if (isEmpty(0) || isEmpty(1)) underflowStack();
  else multiplyLogarithmPlus1(mantissaOf(0), headOf(0), mantissaOf(1), headOf(1));
  writeNumber(1);
  if (!isStopped()) pop();
}

function multiplyLogarithmPlus1(mx: u64, hx: u32, my: u64, hy: u32): void {
  if (takeNans(mx, hx, my, hy)) return;
  const kindX = classify(mx, hx);
  const kindY = classify(my, hy);
  const sign = signOf(hx) ^ signOf(hy);
  if (kindX == INFINITY) {
    // log2 of minus infinity does not exist, 0 * infinity neither.
    if (signOf(hx) || kindY == ZERO) return invalid();
    if (kindY == DENORMAL) raise(DE);
    return setSignedInfinity(sign);
  }
  if (kindY == INFINITY && kindX == ZERO) return invalid();
  if (kindX == DENORMAL || kindY == DENORMAL) raise(DE);
  if (kindX != ZERO && signOf(hx) && exponentOf(mx, hx) >= 0) {
    // At and below -1; far outside of the range that the manual defines.
    return invalid();
  }
  if (kindY == INFINITY) return setSignedInfinity(sign);
  if (kindX == ZERO || kindY == ZERO) return setSignedZero(sign);
  if (isStopped()) return;
  const exact = logarithmPlus1(significandOf(mx), exponentOf(mx, hx), signOf(hx));
  timesOperand(my, hy, exact);
}

/** log2(1 + x); true when 1 + x is a power of 2. */
function logarithmPlus1(sig: u64, exponent: i32, sign: u32): bool {
  if (exponent < -2) {
    // |x| < 1/4: s = x / (2 + x), the denominator in units of 2^-125.
    const hi = shiftRightJam(sig, 0, <u32>(2 - exponent));
    const lo = wideLo;
    if (sign) setNormalized(0, 2, (1 << 62) - hi - u64(lo != 0), 0 - lo);
    else setNormalized(0, 2, (1 << 62) + hi, lo);
    const sumExponent = resultExponent;
    const quotient = divideFixed(sig, 0, resultHi, resultLo);
    setNormalized(sign, exponent - sumExponent, quotient, fixedLo);
    doubleArcTangent();
    return false;
  }
  // 1 + x with all the bits that matter.
  if (exponent > 100) setResult(0, exponent, sig, 0);
  else if (exponent < 0) {
    const hi = shiftRightJam(sig, 0, <u32>(1 - exponent));
    const lo = wideLo;
    if (sign) setNormalized(0, 1, (1 << 62) - hi - u64(lo != 0), 0 - lo);
    else setNormalized(0, 1, (1 << 62) + hi, lo);
  } else {
    const hi = shiftRightJam(ONE_HALF, 0, <u32>exponent + 1);
    const lo = wideLo;
    const sum = (sig << 63) + lo;
    setNormalized(0, exponent + 1, (sig >> 1) + hi + u64(sum < lo), sum);
  }
  const exact = resultHi == ONE_HALF && resultLo == 0;
  logarithm(resultHi, resultLo, resultExponent);
  return exact;
}
