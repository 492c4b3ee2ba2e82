// The short way for the usual case: all exceptions masked, nearest, 64 or 53 bits, registers that are not empty, both operands
// and the result normal and far from the ends of the format. Same results and flags as the general way, several times faster:
// one look at the stack, and the result goes straight into its register. Each answers false, with nothing changed, when the
// general way must be taken.
import { CPU_BASE, FPR, FPU_EMPTY, FPU_TOP } from '../../src/x86/state';
import { divideWide, mulHigh, wideRest } from '../float/wide';
import { DIVIDE, DIVIDE_REVERSED, MULTIPLY, SUBTRACT, SUBTRACT_REVERSED } from './arith';
import { C1, controlWord, PE, setStatusBits, statusBits } from './state';

const MODE: u32 = 0xf3f;
const NEAREST_64: u32 = 0x33f;
const NEAREST_53: u32 = 0x23f;
/** The same where only the rounding matters. */
const ROUNDING: u32 = 0xc3f;
const NEAREST: u32 = 0x3f;
/** Biased exponents of operands that count as usual: products and quotients of them cannot leave the format. */
const LOWEST: u32 = 0x2100;
const SPAN: u32 = 0x3dff;
const BIAS: u32 = 0x3fff;
const SIGN: u32 = 0x8000;
const EXPONENT: u32 = 0x7fff;
const TOP_BIT: u64 = 1 << 63;
/** Bits of a 64-bit significand below the 53rd. */
const BELOW_53: u64 = 0x7ff;
/** Exponent of a double's smallest normal number in the 80-bit format, less one. */
const DOUBLE_SHIFT: u32 = 15360;
const SINGLE_SHIFT: u32 = 16256;

@inline
export function topNumber(): u32 {
  return load<u8>(CPU_BASE + FPU_TOP);
}
@inline
function emptyBits(): u32 {
  return load<u8>(CPU_BASE + FPU_EMPTY);
}
/** Where physical register `n` (modulo 8) lives. */
@inline
export function slot(n: u32): usize {
  return CPU_BASE + FPR + ((n & 7) << 4);
}
@inline
function isEmptyAt(n: u32): bool {
  return ((emptyBits() >> (n & 7)) & 1) != 0;
}
@inline
function put(at: usize, m: u64, h: u32): void {
  store<u64>(at, m);
  store<u16>(at + 8, h);
}
@inline
function clearC1(): void {
  setStatusBits(statusBits() & ~C1);
}
@inline
function popFrom(top: u32): void {
  store<u8>(CPU_BASE + FPU_EMPTY, emptyBits() | (1 << top));
  store<u8>(CPU_BASE + FPU_TOP, (top + 1) & 7);
}

@inline
function isUsual(mx: u64, hx: u32, my: u64, hy: u32): bool {
  return <i64>(mx & my) < 0 && (hx & EXPONENT) - LOWEST < SPAN && (hy & EXPONENT) - LOWEST < SPAN;
}
@inline
function isUsualMode(mode: u32): bool {
  return (mode & ~0x100) == NEAREST_53;
}

/** Rounds hi:lo, whose leading bit is set, and writes it with the sign and exponent. */
@inline
function finish(at: usize, mode: u32, sign: u32, exponent: u32, hi: u64, lo: u64): void {
  let inexact: bool;
  let up: bool;
  // More than half of the last place, or half of it and the last place odd.
  if (mode == NEAREST_64) {
    inexact = lo != 0;
    up = lo > TOP_BIT - (hi & 1);
    hi += u64(up);
  } else {
    const rest = hi & BELOW_53;
    hi -= rest;
    inexact = (rest | lo) != 0;
    up = ((rest << 1) | u64(lo != 0)) > 0x800 - ((hi >> 11) & 1);
    hi += u64(up) * (BELOW_53 + 1);
  }
  const carried = u32(hi == 0);
  setStatusBits((statusBits() & ~C1) | (u32(inexact) * PE) | (u32(up) * C1));
  put(at, hi | ((<u64>carried) << 63), sign | (exponent + carried));
}

