// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM. Intel SDM Vol. 2B, "Imm8 Control Byte Operation for PCMPESTRI / PCMPESTRM /
// PCMPISTRI / PCMPISTRM".
//
//   imm 1:0 unsigned bytes, unsigned words, signed bytes, signed words    5:4 polarity
//       3:2 equal any, ranges, equal each, equal ordered                   6  last index, or expanded mask

const CF: u32 = 1;
const ZF: u32 = 0x40;
const SF: u32 = 0x80;
const OF: u32 = 0x800;

const EQUAL_ANY = 0;
const RANGES = 1;
const EQUAL_EACH = 2;

/** Bits of the lanes where a holds b, one per byte or word. */
@inline
function equalBits(a: v128, b: v128, words: bool): u32 {
  return words ? v128.bitmask<i16>(v128.eq<i16>(a, b)) : v128.bitmask<i8>(v128.eq<i8>(a, b));
}

@inline
function firstZero(a: v128, words: bool): i32 {
  const bits = equalBits(a, v128.splat<i8>(0), words) | (1 << (words ? 8 : 16));
  return <i32>ctz<u32>(bits);
}

/** Element `n` in every lane. */
@inline
function broadcast(a: v128, n: i32, words: bool): v128 {
  if (words) return v128.swizzle(a, v128.add<u8>(v128.splat<u8>(<u8>(n * 2)), v128.splat<u16>(0x0100)));
  return v128.swizzle(a, v128.splat<u8>(<u8>n));
}

/** Lanes x where a <= x, or x <= a when `above` is false. */
function ordered(bound: v128, x: v128, kind: i32, lower: bool): u32 {
  const small = lower ? bound : x;
  const large = lower ? x : bound;
  if (kind == 0) return v128.bitmask<i8>(v128.le<u8>(small, large));
  if (kind == 1) return v128.bitmask<i16>(v128.le<u16>(small, large));
  if (kind == 2) return v128.bitmask<i8>(v128.le<i8>(small, large));
  return v128.bitmask<i16>(v128.le<i16>(small, large));
}

/** Index in bits 15:0, IntRes2 in 31:16, status flags in 63:32. */
function compare(a: v128, lengthA: i32, b: v128, lengthB: i32, imm: i32): u64 {
  const kind = imm & 3;
  const words = (kind & 1) != 0;
  const count = words ? 8 : 16;
  const every: u32 = (1 << count) - 1;
  const validA: u32 = (1 << lengthA) - 1;
  const validB: u32 = (1 << lengthB) - 1;
  const aggregation = (imm >> 2) & 3;
  let result: u32 = 0;
  if (aggregation == EQUAL_ANY) {
    for (let n = 0; n < lengthA; n++) result |= equalBits(broadcast(a, n, words), b, words);
    result &= validB;
  } else if (aggregation == RANGES) {
    for (let n = 0; n + 1 < lengthA; n += 2) {
      result |= ordered(broadcast(a, n, words), b, kind, true) & ordered(broadcast(a, n + 1, words), b, kind, false);
    }
    result &= validB;
  } else if (aggregation == EQUAL_EACH) {
    result = equalBits(a, b, words) & validA & validB;
    // Both ended: equal.
    result |= every & ~(validA | validB);
  } else {
    // b from each position begins with a. Elements beyond the register do not count, elements beyond b differ.
    result = every;
    for (let n = 0; n < lengthA; n++) {
      const equal = equalBits(broadcast(a, n, words), b, words) & validB;
      result &= (equal >> n) | ~(every >> n);
    }
  }
  if (imm & 0x10) result ^= imm & 0x20 ? validB : every;
  result &= every;
  let index = count;
  if (result != 0) index = imm & 0x40 ? 31 - <i32>clz<u32>(result) : <i32>ctz<u32>(result);
  let flags: u32 = result & 1 ? OF : 0;
  if (result != 0) flags |= CF;
  if (lengthB < count) flags |= ZF;
  if (lengthA < count) flags |= SF;
  return ((<u64>flags) << 32) | ((<u64>result) << 16) | <u64>index;
}

export function simd_pcmpistr(a: v128, b: v128, imm: i32): u64 {
  const words = (imm & 1) != 0;
  return compare(a, firstZero(a, words), b, firstZero(b, words), imm);
}

@inline
function saturated(length: i64, words: bool): i32 {
  const magnitude: u64 = length < 0 ? 0 - <u64>length : <u64>length;
  const most: u64 = words ? 8 : 16;
  return <i32>min<u64>(magnitude, most);
}

export function simd_pcmpestr(a: v128, lengthA: i64, b: v128, lengthB: i64, imm: i32): u64 {
  const words = (imm & 1) != 0;
  return compare(a, saturated(lengthA, words), b, saturated(lengthB, words), imm);
}

/** XMM0 of the mask forms: the bits themselves, or a byte or word of ones for each. */
export function simd_pcmpmask(bits: u32, imm: i32): v128 {
  if ((imm & 0x40) == 0) return v128.replace_lane<u32>(v128.splat<u32>(0), 0, bits);
  if (imm & 1) {
    const each = i16x8(1, 2, 4, 8, 16, 32, 64, 128);
    return v128.eq<i16>(v128.and(v128.splat<u16>(<u16>bits), each), each);
  }
  const spread = v128.shuffle<u8>(
    v128.splat<u16>(<u16>bits),
    v128.splat<u8>(0),
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    1,
    1,
    1,
    1,
    1,
    1,
    1,
  );
  const each = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  return v128.eq<i8>(v128.and(spread, each), each);
}
