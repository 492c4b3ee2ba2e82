// FPATAN: the angle of the point (ST(0), ST(1)).
// Intel SDM Vol. 2A, "FPATAN", Table "FPATAN Results".
import { resultExponent, resultHi, resultLo, setNormalized, setResult } from '../float/round';
import { shiftRightJam, wideLo } from '../float/wide';
import { ARC_TANGENTS, ODD_RECIPROCALS, PI_HI, PI_LO } from './coefficients';
import { divideFixed, fixedLo, markInexact, multiplyFixed, scaleBy, series, toFixed } from './extended';
import {
  classify,
  DENORMAL,
  exponentOf,
  INFINITY,
  packTo,
  setSignedZero,
  significandOf,
  signOf,
  takeNans,
  ZERO,
} from './number';
import { begin, DE, headOf, isEmpty, isStopped, mantissaOf, pop, raise, underflowStack, writeNumber } from './state';

/** Arguments are at most 1/32 where a table value is taken, less than that elsewhere. */
const ARC_TANGENT_LAST = 12;

export function x87_fpatan(): void {
  begin();
  if (isEmpty(0) || isEmpty(1)) underflowStack();
  else angle(mantissaOf(0), headOf(0), mantissaOf(1), headOf(1));
  writeNumber(1);
  if (!isStopped()) pop();
}

/** quarters * pi / 4 with the sign, rounded; never exact. */
function setQuarters(sign: u32, quarters: u32): void {
  if (quarters == 3) {
    // 3/4 of pi: pi/2 + pi/4.
    const lo = (PI_LO >> 1) + (PI_LO >> 2);
    setNormalized(sign, 1, (PI_HI >> 1) + (PI_HI >> 2), lo);
    packTo(64);
    return;
  }
  setResult(sign, quarters == 4 ? 1 : quarters == 2 ? 0 : -1, PI_HI, PI_LO);
  packTo(64);
}

function angle(mx: u64, hx: u32, my: u64, hy: u32): void {
  if (takeNans(mx, hx, my, hy)) return;
  const kindX = classify(mx, hx);
  const kindY = classify(my, hy);
  const sign = signOf(hy);
  const left = signOf(hx) != 0;
  if (kindX == DENORMAL || kindY == DENORMAL) raise(DE);
  if (isStopped()) return;
  if (kindY == INFINITY) return setQuarters(sign, kindX != INFINITY ? 2 : left ? 3 : 1);
  if (kindY == ZERO || kindX == INFINITY) {
    if (left) return setQuarters(sign, 4);
    return setSignedZero(sign);
  }
  if (kindX == ZERO) return setQuarters(sign, 2);

  const ex = exponentOf(mx, hx);
  const sx = significandOf(mx);
  const ey = exponentOf(my, hy);
  const sy = significandOf(my);
  const steep = ey > ex || (ey == ex && sy > sx);
  if (steep) arcTangent(sx, ex, sy, ey);
  else arcTangent(sy, ey, sx, ex);
  if (!steep && !left) {
    setResult(sign, resultExponent, resultHi, resultLo);
    packTo(64);
    return;
  }
  // pi/2 - a above the diagonal (pi/2 + a to the left), else pi - a; in units of 2^-126.
  const baseHi = steep ? PI_HI >> 1 : PI_HI;
  const baseLo = steep ? (PI_LO >> 1) | (PI_HI << 63) : PI_LO;
  const hi = shiftRightJam(resultHi, resultLo, <u32>(1 - resultExponent));
  const lo = wideLo;
  if (steep && left) {
    const sum = baseLo + lo;
    setNormalized(sign, 1, baseHi + hi + u64(sum < lo), sum);
  } else {
    setNormalized(sign, 1, baseHi - hi - u64(baseLo < lo), baseLo - lo);
  }
  packTo(64);
}

/** atan(a / b) as the running number, positive, for 0 < a <= b. */
function arcTangent(sigA: u64, expA: i32, sigB: u64, expB: i32): void {
  const distance = expB - expA;
  let place: i32 = 0;
  if (distance <= 5) {
    // Nearest sixteenth of the quotient; an error of one in the choice would do no harm.
    const quotient = <f64>sigA / <f64>sigB / <f64>(1 << distance);
    place = <i32>nearest<f64>(quotient * 16.0);
  }
  let sign: u32 = 0;
  if (place == 0) {
    const quotient = divideFixed(sigA, 0, sigB, 0);
    setNormalized(0, -distance, quotient, fixedLo);
  } else {
    // (a - c b) / (b + c a) for c = place / 16; both terms times 16, in units of b's last place over 2^32: exact.
    const aLo = sigA << (32 - distance);
    const aHi = sigA >> (32 + distance);
    const bLo = sigB << 32;
    const bHi = sigB >> 32;
    const k = <u64>place;
    const a16Hi = (aHi << 4) | (aLo >> 60);
    const a16Lo = aLo << 4;
    const b16Hi = (bHi << 4) | (bLo >> 60);
    const b16Lo = bLo << 4;
    // k times a 96-bit number: the low half's high part is at most 4 bits.
    const kaHi = aHi * k + timesHigh(aLo, k);
    const kaLo = aLo * k;
    const kbHi = bHi * k + timesHigh(bLo, k);
    const kbLo = bLo * k;
    const sumLo = b16Lo + kaLo;
    setNormalized(0, 0, b16Hi + kaHi + u64(sumLo < kaLo), sumLo);
    const sumExponent = resultExponent;
    const sumHi = resultHi;
    const sumLow = resultLo;
    let differenceHi = a16Hi - kbHi - u64(a16Lo < kbLo);
    let differenceLo = a16Lo - kbLo;
    if (<i64>differenceHi < 0) {
      sign = 1;
      differenceHi = ~differenceHi + u64(differenceLo == 0);
      differenceLo = 0 - differenceLo;
    }
    setNormalized(0, 0, differenceHi, differenceLo);
    if (resultHi != 0) {
      const quotient = divideFixed(resultHi, resultLo, sumHi, sumLow);
      setNormalized(0, resultExponent - sumExponent, quotient, fixedLo);
    }
  }
  if (resultHi != 0) {
    const exponent = resultExponent;
    const hi = resultHi;
    const lo = resultLo;
    const fixedHi = toFixed();
    const low = fixedLo;
    const squareHi = multiplyFixed(fixedHi, low, fixedHi, low);
    const sum = series(ODD_RECIPROCALS, ARC_TANGENT_LAST, squareHi, fixedLo, true);
    const sumLo = fixedLo;
    setResult(0, exponent, hi, lo);
    scaleBy(sum, sumLo, 1);
    markInexact();
  }
  if (place == 0) return;
  const at = ARC_TANGENTS + ((<usize>place) << 4);
  const baseHi = load<u64>(at);
  const baseLo = load<u64>(at, 8);
  const hi = resultHi == 0 ? 0 : toFixed();
  const lo = resultHi == 0 ? 0 : fixedLo;
  if (sign) setNormalized(0, -1, baseHi - hi - u64(baseLo < lo), baseLo - lo);
  else {
    const sum = baseLo + lo;
    setNormalized(0, -1, baseHi + hi + u64(sum < lo), sum);
  }
}

/** High half of a * k for a small k. */
@inline
function timesHigh(a: u64, k: u64): u64 {
  return ((a >> 32) * k + (((a & 0xffffffff) * k) >> 32)) >> 32;
}
