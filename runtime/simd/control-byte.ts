// Control bytes of shuffles, blends and byte shifts as vectors of byte indexes, for the interpreter, whose immediates
// are known only at run time: 0-15 the first source, 16-31 the second, above them zero. The numbers of the rules are
// those of src/x86/semantics/sse-shuffle.ts.
import { four } from './f32x4';

const PSHUFD = 0;
const PSHUFLW = 1;
const PSHUFHW = 2;
const SHUFPS = 3;
const SHUFPD = 4;
const RIGHT = 5;
const LEFT = 6;
const BLENDPS = 7;
const BLENDPD = 8;

/** Indexes of the bytes of doubleword n. */
@inline
function dword(n: u32): u32 {
  return 0x03020100 + n * 0x04040404;
}
/** Two-bit field n. */
@inline
function field(imm: u32, n: u32): u32 {
  return (imm >> (2 * n)) & 3;
}
/** Indexes of the bytes of two words. */
@inline
function words(low: u32, high: u32): u32 {
  return 0x01000100 + low * 0x0202 + high * 0x02020000;
}
/** Four words from `base` on, by the fields of imm. */
@inline
function wordFields(imm: u32, base: u32): v128 {
  const low = words(base + field(imm, 0), base + field(imm, 1));
  return four(low, words(base + field(imm, 2), base + field(imm, 3)), 0, 0);
}
@inline
function identity(): v128 {
  return i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
/** 16 more in the elements whose bit of imm is set; `bits` has the bit of its element in every byte. */
@inline
function blend(imm: u32, bits: v128): v128 {
  const chosen = v128.eq<u8>(v128.and(v128.splat<u8>(<u8>imm), bits), bits);
  return v128.or(identity(), v128.and(chosen, v128.splat<u8>(16)));
}

export function simd_control(rule: i32, control: i32): v128 {
  const imm = <u32>control & 0xff;
  if (rule == PSHUFD)
    return four(dword(field(imm, 0)), dword(field(imm, 1)), dword(field(imm, 2)), dword(field(imm, 3)));
  if (rule == PSHUFLW) return v128.shuffle<u64>(wordFields(imm, 0), identity(), 0, 3);
  if (rule == PSHUFHW) return v128.shuffle<u64>(identity(), wordFields(imm, 4), 0, 2);
  if (rule == SHUFPS) {
    return four(dword(field(imm, 0)), dword(field(imm, 1)), dword(4 + field(imm, 2)), dword(4 + field(imm, 3)));
  }
  if (rule == SHUFPD) {
    const low = (imm & 1) * 2;
    const high = 4 + (imm & 2);
    return four(dword(low), dword(low + 1), dword(high), dword(high + 1));
  }
  if (rule == RIGHT) return v128.add_sat<u8>(identity(), v128.splat<u8>(<u8>imm));
  if (rule == LEFT) return v128.sub<u8>(identity(), v128.splat<u8>(<u8>min<u32>(imm, 16)));
  if (rule == BLENDPS) return blend(imm, i8x16(1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8));
  if (rule == BLENDPD) return blend(imm, i8x16(1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2));
  return blend(imm, i8x16(1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64, -128, -128));
}
