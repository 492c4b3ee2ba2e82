// Random processor states and their layout in the native judge's input and output.
import { fillExtended, fillVector, number } from '../float/numbers.mjs';

export const CASE_SIZE = 16 + 8 + 128 + 8 + 512 + 256;
export const RESULT_SIZE = 128 + 8 + 8 + 512 + 256;
/** The end of a page, with nothing behind it. */
export const MEMORY_AT = 0x10010f00;
export const MEMORY_SIZE = 256;

const DEFAULT_MXCSR = 0x1f80;

/** Writes a case at `at`. `options`: unmasked (probability of unmasked exceptions), misaligned, x87. */
export function writeCase(view, at, code, random, options) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, CASE_SIZE);
  bytes.fill(0);
  bytes.set(code);
  view.setUint32(at + 16, code.length, true);
  view.setUint32(at + 20, options.bits, true);
  const gpr = at + 24;
  for (let n = 0; n < 16; n++) {
    const kind = random.below(4);
    const v = kind === 0 ? BigInt(random.below(20)) - 4n : kind === 1 ? number(random, 11, 52) : random.big();
    view.setBigUint64(gpr + 8 * n, BigInt.asUintN(options.bits, v), true);
  }
  const offset = options.misaligned && random.below(8) === 0 ? random.below(64) : 16 * random.below(8);
  const end = () => BigInt(MEMORY_AT + MEMORY_SIZE - random.below(40));
  const crosses = options.crossing && random.below(12) === 0;
  view.setBigUint64(gpr + 8 * 6, crosses ? end() : BigInt(MEMORY_AT + 32 + offset), true);
  if (options.usesRdi) view.setBigUint64(gpr + 8 * 7, crosses ? end() : BigInt(MEMORY_AT + 32 + offset), true);
  view.setBigUint64(at + 152, BigInt(0x202 | (random.next() & 0x8d5)), true);
  const fx = at + 160;
  const free = random.below(3) === 0;
  view.setUint16(
    fx,
    free ? 0x40 | (random.next() & 0xf3f & ~(random.below(4) ? 0 : 0)) | (random.below(3) ? 0x3f : 0) : 0x37f,
    true,
  );
  if (options.x87Masked) view.setUint8(fx, view.getUint8(fx) | 0x3f);
  const top = random.below(8);
  view.setUint16(fx + 2, (top << 11) | (random.below(3) === 0 ? random.next() & 0x4700 : 0), true);
  const tags = random.below(3);
  view.setUint8(fx + 4, tags === 0 ? 0xff : tags === 1 ? random.below(256) : random.below(256) | (1 << top));
  let mxcsr = DEFAULT_MXCSR | (random.below(2) ? 0x20 : 0);
  if (random.below(3) === 0) mxcsr = DEFAULT_MXCSR | (random.next() & 0xe07f);
  if (options.unmasked && random.below(4) === 0) mxcsr &= ~(random.next() & 0x1f80);
  view.setUint32(fx + 24, mxcsr, true);
  for (let n = 0; n < 8; n++) fillExtended(view, fx + 32 + 16 * n, random);
  for (let n = 0; n < 16; n++) fillVector(view, fx + 160 + 16 * n, random);
  for (let n = 0; n < 16; n++) fillVector(view, at + 672 + 16 * n, random);
  if (options.sameAgain) {
    // Equal operands now and then.
    bytes.copyWithin(160 + 160 + 16, 160 + 160, 160 + 160 + 16);
  }
}
