// AES rounds by tables that are computed at first use. FIPS 197; Intel SDM Vol. 2A, "AESENC" and its neighbours.
// Byte n of a register is row n mod 4, column n div 4 of the state.
import { four, lane0, lane1, lane2, lane3 } from './f32x4';

const SBOX: usize = memory.data(256, 16);
const INVERSE_SBOX: usize = memory.data(256, 16);
/** MixColumns of (SubBytes of the index) in row 0, a column as u32; the other rows are its rotations. */
const ENCRYPT: usize = memory.data(1024, 16);
const DECRYPT: usize = memory.data(1024, 16);
/** InvMixColumns of the index itself in row 0. */
const INVERSE_MIX: usize = memory.data(1024, 16);

let ready = false;

/** Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
function multiply(a: u32, b: u32): u32 {
  let product: u32 = 0;
  while (b != 0) {
    if (b & 1) product ^= a;
    a <<= 1;
    if (a & 0x100) a ^= 0x11b;
    b >>= 1;
  }
  return product;
}

function column(r0: u32, r1: u32, r2: u32, r3: u32): u32 {
  return r0 | (r1 << 8) | (r2 << 16) | (r3 << 24);
}

/** FIPS 197, section 5.1.1: the inverse in the field, then an affine map. 3 generates the field, 0xf6 is its inverse. */
function prepare(): void {
  let value: u32 = 1;
  let inverse: u32 = 1;
  do {
    const spread = inverse | (inverse << 8);
    const affine = (inverse ^ (spread >> 7) ^ (spread >> 6) ^ (spread >> 5) ^ (spread >> 4) ^ 0x63) & 0xff;
    store<u8>(SBOX + value, affine);
    store<u8>(INVERSE_SBOX + affine, value);
    value = multiply(value, 3);
    inverse = multiply(inverse, 0xf6);
  } while (value != 1);
  store<u8>(SBOX, 0x63);
  store<u8>(INVERSE_SBOX + 0x63, 0);
  for (let n: u32 = 0; n < 256; n++) {
    const s = <u32>load<u8>(SBOX + n);
    store<u32>(ENCRYPT + n * 4, column(multiply(s, 2), s, s, multiply(s, 3)));
    store<u32>(INVERSE_MIX + n * 4, column(multiply(n, 14), multiply(n, 9), multiply(n, 13), multiply(n, 11)));
  }
  for (let n: u32 = 0; n < 256; n++) {
    store<u32>(DECRYPT + n * 4, load<u32>(INVERSE_MIX + <u32>load<u8>(INVERSE_SBOX + n) * 4));
  }
  ready = true;
}

/** One column from its four bytes (row 0 from r0, row 1 from r1 …) through a table of columns. */
@inline
function mixed(table: usize, r0: u32, r1: u32, r2: u32, r3: u32): u32 {
  return (
    load<u32>(table + (r0 & 0xff) * 4) ^
    rotl<u32>(load<u32>(table + ((r1 >> 8) & 0xff) * 4), 8) ^
    rotl<u32>(load<u32>(table + ((r2 >> 16) & 0xff) * 4), 16) ^
    rotl<u32>(load<u32>(table + (r3 >> 24) * 4), 24)
  );
}

@inline
function substituted(box: usize, r0: u32, r1: u32, r2: u32, r3: u32): u32 {
  return (
    <u32>load<u8>(box + (r0 & 0xff)) |
    ((<u32>load<u8>(box + ((r1 >> 8) & 0xff))) << 8) |
    ((<u32>load<u8>(box + ((r2 >> 16) & 0xff))) << 16) |
    ((<u32>load<u8>(box + (r3 >> 24))) << 24)
  );
}

export function aes_encrypt(state: v128, key: v128): v128 {
  if (!ready) prepare();
  const a = lane0(state),
    b = lane1(state),
    c = lane2(state),
    d = lane3(state);
  return v128.xor(
    four(
      mixed(ENCRYPT, a, b, c, d),
      mixed(ENCRYPT, b, c, d, a),
      mixed(ENCRYPT, c, d, a, b),
      mixed(ENCRYPT, d, a, b, c),
    ),
    key,
  );
}

export function aes_encrypt_last(state: v128, key: v128): v128 {
  if (!ready) prepare();
  const a = lane0(state),
    b = lane1(state),
    c = lane2(state),
    d = lane3(state);
  return v128.xor(
    four(
      substituted(SBOX, a, b, c, d),
      substituted(SBOX, b, c, d, a),
      substituted(SBOX, c, d, a, b),
      substituted(SBOX, d, a, b, c),
    ),
    key,
  );
}

export function aes_decrypt(state: v128, key: v128): v128 {
  if (!ready) prepare();
  const a = lane0(state),
    b = lane1(state),
    c = lane2(state),
    d = lane3(state);
  return v128.xor(
    four(
      mixed(DECRYPT, a, d, c, b),
      mixed(DECRYPT, b, a, d, c),
      mixed(DECRYPT, c, b, a, d),
      mixed(DECRYPT, d, c, b, a),
    ),
    key,
  );
}

export function aes_decrypt_last(state: v128, key: v128): v128 {
  if (!ready) prepare();
  const a = lane0(state),
    b = lane1(state),
    c = lane2(state),
    d = lane3(state);
  return v128.xor(
    four(
      substituted(INVERSE_SBOX, a, d, c, b),
      substituted(INVERSE_SBOX, b, a, d, c),
      substituted(INVERSE_SBOX, c, b, a, d),
      substituted(INVERSE_SBOX, d, c, b, a),
    ),
    key,
  );
}

@inline
function inverseMixed(x: u32): u32 {
  return mixed(INVERSE_MIX, x, x, x, x);
}

/** AESIMC. */
export function aes_inverse_mix(a: v128): v128 {
  if (!ready) prepare();
  return four(inverseMixed(lane0(a)), inverseMixed(lane1(a)), inverseMixed(lane2(a)), inverseMixed(lane3(a)));
}

/** AESKEYGENASSIST: SubWord of elements 1 and 3, and the same rotated with the round constant. */
export function aes_keygen_assist(a: v128, imm: i32): v128 {
  if (!ready) prepare();
  const x1 = lane1(a);
  const x3 = lane3(a);
  const s1 = substituted(SBOX, x1, x1, x1, x1);
  const s3 = substituted(SBOX, x3, x3, x3, x3);
  const round = <u32>imm & 0xff;
  return four(s1, rotr<u32>(s1, 8) ^ round, s3, rotr<u32>(s3, 8) ^ round);
}
