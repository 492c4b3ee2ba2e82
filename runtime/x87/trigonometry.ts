// FSIN FCOS FSINCOS FPTAN. The argument is reduced by a pi of 66 bits, exactly, as Intel's processors do; results then
// belong to the reduced argument, not to that of the true pi.
// Intel SDM Vol. 1, "Approximation of Pi", "Transcendental Instruction Accuracy"; Vol. 2A, "FSIN" and following.
import { resultExponent, resultHi, resultLo, resultSign, setNormalized, setResult } from '../float/round';
import { COSINE, PI66_HI, PI66_LO, SINE } from './coefficients';
import { divideFixed, fixedLo, markInexact, multiplyFixed, scaleBy, series, toFixed } from './extended';
import {
  classify,
  DENORMAL,
  exponentOf,
  INFINITY,
  invalid,
  packTo,
  setSignedZero,
  significandOf,
  signOf,
  takeNan,
  ZERO,
} from './number';
import {
  begin,
  C1,
  C2,
  DE,
  head,
  headOf,
  IE,
  INDEFINITE,
  INDEFINITE_HEAD,
  isEmpty,
  isStopped,
  mantissa,
  mantissaOf,
  raise,
  SF,
  setConditions,
  setNumber,
  setRegister,
  setStatusBits,
  setTop,
  statusBits,
  top,
  underflowStack,
  writeNumber,
} from './state';

const SINE_LAST = 13;
const COSINE_LAST = 14;
/** 2^63: beyond, the instructions do nothing but set C2. */
const LIMIT: i32 = 63;
const QUARTER_PI: u64 = 0xc90fdaa22168c234;

/** What is left to do for an operand. */
const DONE = 0;
const COMPUTE = 1;
const OUT_OF_RANGE = 2;

/** Reduced argument: sign, and significand and exponent as setResult takes them; quadrant modulo 4. */
let reducedSign: u32 = 0;
let reducedExponent: i32 = 0;
let reducedHi: u64 = 0;
let reducedLo: u64 = 0;
let quadrant: u32 = 0;
/** Square of the reduced argument, as a fraction. */
let squareHi: u64 = 0;
let squareLo: u64 = 0;

/** x = quadrant * pi/2 + r, |r| <= pi/4, for a finite nonzero x below 2^63. */
function reduce(m: u64, h: u32): void {
  const exponent = exponentOf(m, h);
  const sig = significandOf(m);
  quadrant = 0;
  setResult(signOf(h), exponent, sig, 0);
  if (exponent > -1 || (exponent == -1 && sig > QUARTER_PI)) {
    // In units of 2^-65 pi/2 is the 66-bit integer PI66, and x is sig << (exponent + 2): long division.
    let hi: u64 = 0;
    let lo = sig;
    for (let i = exponent + 2; i > 0; i--) {
      hi = (hi << 1) | (lo >> 63);
      lo <<= 1;
      quadrant <<= 1;
      if (hi > PI66_HI || (hi == PI66_HI && lo >= PI66_LO)) {
        hi -= PI66_HI + u64(lo < PI66_LO);
        lo -= PI66_LO;
        quadrant |= 1;
      }
    }
    let sign = signOf(h);
    const twiceHi = (hi << 1) | (lo >> 63);
    if (twiceHi > PI66_HI || (twiceHi == PI66_HI && lo << 1 > PI66_LO)) {
      hi = PI66_HI - hi - u64(PI66_LO < lo);
      lo = PI66_LO - lo;
      sign ^= 1;
      quadrant++;
    }
    if (signOf(h)) quadrant = 0 - quadrant;
    setNormalized(sign, 62, hi, lo);
  }
  reducedSign = resultSign;
  reducedExponent = resultExponent;
  reducedHi = resultHi;
  reducedLo = resultLo;
  const fixedHi = toFixed();
  const low = fixedLo;
  squareHi = multiplyFixed(fixedHi, low, fixedHi, low);
  squareLo = fixedLo;
}

/** sin r as the running number. */
function sineOfReduced(): void {
  const hi = series(SINE, SINE_LAST, squareHi, squareLo, true);
  setResult(reducedSign, reducedExponent, reducedHi, reducedLo);
  scaleBy(hi, fixedLo, 1);
  markInexact();
}

/** cos r as the running number. */
function cosineOfReduced(): void {
  const hi = series(COSINE, COSINE_LAST, squareHi, squareLo, true);
  setNormalized(0, 0, hi, fixedLo | 1);
}

