// 128-bit integer steps on pairs of u64. A function returns the high half (or the quotient); the other half is in a
// global, because AssemblyScript has no multiple results. All are exact.

/** Low half of the last product or shift. */
export let wideLo: u64 = 0;
/** Remainder of the last division or square root (its low 64 bits). */
export let wideRest: u64 = 0;
/** 65th bit of the last square root's remainder, or carry/borrow of the last addition/subtraction. */
export let wideCarry: u64 = 0;

const LOW32: u64 = 0xffffffff;

/** High half of a * b. */
export function mulHigh(a: u64, b: u64): u64 {
  const a0 = a & LOW32;
  const a1 = a >> 32;
  const b0 = b & LOW32;
  const b1 = b >> 32;
  const t = a1 * b0 + ((a0 * b0) >> 32);
  const u = a0 * b1 + (t & LOW32);
  return a1 * b1 + (t >> 32) + (u >> 32);
}

/** (hi:lo) >> count with every lost bit or-ed into bit 0. count may be any non-negative number. */
export function shiftRightJam(hi: u64, lo: u64, count: u32): u64 {
  if (count == 0) {
    wideLo = lo;
    return hi;
  }
  if (count < 64) {
    const lost = lo << (64 - count);
    wideLo = (hi << (64 - count)) | (lo >> count) | u64(lost != 0);
    return hi >> count;
  }
  if (count < 128) {
    const shift = count - 64;
    const lost = shift == 0 ? lo : (hi << (64 - shift)) | lo;
    wideLo = (hi >> shift) | u64(lost != 0);
    return 0;
  }
  wideLo = u64((hi | lo) != 0);
  return 0;
}

/** Quotient of (hi:lo) / divisor for hi < divisor and a divisor with bit 63 set; Knuth's algorithm D in base 2^32. */
export function divideWide(hi: u64, lo: u64, divisor: u64): u64 {
  const d1 = divisor >> 32;
  const d0 = divisor & LOW32;
  const next = lo >> 32;
  let q1 = hi / d1;
  let r = hi - q1 * d1;
  while (q1 > LOW32 || q1 * d0 > ((r << 32) | next)) {
    q1--;
    r += d1;
    if (r > LOW32) break;
  }
  const middle = ((hi << 32) | next) - q1 * divisor;
  const last = lo & LOW32;
  let q0 = middle / d1;
  r = middle - q0 * d1;
  while (q0 > LOW32 || q0 * d0 > ((r << 32) | last)) {
    q0--;
    r += d1;
    if (r > LOW32) break;
  }
  wideRest = ((middle << 32) | last) - q0 * divisor;
  return (q1 << 32) | q0;
}

/** Floor of the square root of (hi:lo), for hi >= 2^62; the remainder is wideCarry:wideRest (65 bits). */
export function squareRootWide(hi: u64, lo: u64): u64 {
  // A 53-bit estimate (the conversion saturates), one Newton step, then single steps to the exact floor.
  let root = <u64>(sqrt<f64>(<f64>hi) * 4294967296.0);
  let restLo = lo - root * root;
  let restHi = hi - mulHigh(root, root) - u64(lo < root * root);
  const error = (<f64>(<i64>restHi) * 18446744073709551616.0 + <f64>restLo) / (2.0 * <f64>root);
  root += <i64>error;
  const square = root * root;
  restLo = lo - square;
  restHi = hi - mulHigh(root, root) - u64(lo < square);
  while (<i64>restHi < 0) {
    root--;
    const step = (root << 1) | 1;
    restLo += step;
    restHi += (root >> 63) + u64(restLo < step);
  }
  while (restHi > root >> 63 || (restHi == root >> 63 && restLo > root << 1)) {
    const step = (root << 1) | 1;
    restHi -= (root >> 63) + u64(restLo < step);
    restLo -= step;
    root++;
  }
  wideRest = restLo;
  wideCarry = restHi;
  return root;
}
