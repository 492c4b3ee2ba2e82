// FPREM FPREM1 FRNDINT FSCALE FXTRACT.
// Intel SDM Vol. 2A, "FPREM", "FPREM1", "FRNDINT", "FSCALE", "FXTRACT".
import { roundedInexact, roundedSig, roundedUp, roundResult, setNormalized } from '../float/round';
import {
  classify,
  DENORMAL,
  EXPONENT,
  exponentOf,
  INFINITY,
  INTEGER_BIT,
  invalid,
  packTo,
  SIGN,
  setInteger,
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
  C0,
  C1,
  C2,
  C3,
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
  PE,
  pushNumber,
  raise,
  roundingMode,
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
  ZE,
} from './state';

/** Exponent distance that one step of the partial remainder takes off when 64 or more remain. */
const STEP_BASE: i32 = 32;

function remainder(toNearest: bool): void {
  begin();
  setStatusBits(statusBits() & ~C2);
  if (isEmpty(0) || isEmpty(1)) {
    underflowStack();
    writeNumber(0);
    return;
  }
  reduce(mantissaOf(0), headOf(0), mantissaOf(1), headOf(1), toNearest);
  writeNumber(0);
}

function reduce(mx: u64, hx: u32, my: u64, hy: u32, toNearest: bool): void {
  if (takeNans(mx, hx, my, hy)) return;
  const kindX = classify(mx, hx);
  const kindY = classify(my, hy);
  if (kindX == INFINITY || kindY == ZERO) return invalid();
  if (kindX == DENORMAL || kindY == DENORMAL) raise(DE);
  if (isStopped()) return;
  setStatusBits(statusBits() & ~(C0 | C3));
  if (kindX == ZERO) return setNumber(mx, hx);
  if (kindY == INFINITY) return setExact(signOf(hx), exponentOf(mx, hx), significandOf(mx));

  const divisor = significandOf(my);
  const ey = exponentOf(my, hy);
  const distance = exponentOf(mx, hx) - ey;
  let rest = significandOf(mx);
  let quotient: u32 = 0;
  let sign = signOf(hx);
  if (distance < -1 || (distance < 0 && !toNearest)) {
    return setExact(sign, ey + distance, rest);
  }
  // Long division, one quotient bit a step; carry is the 65th bit of the running remainder.
  const partial = distance >= 64;
  let steps = partial ? (distance & 31) + STEP_BASE : distance;
  const left = distance - steps;
  let carry = false;
  let scale = ey + left;
  if (distance < 0) {
    // Half of x against y decides; keep the weight of x's last bit.
    const above = rest > divisor;
    if (!above) return setExact(sign, ey - 1, rest);
    // x > y / 2: x - y, in units of half of y's last place.
    const negative = divisor - rest + divisor;
    quotient = 1;
    setCodes(quotient);
    // 2 * divisor - rest fits 64 bits, as rest > divisor.
    return setExact(sign ^ 1, ey - 1, negative);
  }
  for (; ; steps--) {
    quotient <<= 1;
    if (carry || rest >= divisor) {
      rest -= divisor;
      quotient |= 1;
    }
    if (steps == 0) break;
    carry = rest >> 63 != 0;
    rest <<= 1;
  }
  if (partial) {
    setConditions(C2);
  } else {
    if (toNearest && rest != 0) {
      const other = divisor - rest;
      if (rest > other || (rest == other && (quotient & 1) != 0)) {
        rest = other;
        sign ^= 1;
        quotient++;
      }
    }
    setCodes(quotient);
  }
  if (rest == 0) return setSignedZero(signOf(hx));
  setExact(sign, scale, rest);
}

@inline
function setCodes(quotient: u32): void {
  setConditions((quotient & 4 ? C0 : 0) | (quotient & 2 ? C3 : 0) | (quotient & 1 ? C1 : 0));
}

/** A number that is exact; only an unmasked underflow can be raised. */
function setExact(sign: u32, exponent: i32, sig: u64): void {
  setNormalized(sign, exponent, sig, 0);
  packTo(64);
}

