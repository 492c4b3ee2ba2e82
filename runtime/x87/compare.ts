// FCOM FUCOM FTST FXAM FCOMI FUCOMI FCMOV.
// Intel SDM Vol. 2A, "FCOM/FCOMP/FCOMPP", "FCOMI/FCOMIP/FUCOMI/FUCOMIP", "FXAM".
import {
  classify,
  DENORMAL,
  INFINITY,
  NORMAL,
  QUIET_NAN,
  setFromDouble,
  setFromSingle,
  setInteger,
  signOf,
  UNSUPPORTED,
  ZERO,
} from './number';
import {
  begin,
  beginQuietly,
  C0,
  C1,
  C2,
  C3,
  DE,
  head,
  headOf,
  IE,
  isEmpty,
  isStopped,
  mantissa,
  mantissaOf,
  pop,
  raise,
  SF,
  setNumber,
  setStatusBits,
  statusBits,
  underflowStack,
  writeNumber,
} from './state';

const LESS = C0;
const EQUAL = C3;
const UNORDERED = C0 | C2 | C3;

/** ST(0) against a number as condition codes, with the exceptions raised. `quiet`: quiet NaNs are no error. */
function relate(my: u64, hy: u32, denormal: bool, empty: bool, quiet: bool): u32 {
  if (empty) {
    raise(IE | SF);
    return UNORDERED;
  }
  const mx = mantissaOf(0);
  const hx = headOf(0);
  const kindX = classify(mx, hx);
  const kindY = classify(my, hy);
  if (kindX >= QUIET_NAN || kindY >= QUIET_NAN) {
    if (!quiet || kindX > QUIET_NAN || kindY > QUIET_NAN) raise(IE);
    return UNORDERED;
  }
  if (denormal || kindX == DENORMAL || kindY == DENORMAL) raise(DE);
  if (kindX == ZERO && kindY == ZERO) return EQUAL;
  if (signOf(hx) != signOf(hy)) return signOf(hx) ? LESS : 0;
  // A pseudo-denormal has the exponent of the denormals and the value of the smallest normal number.
  const ex = magnitudeExponent(mx, hx);
  const ey = magnitudeExponent(my, hy);
  if (ex == ey && mx == my) return EQUAL;
  const less = ex < ey || (ex == ey && mx < my);
  return less != (signOf(hx) != 0) ? LESS : 0;
}

@inline
function magnitudeExponent(m: u64, h: u32): u32 {
  const field = h & 0x7fff;
  return field == 0 && <i64>m < 0 ? 1 : field;
}

export function compareNumbers(m: u64, h: u32, denormal: bool, empty: bool, quiet: bool): void {
  begin();
  const codes = relate(m, h, denormal, empty, quiet);
  setStatusBits((statusBits() & ~UNORDERED) | codes);
}

/** FCOM, FUCOM (quiet) with ST(i), and 0 to 2 pops. */
export function x87_fcom(i: i32, pops: i32, quiet: i32): void {
  compareNumbers(mantissaOf(i), headOf(i), false, isEmpty(0) || isEmpty(i), quiet != 0);
  if (isStopped()) return;
  if (pops > 0) pop();
  if (pops > 1) pop();
}

/** ST(0) with a number of memory, and a pop where asked for. */
function compareLoaded(denormal: bool, pops: i32): i32 {
  compareNumbers(mantissa, head, denormal, isEmpty(0), false);
  if (pops != 0 && !isStopped()) pop();
  return 0;
}
export function fpu_fcom_f32(bits: u32, pops: i32): i32 {
  return compareLoaded(setFromSingle(bits), pops);
}
export function fpu_fcom_f64(bits: u64, pops: i32): i32 {
  return compareLoaded(setFromDouble(bits), pops);
}
export function fpu_fcom_int(value: i64, pops: i32): i32 {
  setInteger(value);
  return compareLoaded(false, pops);
}

/**
 * FCOMI, FUCOMI (quiet): ZF, PF and CF in their RFLAGS places. When x87_store_ok then says 0, RFLAGS must stay and
 * nothing is popped.
 */
export function x87_fcomi(i: i32, quiet: i32): i32 {
  beginQuietly(isEmpty(0) || isEmpty(i));
  const codes = relate(mantissaOf(i), headOf(i), false, isEmpty(0) || isEmpty(i), quiet != 0);
  return <i32>((codes >> 8) & 0x45);
}

export function x87_ftst(): void {
  compareNumbers(0, 0, false, isEmpty(0), false);
}

/** Codes C3 C2 C0 of the classes, in the order of the class numbers. */
@inline
function examine(kind: i32): u32 {
  if (kind == ZERO) return C3;
  if (kind == NORMAL) return C2;
  if (kind == DENORMAL) return C3 | C2;
  if (kind == INFINITY) return C2 | C0;
  return kind == UNSUPPORTED ? 0 : C0;
}

export function x87_fxam(): void {
  const codes = isEmpty(0) ? C3 | C0 : examine(classify(mantissaOf(0), headOf(0)));
  setStatusBits((statusBits() & ~(UNORDERED | C1)) | codes | (signOf(headOf(0)) ? C1 : 0));
}

/** FCMOVcc whose condition holds. */
export function x87_fcmov(i: i32): void {
  beginQuietly(isEmpty(0) || isEmpty(i));
  if (isEmpty(0) || isEmpty(i)) underflowStack();
  else setNumber(mantissaOf(i), headOf(i));
  writeNumber(0);
}

/** FCMOVcc whose condition does not hold: only a stack fault can happen. */
export function x87_fcmov_not(i: i32): void {
  beginQuietly(isEmpty(0) || isEmpty(i));
  if (!isEmpty(0) && !isEmpty(i)) return;
  underflowStack();
  writeNumber(0);
}
