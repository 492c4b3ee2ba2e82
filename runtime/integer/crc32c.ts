/** CRC-32C (polynomial 0x11edc6f41), bit-reflected, as CRC32 computes it. Intel SDM Vol. 2, "CRC32". */

/** 256 entries of 4 bytes, filled at the first use. */
const TABLE = memory.data(1024, 4);
let filled: boolean = false;

function fill(): void {
  for (let n: u32 = 0; n < 256; n++) {
    let v = n;
    for (let bit = 0; bit < 8; bit++) v = (v >> 1) ^ ((v & 1) != 0 ? 0x82f63b78 : 0);
    store<u32>(TABLE + (n << 2), v);
  }
  filled = true;
}

/** `crc` continued over the low `size` bytes of `data`. */
export function crc32c(crc: u32, data: u64, size: i32): u32 {
  if (!filled) fill();
  for (let i = 0; i < size; i++) {
    crc = (crc >> 8) ^ load<u32>(TABLE + (((crc ^ (data as u32)) & 0xff) << 2));
    data >>= 8;
  }
  return crc;
}
