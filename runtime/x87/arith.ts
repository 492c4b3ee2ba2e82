// FADD FMUL FSUB FDIV and their kin, FSQRT, FCHS, FABS.
// Intel SDM Vol. 2A, "FADD/FADDP/FIADD" and following; Vol. 1, "Exception Priority".
import { addParts, divideParts, multiplyParts, resultHi, setNormalized, squareRootParts } from '../float/round';
import {
  classify,
  DENORMAL,
  exponentOf,
  INFINITY,
  invalid,
  pack,
  SIGN,
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
  mantissa,
  mantissaOf,
  pop,
  raise,
  roundingMode,
  setNumber,
  underflowStack,
  writeNumber,
  ZE,
} from './state';

// Operations as in the reg field of D8: the value is ST(dst) op ST(src); the reversed ones are ST(src) op ST(dst).
export const ADD = 0;
export const MULTIPLY = 1;
export const SUBTRACT = 4;
export const SUBTRACT_REVERSED = 5;
export const DIVIDE = 6;
export const DIVIDE_REVERSED = 7;

/** x op y as the number; `denormal` adds that a memory operand was denormal in its own format. */
function compute(operation: i32, mx: u64, hx: u32, my: u64, hy: u32, denormal: bool): void {
  if (takeNans(mx, hx, my, hy)) return;
  if (operation == SUBTRACT || operation == SUBTRACT_REVERSED) hy ^= SIGN;
  const kindX = classify(mx, hx);
  const kindY = classify(my, hy);
  denormal = denormal || kindX == DENORMAL || kindY == DENORMAL;
  const signX = signOf(hx);
  const signY = signOf(hy);
  const sign = signX ^ signY;

  if (operation == MULTIPLY) {
    if (kindX == INFINITY || kindY == INFINITY) {
      if (kindX == ZERO || kindY == ZERO) return invalid();
      if (denormal) raise(DE);
      return setSignedInfinity(sign);
    }
    if (denormal) raise(DE);
    if (kindX == ZERO || kindY == ZERO) return setSignedZero(sign);
    multiplyParts(sign, exponentOf(mx, hx), significandOf(mx), exponentOf(my, hy), significandOf(my));
  } else if (operation >= DIVIDE) {
    if (kindX == INFINITY) {
      if (kindY == INFINITY) return invalid();
      if (denormal) raise(DE);
      return setSignedInfinity(sign);
    }
    if (kindY == ZERO) {
      if (kindX == ZERO) return invalid();
      raise(ZE);
      return setSignedInfinity(sign);
    }
    if (denormal) raise(DE);
    if (kindX == ZERO || kindY == INFINITY) return setSignedZero(sign);
    divideParts(sign, exponentOf(mx, hx), significandOf(mx), exponentOf(my, hy), significandOf(my));
  } else {
    if (kindX == INFINITY || kindY == INFINITY) {
      if (kindX == kindY && sign != 0) return invalid();
      if (denormal) raise(DE);
      return setSignedInfinity(kindX == INFINITY ? signX : signY);
    }
    if (denormal) raise(DE);
    const zeroSign = <u32>(roundingMode() == 1);
    if (kindX == ZERO && kindY == ZERO) return setSignedZero(sign == 0 ? signX : zeroSign);
    if (kindX == ZERO) setNormalized(signY, exponentOf(my, hy), significandOf(my), 0);
    else if (kindY == ZERO) setNormalized(signX, exponentOf(mx, hx), significandOf(mx), 0);
    else {
      addParts(signX, exponentOf(mx, hx), significandOf(mx), signY, exponentOf(my, hy), significandOf(my));
      if (resultHi == 0) return setSignedZero(zeroSign);
    }
  }
  if (!isStopped()) pack();
}

@inline
function isReversed(operation: i32): bool {
  return operation > DIVIDE || operation == SUBTRACT_REVERSED;
}

/**
 * ST(dst) = ST(dst) op ST(src), then a pop unless an unmasked exception stopped it. 0 add, 1 multiply, 4 dst - src,
 * 5 src - dst, 6 dst / src, 7 src / dst. DC and DE forms therefore exchange 4 with 5 and 6 with 7, as their mnemonics do.
 */
export function operateRegisters(operation: i32, dst: i32, src: i32, pops: bool): void {
  begin();
  if (isEmpty(dst) || isEmpty(src)) underflowStack();
  else if (isReversed(operation)) compute(operation, mantissaOf(src), headOf(src), mantissaOf(dst), headOf(dst), false);
  else compute(operation, mantissaOf(dst), headOf(dst), mantissaOf(src), headOf(src), false);
  writeNumber(dst);
  if (pops && !isStopped()) pop();
}

/** ST(0) op the number just loaded, whose memory format may have been denormal. */
export function operateLoaded(operation: i32, denormal: bool): void {
  const m = mantissa;
  const h = head;
  begin();
  if (isEmpty(0)) underflowStack();
  else if (isReversed(operation)) compute(operation, m, h, mantissaOf(0), headOf(0), denormal);
  else compute(operation, mantissaOf(0), headOf(0), m, h, denormal);
  writeNumber(0);
}

export function x87_fsqrt(): void {
  begin();
  if (isEmpty(0)) underflowStack();
  else squareRoot(mantissaOf(0), headOf(0));
  writeNumber(0);
}

function squareRoot(m: u64, h: u32): void {
  if (takeNan(m, h)) return;
  const kind = classify(m, h);
  if (kind == ZERO) return setNumber(m, h);
  if (signOf(h)) return invalid();
  if (kind == INFINITY) return setNumber(m, h);
  if (kind == DENORMAL) raise(DE);
  if (isStopped()) return;
  squareRootParts(exponentOf(m, h), significandOf(m));
  pack();
}

export function x87_fchs(): void {
  begin();
  if (isEmpty(0)) underflowStack();
  else setNumber(mantissaOf(0), headOf(0) ^ SIGN);
  writeNumber(0);
}

export function x87_fabs(): void {
  begin();
  if (isEmpty(0)) underflowStack();
  else setNumber(mantissaOf(0), headOf(0) & ~SIGN);
  writeNumber(0);
}