/** sin(x + turns * pi/2) as the number. */
function sineOfTurned(turns: u32): void {
  const place = quadrant + turns;
  if (place & 1) cosineOfReduced();
  else sineOfReduced();
  setResult(resultSign ^ ((place >> 1) & 1), resultExponent, resultHi, resultLo);
  packTo(64);
}

/** Looks at ST(0): a zero is left to the caller as COMPUTE with exponent field and mantissa zero. */
function examine(m: u64, h: u32): i32 {
  if (takeNan(m, h)) return DONE;
  const kind = classify(m, h);
  if (kind == INFINITY) {
    invalid();
    return DONE;
  }
  if (kind == ZERO) return COMPUTE;
  if (exponentOf(m, h) >= LIMIT) {
    setConditions(C2);
    return OUT_OF_RANGE;
  }
  if (kind == DENORMAL) raise(DE);
  if (isStopped()) return DONE;
  reduce(m, h);
  return COMPUTE;
}

@inline
function start(): void {
  begin();
  setStatusBits(statusBits() & ~C2);
}

function one(turns: u32): void {
  start();
  if (isEmpty(0)) {
    underflowStack();
    writeNumber(0);
    return;
  }
  const m = mantissaOf(0);
  const h = headOf(0);
  const next = examine(m, h);
  if (next == OUT_OF_RANGE) return;
  if (next == COMPUTE) {
    if (m != 0) sineOfTurned(turns);
    else if (turns) setNumber(1 << 63, 0x3fff);
    else setNumber(m, h);
  }
  writeNumber(0);
}

export function x87_fsin(): void {
  one(0);
}

export function x87_fcos(): void {
  one(1);
}

/** Replaces ST(0) by one number and pushes another. */
function replaceAndPush(m: u64, h: u32, pushedM: u64, pushedH: u32): void {
  setRegister(0, m, h);
  setTop(top() - 1);
  setRegister(0, pushedM, pushedH);
}

/** The stack faults of instructions with one operand and two results; true when there was one. */
function faultsPushing(): bool {
  if (!isEmpty(0) && isEmpty(-1)) return false;
  raise(isEmpty(0) ? IE | SF : IE | SF | C1);
  if (!isStopped()) replaceAndPush(INDEFINITE, INDEFINITE_HEAD, INDEFINITE, INDEFINITE_HEAD);
  return true;
}

/** ST(0) becomes the sine, then the cosine is pushed. */
export function x87_fsincos(): void {
  start();
  if (faultsPushing()) return;
  const m = mantissaOf(0);
  const h = headOf(0);
  const next = examine(m, h);
  if (next == OUT_OF_RANGE || isStopped()) return;
  if (next == DONE) return replaceAndPush(mantissa, head, mantissa, head);
  if (m == 0) return replaceAndPush(m, h, 1 << 63, 0x3fff);
  sineOfTurned(0);
  const sineM = mantissa;
  const sineH = head;
  sineOfTurned(1);
  replaceAndPush(sineM, sineH, mantissa, head);
}

/** ST(0) becomes the tangent, then 1 is pushed (the NaN again, for a NaN). */
export function x87_fptan(): void {
  start();
  if (faultsPushing()) return;
  const m = mantissaOf(0);
  const h = headOf(0);
  const next = examine(m, h);
  if (next == OUT_OF_RANGE || isStopped()) return;
  if (next == DONE) return replaceAndPush(mantissa, head, mantissa, head);
  if (m == 0) setSignedZero(signOf(h));
  else {
    tangent();
    packTo(64);
  }
  replaceAndPush(mantissa, head, 1 << 63, 0x3fff);
}

function tangent(): void {
  if (reducedExponent < -64 && (quadrant & 1) == 0) {
    // x + x^3/3: above x by less than any rounding sees.
    setResult(reducedSign, reducedExponent, reducedHi, reducedLo | 1);
    return;
  }
  sineOfReduced();
  const sineExponent = resultExponent;
  const sineHi = resultHi;
  const sineLo = resultLo;
  cosineOfReduced();
  // In odd quadrants tan(r + pi/2) = -cos r / sin r.
  const turned = (quadrant & 1) != 0;
  const hi = turned ? divideFixed(resultHi, resultLo, sineHi, sineLo) : divideFixed(sineHi, sineLo, resultHi, resultLo);
  const exponent = turned ? resultExponent - sineExponent : sineExponent - resultExponent;
  setNormalized(reducedSign ^ u32(turned), exponent, hi, fixedLo | 1);
}