/** x + y to `at`. */
@inline
function sum(at: usize, mx: u64, hx: u32, my: u64, hy: u32): bool {
  const mode = controlWord() & MODE;
  if (!isUsualMode(mode) || !isUsual(mx, hx, my, hy)) return false;
  const swaps = (hx & EXPONENT) < (hy & EXPONENT) || (((hx ^ hy) & EXPONENT) == 0 && mx < my);
  const m = swaps ? my : mx;
  const h = swaps ? hy : hx;
  const less = swaps ? mx : my;
  const exponent = h & EXPONENT;
  const distance = exponent - ((swaps ? hx : hy) & EXPONENT);
  if (distance > 63) return false;
  let hi = less >> distance;
  let lo = (less << 1) << (63 - distance);
  const isDifference = ((hx ^ hy) & SIGN) != 0;
  if (!isDifference) {
    hi += m;
    const carry = u32(hi < m);
    lo = carry ? (hi << 63) | (lo >> 1) | (lo & 1) : lo;
    hi = carry ? TOP_BIT | (hi >> 1) : hi;
    finish(at, mode, h & SIGN, exponent + carry, hi, lo);
    return true;
  }
  hi = m - hi - u64(lo != 0);
  lo = 0 - lo;
  if (hi == 0) return false;
  const shift = clz<u64>(hi);
  hi = (hi << shift) | ((lo >> 1) >> (63 - shift));
  finish(at, mode, h & SIGN, exponent - <u32>shift, hi, lo << shift);
  return true;
}

@inline
function product(at: usize, mx: u64, hx: u32, my: u64, hy: u32): bool {
  const mode = controlWord() & MODE;
  if (!isUsualMode(mode) || !isUsual(mx, hx, my, hy)) return false;
  const hi = mulHigh(mx, my);
  const lo = mx * my;
  const high = hi >> 63;
  const shift = high ^ 1;
  const exponent = (hx & EXPONENT) + (hy & EXPONENT) - BIAS + <u32>high;
  finish(at, mode, (hx ^ hy) & SIGN, exponent, (hi << shift) | ((lo >> 63) & shift), lo << shift);
  return true;
}

/** x / y to `at`. */
@inline
function quotient(at: usize, mx: u64, hx: u32, my: u64, hy: u32): bool {
  const mode = controlWord() & MODE;
  if (!isUsualMode(mode) || !isUsual(mx, hx, my, hy)) return false;
  const below = u32(mx < my);
  const hi = divideWide(below ? mx : mx >> 1, below ? 0 : mx << 63, my);
  const half = my - wideRest;
  const lo = wideRest >= half ? TOP_BIT | u64(wideRest > half) : u64(wideRest != 0);
  finish(at, mode, (hx ^ hy) & SIGN, (hx & EXPONENT) - (hy & EXPONENT) + BIAS - below, hi, lo);
  return true;
}

/** x op y to `at`; the reversed operations are y op x. `operation` is a constant. */
@inline
function operate(operation: i32, at: usize, mx: u64, hx: u32, my: u64, hy: u32): bool {
  if (operation == MULTIPLY) return product(at, mx, hx, my, hy);
  if (operation == DIVIDE) return quotient(at, mx, hx, my, hy);
  if (operation == DIVIDE_REVERSED) return quotient(at, my, hy, mx, hx);
  const flipX: u32 = operation == SUBTRACT_REVERSED ? SIGN : 0;
  const flipY: u32 = operation == SUBTRACT ? SIGN : 0;
  return sum(at, mx, hx ^ flipX, my, hy ^ flipY);
}

/** ST(dst) = ST(dst) op ST(src), then a pop where asked for. */
@inline
export function quickRegisters(operation: i32, dst: i32, src: i32, pops: bool): bool {
  const top = topNumber();
  const to = slot(top + dst);
  const from = slot(top + src);
  const empty = emptyBits();
  if ((((empty >> ((top + dst) & 7)) | (empty >> ((top + src) & 7))) & 1) != 0) return false;
  if (!operate(operation, to, load<u64>(to), load<u16>(to + 8), load<u64>(from), load<u16>(from + 8))) return false;
  if (pops) popFrom(top);
  return true;
}

/** ST(0) = ST(0) op a number; `operation` is known at run time only. */
export function quickNumber(operation: i32, m: u64, h: u32): bool {
  const top = topNumber();
  const to = slot(top);
  return !isEmptyAt(top) && operate(operation, to, load<u64>(to), load<u16>(to + 8), m, h);
}

