// Kernels of a few bytes: a bzImage's header over a payload of the test's making.

/** Where the 64-bit entry is in the payload. Linux documentation, "64-bit Boot Protocol". */
export const ENTRY_64 = 0x200;

/** Bytes that look random and are the same each time. */
export function noise(length, seed) {
  const bytes = new Uint8Array(length);
  let x = seed;
  for (let n = 0; n < length; n++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[n] = x >>> 24;
  }
  return bytes;
}

/** A bzImage's setup header over nothing much: 64-bit entry, a payload of `payload`. */
export function bzImage(payload, edit = () => undefined) {
  const image = new Uint8Array(5 * 512 + payload.length);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 4);
  view.setUint32(0x1f4, payload.length >> 4, true);
  view.setUint16(0x1fe, 0xaa55, true);
  image.set([0xeb, 0x66], 0x200);
  image.set(new TextEncoder().encode('HdrS'), 0x202);
  view.setUint16(0x206, 0x20f, true);
  view.setUint8(0x211, 1);
  view.setUint32(0x214, 0x100000, true);
  view.setUint32(0x22c, 0x7fffffff, true);
  view.setUint32(0x230, 0x200000, true);
  view.setUint8(0x234, 1);
  view.setUint16(0x236, 3, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x258, 0x1000000, true);
  view.setUint32(0x25c, 0x1000000, true);
  view.setUint32(0x260, 0x800000, true);
  image.set(payload, 5 * 512);
  edit(view);
  return image;
}
