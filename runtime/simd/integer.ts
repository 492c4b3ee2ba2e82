// Integer vector operations too long to be composed in place. Intel SDM Vol. 2B, "MPSADBW", "PHMINPOSUW", "PCLMULQDQ".

/** MPSADBW: eight windows of a (from byte 4 * imm[2]) against four bytes of b (from byte 4 * imm[1:0]). */
export function simd_mpsadbw(a: v128, b: v128, imm: i32): v128 {
  // Bytes 0-10 of the windows, one byte position of the block after the other.
  const bytes = imm & 4 ? v128.shuffle<u8>(a, a, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0) : a;
  const block = v128.shr<u64>(
    imm & 2 ? v128.shuffle<u64>(b, b, 1, 1) : v128.shuffle<u64>(b, b, 0, 0),
    imm & 1 ? 32 : 0,
  );
  let sum = difference(bytes, block, 0);
  sum = v128.add<u16>(
    sum,
    difference(v128.shuffle<u8>(bytes, bytes, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0), block, 1),
  );
  sum = v128.add<u16>(
    sum,
    difference(v128.shuffle<u8>(bytes, bytes, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1), block, 2),
  );
  return v128.add<u16>(
    sum,
    difference(v128.shuffle<u8>(bytes, bytes, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2), block, 3),
  );
}

/** |low eight bytes of a - byte n of block|, as words. */
@inline
function difference(a: v128, block: v128, n: i32): v128 {
  const one = v128.and(v128.shr<u32>(block, n * 8), v128.splat<u32>(0xff));
  const words = v128.splat<u16>(<u16>v128.extract_lane<u32>(one, 0));
  return v128.abs<i16>(v128.sub<i16>(v128.extend_low<u8>(a), words));
}

/** PHMINPOSUW: the smallest word and, above it, the index of its first occurrence. */
export function simd_phminposuw(a: v128): v128 {
  let least = v128.min<u16>(a, v128.shuffle<u16>(a, a, 4, 5, 6, 7, 0, 1, 2, 3));
  least = v128.min<u16>(least, v128.shuffle<u16>(least, least, 2, 3, 0, 1, 4, 5, 6, 7));
  least = v128.min<u16>(least, v128.shuffle<u16>(least, least, 1, 0, 2, 3, 4, 5, 6, 7));
  const word = v128.extract_lane<u16>(least, 0);
  const index = ctz<i32>(v128.bitmask<i16>(v128.eq<i16>(a, v128.splat<u16>(word))));
  return v128.replace_lane<u32>(v128.splat<u32>(0), 0, ((<u32>index) << 16) | <u32>word);
}

// ---- carry-less multiplication ----
// Integer products of operands thinned to every fourth bit: the sums of a column fit the three free bits above it, so
// no carry reaches the next kept bit (the last column's overflow leaves the word).

const EVERY_0: u64 = 0x1111111111111111;
const EVERY_1: u64 = 0x2222222222222222;
const EVERY_2: u64 = 0x4444444444444444;
const EVERY_3: u64 = 0x8888888888888888;

/** Low 64 bits of the carry-less product. */
function lowProduct(x: u64, y: u64): u64 {
  const x0 = x & EVERY_0,
    x1 = x & EVERY_1,
    x2 = x & EVERY_2,
    x3 = x & EVERY_3;
  const y0 = y & EVERY_0,
    y1 = y & EVERY_1,
    y2 = y & EVERY_2,
    y3 = y & EVERY_3;
  const z0 = (x0 * y0) ^ (x1 * y3) ^ (x2 * y2) ^ (x3 * y1);
  const z1 = (x0 * y1) ^ (x1 * y0) ^ (x2 * y3) ^ (x3 * y2);
  const z2 = (x0 * y2) ^ (x1 * y1) ^ (x2 * y0) ^ (x3 * y3);
  const z3 = (x0 * y3) ^ (x1 * y2) ^ (x2 * y1) ^ (x3 * y0);
  return (z0 & EVERY_0) | (z1 & EVERY_1) | (z2 & EVERY_2) | (z3 & EVERY_3);
}

function reverseBits(x: u64): u64 {
  x = ((x >> 1) & 0x5555555555555555) | ((x & 0x5555555555555555) << 1);
  x = ((x >> 2) & 0x3333333333333333) | ((x & 0x3333333333333333) << 2);
  x = ((x >> 4) & 0x0f0f0f0f0f0f0f0f) | ((x & 0x0f0f0f0f0f0f0f0f) << 4);
  return bswap<u64>(x);
}

/** imm bit 0 picks the half of a, bit 4 that of b. */
export function simd_pclmulqdq(a: v128, b: v128, imm: i32): v128 {
  const x = imm & 1 ? v128.extract_lane<u64>(a, 1) : v128.extract_lane<u64>(a, 0);
  const y = imm & 16 ? v128.extract_lane<u64>(b, 1) : v128.extract_lane<u64>(b, 0);
  // The product mirrored: its low 64 bits are the high 63 of the true one.
  const high = reverseBits(lowProduct(reverseBits(x), reverseBits(y))) >> 1;
  return v128.replace_lane<u64>(v128.splat<u64>(lowProduct(x, y)), 1, high);
}