/** Sign and exponent of a normal double and of a normal single. */
@inline
function headOfDouble(bits: u64): u32 {
  return (<u32>(bits >> 48) & SIGN) | ((<u32>(bits >> 52) & 0x7ff) + DOUBLE_SHIFT);
}
@inline
function isNormalDouble(bits: u64): bool {
  return (<u32>(bits >> 52) & 0x7ff) - 1 < 0x7fe;
}
@inline
function headOfSingle(bits: u32): u32 {
  return ((bits >> 16) & SIGN) | (((bits >> 23) & 0xff) + SINGLE_SHIFT);
}
@inline
function isNormalSingle(bits: u32): bool {
  return ((bits >> 23) & 0xff) - 1 < 0xfe;
}

/** ST(0) = ST(0) op a double. */
@inline
export function quickDouble(operation: i32, bits: u64): bool {
  const top = topNumber();
  const to = slot(top);
  if (isEmptyAt(top) || !isNormalDouble(bits)) return false;
  return operate(operation, to, load<u64>(to), load<u16>(to + 8), (bits << 11) | TOP_BIT, headOfDouble(bits));
}
@inline
export function quickSingle(operation: i32, bits: u32): bool {
  const top = topNumber();
  const to = slot(top);
  if (isEmptyAt(top) || !isNormalSingle(bits)) return false;
  return operate(operation, to, load<u64>(to), load<u16>(to + 8), ((<u64>bits) << 40) | TOP_BIT, headOfSingle(bits));
}

// ---- loads, stores, moves: no rounding but that of a store, whatever the precision ----
/** The new ST(0), where the register below is empty. */
@inline
function push(m: u64, h: u32): bool {
  const top = (topNumber() - 1) & 7;
  const empty = emptyBits();
  if (((empty >> top) & 1) == 0) return false;
  clearC1();
  put(slot(top), m, h);
  store<u8>(CPU_BASE + FPU_EMPTY, empty ^ (1 << top));
  store<u8>(CPU_BASE + FPU_TOP, top);
  return true;
}
@inline
export function quickLoadDouble(bits: u64): bool {
  return isNormalDouble(bits) && push((bits << 11) | TOP_BIT, headOfDouble(bits));
}
@inline
export function quickLoadSingle(bits: u32): bool {
  return isNormalSingle(bits) && push(((<u64>bits) << 40) | TOP_BIT, headOfSingle(bits));
}
@inline
export function quickLoadRegister(i: i32): bool {
  const n = topNumber() + i;
  return !isEmptyAt(n) && push(load<u64>(slot(n)), load<u16>(slot(n) + 8));
}
@inline
export function quickExchange(i: i32): bool {
  const top = topNumber();
  const empty = emptyBits();
  if ((((empty >> top) | (empty >> ((top + i) & 7))) & 1) != 0) return false;
  const first = slot(top);
  const second = slot(top + i);
  const m = load<u64>(first);
  const h = load<u16>(first + 8);
  put(first, load<u64>(second), load<u16>(second + 8));
  put(second, m, h);
  clearC1();
  return true;
}
/** FST and FSTP to a register, which becomes valid. */
@inline
export function quickCopy(i: i32, pops: bool): bool {
  const top = topNumber();
  if (isEmptyAt(top)) return false;
  const from = slot(top);
  put(slot(top + i), load<u64>(from), load<u16>(from + 8));
  store<u8>(CPU_BASE + FPU_EMPTY, emptyBits() & ~(1 << ((top + i) & 7)));
  clearC1();
  if (pops) popFrom(top);
  return true;
}

/** Whether ST(0) is a normal double, or one once it is rounded, and exceptions are masked. */
@inline
export function isQuickStore(top: u32, m: u64, h: u32): bool {
  return (
    (controlWord() & ROUNDING) == NEAREST && !isEmptyAt(top) && <i64>m < 0 && (h & EXPONENT) - DOUBLE_SHIFT - 1 < 0x7fd
  );
}
/** That number rounded to a double. */
@inline
export function roundedDouble(m: u64, h: u32): u64 {
  const rest = <u32>m & 0x7ff;
  // More than half of the last place, or half of it and the last place odd.
  const up = (rest + (<u32>(m >> 11) & 1) + 0x3ff) >> 11;
  setStatusBits((statusBits() & ~C1) | (u32(rest != 0) * PE) | (up * C1));
  // A carry goes into the exponent.
  const magnitude = ((<u64>((h & EXPONENT) - DOUBLE_SHIFT)) << 52) + ((m << 1) >> 12) + up;
  return magnitude | ((<u64>(h & SIGN)) << 48);
}
