// RCPSS and RSQRTSS: approximations with a relative error of at most 1.5 * 2^-12. No exception is ever raised, MXCSR is
// not read, denormal operands are zeros and tiny results become zero.
// Intel SDM Vol. 2B, "RCPPS", "RSQRTPS". The manual leaves the low bits to the processor; here the exact quotient is
// rounded to 12 fraction bits, as many as a table lookup of that accuracy gives.

const SIGN: u32 = 0x80000000;
const INFINITY: u32 = 0x7f800000;
const DEFAULT_NAN: u32 = 0xffc00000;
const QUIET: u32 = 0x400000;

/** To nearest at bit 11; the carry runs into the exponent, as it should. */
@inline
function coarse(value: f64): u32 {
  const bits = reinterpret<u32>(<f32>value);
  return (bits + 0x400) & ~0x7ff;
}

export function f32_rcp(a: u32): u32 {
  const magnitude = a & ~SIGN;
  if (magnitude > INFINITY) return a | QUIET;
  if (magnitude < 0x800000) return (a & SIGN) | INFINITY;
  const result = coarse(1.0 / <f64>reinterpret<f32>(magnitude));
  return (a & SIGN) | (result < 0x800000 ? 0 : result);
}

export function f32_rsqrt(a: u32): u32 {
  const magnitude = a & ~SIGN;
  if (magnitude > INFINITY) return a | QUIET;
  if (magnitude < 0x800000) return (a & SIGN) | INFINITY;
  if (a & SIGN) return DEFAULT_NAN;
  if (magnitude == INFINITY) return 0;
  return coarse(1.0 / sqrt<f64>(<f64>reinterpret<f32>(a)));
}
