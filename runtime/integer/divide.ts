/** Division of 128-bit dividends by 64-bit divisors, for DIV and IDIV of 8-byte operands. */

/**
 * Quotient of high:low by `divisor`; the caller has seen to `high < divisor`. Two digits of base 2^32, each estimated
 * from the divisor's upper digit and put right: Knuth, "The Art of Computer Programming", Vol. 2, 4.3.1, algorithm D.
 */
export function divideU128(high: u64, low: u64, divisor: u64): u64 {
  const shift = clz(divisor);
  const d = divisor << shift;
  const d1 = d >> 32;
  const d0 = d & 0xffffffff;
  // A shift by 64 - 0 would be one by 0.
  const top = shift == 0 ? high : (high << shift) | (low >> (64 - shift));
  const rest = low << shift;
  const first = digit(top, rest >> 32, d, d1, d0);
  const remainder = ((top << 32) | (rest >> 32)) - first * d;
  const second = digit(remainder, rest & 0xffffffff, d, d1, d0);
  return (first << 32) | second;
}

/** The largest q with q * d <= n * 2^32 + next; n < d and d has its top bit set, so q < 2^32. */
function digit(n: u64, next: u64, d: u64, d1: u64, d0: u64): u64 {
  let q = n / d1;
  let r = n - q * d1;
  while (q > 0xffffffff || q * d0 > ((r << 32) | next)) {
    q--;
    r += d1;
    if (r > 0xffffffff) break;
  }
  return q;
}

/** Whether the quotient of two's-complement high:low by `divisor` (not 0) fits 64 bits. */
export function quotientFitsS128(high: i64, low: u64, divisor: i64): i32 {
  const negative = (high ^ divisor) < 0;
  magnitudes(high, low, divisor);
  if (magnitudeHigh >= magnitudeDivisor) return 0;
  const quotient = divideU128(magnitudeHigh, magnitudeLow, magnitudeDivisor);
  return (quotient <= (negative ? 0x8000000000000000 : 0x7fffffffffffffff)) as i32;
}

/** That quotient, rounded towards zero. */
export function divideS128(high: i64, low: u64, divisor: i64): i64 {
  const negative = (high ^ divisor) < 0;
  magnitudes(high, low, divisor);
  const quotient = divideU128(magnitudeHigh, magnitudeLow, magnitudeDivisor) as i64;
  return negative ? -quotient : quotient;
}

let magnitudeHigh: u64 = 0;
let magnitudeLow: u64 = 0;
let magnitudeDivisor: u64 = 0;

function magnitudes(high: i64, low: u64, divisor: i64): void {
  const isNegative = high < 0;
  magnitudeLow = isNegative ? 0 - low : low;
  magnitudeHigh = isNegative ? ((~high + (low == 0 ? 1 : 0)) as u64) : (high as u64);
  magnitudeDivisor = divisor < 0 ? ((0 - divisor) as u64) : (divisor as u64);
}
