// The short way for the usual case: all exceptions masked, nearest, 64 or 53 bits, both operands and the result normal
// and far from the ends of the format. Same results and flags as the general way in arith.ts, a few times faster.
import { divideWide, mulHigh, wideRest } from '../float/wide';
import { C1, controlWord, PE, setNumber, setStatusBits, statusBits } from './state';

const MODE: u32 = 0xf3f;
const NEAREST_64: u32 = 0x33f;
const NEAREST_53: u32 = 0x23f;
/** Biased exponents of operands that count as usual: products and quotients of them cannot leave the format. */
const LOWEST: u32 = 0x2100;
const SPAN: u32 = 0x3dff;
const BIAS: i32 = 0x3fff;
const SIGN: u32 = 0x8000;
const TOP_BIT: u64 = 1 << 63;
/** Bits of a 64-bit significand below the 53rd. */
const BELOW_53: u64 = 0x7ff;

const MULTIPLY = 1;
const SUBTRACT = 4;
const SUBTRACT_REVERSED = 5;
const DIVIDE = 6;

@inline
function isUsual(m: u64, h: u32): bool {
  return <i64>m < 0 && (h & 0x7fff) - LOWEST < SPAN;
}

/** x op y as the number, or false when the general way must be taken. C1 is clear. */
export function quickCompute(operation: i32, mx: u64, hx: u32, my: u64, hy: u32): bool {
  const mode = controlWord() & MODE;
  if ((mode != NEAREST_64 && mode != NEAREST_53) || !isUsual(mx, hx) || !isUsual(my, hy)) return false;
  let hi: u64;
  let lo: u64;
  let sign = (hx ^ hy) & SIGN;
  let exponent: i32;
  if (operation == MULTIPLY) {
    hi = mulHigh(mx, my);
    lo = mx * my;
    exponent = <i32>(hx & 0x7fff) + <i32>(hy & 0x7fff) - BIAS + 1;
    if (<i64>hi >= 0) {
      hi = (hi << 1) | (lo >> 63);
      lo <<= 1;
      exponent--;
    }
  } else if (operation >= DIVIDE) {
    exponent = <i32>(hx & 0x7fff) - <i32>(hy & 0x7fff) + BIAS;
    if (mx < my) {
      hi = divideWide(mx, 0, my);
      exponent--;
    } else {
      hi = divideWide(mx >> 1, mx << 63, my);
    }
    const half = my - wideRest;
    lo = wideRest >= half ? TOP_BIT | u64(wideRest > half) : u64(wideRest != 0);
  } else {
    if (operation == SUBTRACT || operation == SUBTRACT_REVERSED) {
      hy ^= SIGN;
      sign ^= SIGN;
    }
    let ex = hx & 0x7fff;
    let ey = hy & 0x7fff;
    if (ex < ey || (ex == ey && mx < my)) {
      const m = mx;
      mx = my;
      my = m;
      const e = ex;
      ex = ey;
      ey = e;
      hx = hy;
    }
    const distance = ex - ey;
    if (distance > 63) return false;
    hi = my >> distance;
    lo = distance == 0 ? 0 : my << (64 - distance);
    exponent = ex;
    if (sign == 0) {
      hi += mx;
      if (hi < mx) {
        lo = (hi << 63) | (lo >> 1) | (lo & 1);
        hi = TOP_BIT | (hi >> 1);
        exponent++;
      }
    } else {
      hi = mx - hi - u64(lo != 0);
      lo = 0 - lo;
      if (hi == 0) return false;
      const shift = clz<u64>(hi);
      if (shift != 0) {
        hi = (hi << shift) | (lo >> (64 - shift));
        lo <<= shift;
        exponent -= <i32>shift;
      }
    }
    sign = hx & SIGN;
  }

  let inexact: bool;
  let up: bool;
  if (mode == NEAREST_64) {
    inexact = lo != 0;
    up = lo > TOP_BIT || (lo == TOP_BIT && (hi & 1) != 0);
    if (up) hi++;
  } else {
    const rest = hi & BELOW_53;
    hi -= rest;
    inexact = (rest | lo) != 0;
    up = rest > 0x400 || (rest == 0x400 && (lo != 0 || (hi & (BELOW_53 + 1)) != 0));
    if (up) hi += BELOW_53 + 1;
  }
  if (hi == 0) {
    hi = TOP_BIT;
    exponent++;
  }
  if (inexact) setStatusBits(statusBits() | (up ? PE | C1 : PE));
  setNumber(hi, sign | <u32>exponent);
  return true;
}
