// FLD in all formats, constants, FILD, FBLD, FXCH, FFREE, the stack pointer.
// Intel SDM Vol. 2A, "FLD", "FLD1/FLDL2T/FLDL2E/FLDPI/FLDLG2/FLDLN2/FLDZ", "FBLD".
import { setFromDouble, setFromSingle, setInteger, takeNan } from './number';
import { quickCopy, quickExchange, quickLoadDouble, quickLoadRegister, quickLoadSingle } from './quick';
import {
  begin,
  controlWord,
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
  pop,
  pushNumber,
  raise,
  SF,
  setEmpty,
  setNumber,
  setRegister,
  setTop,
  top,
  underflowStack,
  writeNumber,
} from './state';

/** The loaded number, whose memory format may have been denormal or a signaling NaN. */
function pushLoaded(denormal: bool): void {
  begin();
  if (!isEmpty(-1) || !denormal) {
    if (isEmpty(-1)) takeNan(mantissa, head);
    pushNumber();
    return;
  }
  // A load completes even when the denormal exception is unmasked.
  pushNumber();
  raise(DE);
}

export function fpu_fld_f32(bits: u32): i32 {
  if (!quickLoadSingle(bits)) pushLoaded(setFromSingle(bits));
  return 0;
}

export function fpu_fld_f64(bits: u64): i32 {
  if (!quickLoadDouble(bits)) pushLoaded(setFromDouble(bits));
  return 0;
}

/** Any 80 bits, without looking at them. */
export function x87_fld_f80(mantissa: u64, signExponent: i32): void {
  begin();
  setNumber(mantissa, <u32>signExponent & 0xffff);
  pushNumber();
}

export function x87_fild(value: i64): void {
  begin();
  setInteger(value);
  pushNumber();
}

export function fpu_fld_st(i: i32): i32 {
  if (!quickLoadRegister(i)) loadRegister(i);
  return 0;
}
function loadRegister(i: i32): void {
  begin();
  if (isEmpty(i)) {
    // Underflow comes before overflow.
    underflowStack();
    if (isStopped()) return;
    setTop(top() - 1);
    setRegister(0, mantissa, head);
    return;
  }
  setNumber(mantissaOf(i), headOf(i));
  pushNumber();
}

/** 0-6: 1, log2 10, log2 e, pi, log10 2, ln 2, 0. Rounded by RC from 66 bits and more. */
export function x87_fld_const(k: i32): void {
  begin();
  const rounding = (controlWord() >> 10) & 3;
  // The 64-bit mantissas are truncated; `up` says whether the rest is above one half. No constant is exact but 1 and 0.
  const away = rounding == 2;
  const near = rounding == 0;
  switch (k) {
    case 0:
      setNumber(0x8000000000000000, 0x3fff);
      break;
    case 1:
      setNumber(0xd49a784bcd1b8afe + u64(away), 0x4000);
      break;
    case 2:
      setNumber(0xb8aa3b295c17f0bb + u64(away || near), 0x3fff);
      break;
    case 3:
      setNumber(0xc90fdaa22168c234 + u64(away || near), 0x4000);
      break;
    case 4:
      setNumber(0x9a209a84fbcff798 + u64(away || near), 0x3ffd);
      break;
    case 5:
      setNumber(0xb17217f7d1cf79ab + u64(away || near), 0x3ffe);
      break;
    default:
      setNumber(0, 0);
  }
  pushNumber();
}

const DIGITS_PER_HALF = 8;

/** Packed decimal: 16 digits in `low`, 2 more and the sign in `high`. Digits above 9 are taken as they come. */
export function x87_fbld(low: u64, high: i32): void {
  let value: u64 = <u64>((high >> 4) & 15) * 10 + <u64>(high & 15);
  for (let i = 0; i < 2 * DIGITS_PER_HALF; i++) {
    value = value * 10 + (low >> 60);
    low <<= 4;
  }
  begin();
  setInteger(<i64>value);
  setNumber(mantissa, head | (<u32>high & 0x8000));
  pushNumber();
}

export function fpu_fxch(i: i32): i32 {
  if (!quickExchange(i)) exchange(i);
  return 0;
}
/** An empty register of the pair counts as the indefinite, when invalid operations are masked. */
function exchange(i: i32): void {
  begin();
  if (isEmpty(0) || isEmpty(i)) {
    raise(IE | SF);
    if (isStopped()) return;
    if (isEmpty(0)) setRegister(0, INDEFINITE, INDEFINITE_HEAD);
    if (isEmpty(i)) setRegister(i, INDEFINITE, INDEFINITE_HEAD);
  }
  const m = mantissaOf(0);
  const h = headOf(0);
  setRegister(0, mantissaOf(i), headOf(i));
  setRegister(i, m, h);
}

export function x87_ffree(i: i32): void {
  begin();
  setEmpty(i);
}

export function x87_fincstp(): void {
  begin();
  setTop(top() + 1);
}

export function x87_fdecstp(): void {
  begin();
  setTop(top() - 1);
}

/** FST, FSTP ST(i): copies ST(0); popped unless an unmasked exception stopped it. */
export function fpu_fst_st(i: i32, pops: i32): i32 {
  if (quickCopy(i, pops != 0)) return 0;
  begin();
  if (isEmpty(0)) underflowStack();
  else setNumber(mantissaOf(0), headOf(0));
  writeNumber(i);
  if (pops != 0 && !isStopped()) pop();
  return 0;
}

/** After a store that went through. */
export function x87_pop(): void {
  pop();
}