export function x87_fprem(): void {
  remainder(false);
}

export function x87_fprem1(): void {
  remainder(true);
}

export function x87_frndint(): void {
  begin();
  if (isEmpty(0)) underflowStack();
  else roundToInteger(mantissaOf(0), headOf(0));
  writeNumber(0);
}

function roundToInteger(m: u64, h: u32): void {
  if (takeNan(m, h)) return;
  setNumber(m, h);
  const kind = classify(m, h);
  if (kind == ZERO || kind == INFINITY) return;
  if (kind == DENORMAL) raise(DE);
  const exponent = exponentOf(m, h);
  if (exponent >= 63 || isStopped()) return;
  setNormalized(signOf(h), exponent, significandOf(m), 0);
  roundResult(exponent + 1, roundingMode());
  if (roundedInexact) raise(roundedUp ? PE | C1 : PE);
  // 2^63 is the largest outcome, so it fits an unsigned integer only.
  const whole = roundedSig;
  const shift = clz<u64>(whole);
  if (whole == 0) setSignedZero(signOf(h));
  else setNumber(whole << shift, (h & SIGN) | (16383 + 63 - <u32>shift));
}

export function x87_fscale(): void {
  begin();
  if (isEmpty(0) || isEmpty(1)) underflowStack();
  else scale(mantissaOf(0), headOf(0), mantissaOf(1), headOf(1));
  writeNumber(0);
}

function scale(mx: u64, hx: u32, my: u64, hy: u32): void {
  if (takeNans(mx, hx, my, hy)) return;
  const kindX = classify(mx, hx);
  const kindY = classify(my, hy);
  const denormal = kindX == DENORMAL || kindY == DENORMAL;
  const down = signOf(hy) != 0;
  if (kindY == INFINITY) {
    if (down ? kindX == INFINITY : kindX == ZERO) return invalid();
    if (denormal) raise(DE);
    if (down) return setSignedZero(signOf(hx));
    return setSignedInfinity(signOf(hx));
  }
  if (denormal) raise(DE);
  if (kindX == ZERO || kindX == INFINITY) return setNumber(mx, hx);
  if (isStopped()) return;
  let distance: i32 = 0;
  if (kindY != ZERO) {
    const exponent = exponentOf(my, hy);
    // Beyond 2^16 the outcome is the same: far outside of the format.
    if (exponent > 15) distance = 65536;
    else if (exponent >= 0) distance = <i32>(significandOf(my) >> (63 - exponent));
    if (down) distance = -distance;
  }
  setNormalized(signOf(hx), exponentOf(mx, hx) + distance, significandOf(mx), 0);
  packTo(64);
}

/** The exponent replaces ST(0), the significand is pushed. */
export function x87_fxtract(): void {
  begin();
  if (isEmpty(0) || !isEmpty(-1)) {
    raise(isEmpty(0) ? IE | SF : IE | SF | C1);
    if (isStopped()) return;
    setRegister(0, INDEFINITE, INDEFINITE_HEAD);
    setTop(top() - 1);
    setRegister(0, INDEFINITE, INDEFINITE_HEAD);
    return;
  }
  const m = mantissaOf(0);
  const h = headOf(0);
  const kind = classify(m, h);
  if (takeNan(m, h)) {
    if (isStopped()) return;
    setRegister(0, mantissa, head);
    pushNumber();
    return;
  }
  if (kind == ZERO) {
    raise(ZE);
    if (isStopped()) return;
    setRegister(0, INTEGER_BIT, SIGN | EXPONENT);
    setNumber(m, h);
  } else if (kind == INFINITY) {
    setRegister(0, INTEGER_BIT, EXPONENT);
    setNumber(m, h);
  } else {
    if (kind == DENORMAL) raise(DE);
    if (isStopped()) return;
    setInteger(<i64>exponentOf(m, h));
    setRegister(0, mantissa, head);
    setNumber(significandOf(m), (h & SIGN) | 0x3fff);
  }
  pushNumber();
}
