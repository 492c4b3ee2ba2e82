// Random operands in the formats of x87 and SSE, often special ones.
import { fraction } from './native.mjs';

/** An encoding of a binary format with `e` exponent and `f` fraction bits. */
export function number(random, e, f) {
  const top = (1n << BigInt(e)) - 1n;
  const sign = BigInt(random.below(2)) << BigInt(e + f);
  let exponent;
  switch (random.below(8)) {
    case 0:
      exponent = 0n;
      break;
    case 1:
      exponent = top;
      break;
    case 2:
      exponent = BigInt(random.next()) % (top + 1n);
      break;
    case 3:
      exponent = random.below(2) ? 1n + BigInt(random.below(4)) : top - 1n - BigInt(random.below(4));
      break;
    default:
      exponent = top / 2n - 10n + BigInt(random.below(80));
      if (exponent >= top) exponent = top - 1n;
  }
  const fractionBits = random.below(5) === 0 ? 0n : fraction(random, f);
  return sign | (exponent << BigInt(f)) | (fractionBits & ((1n << BigInt(f)) - 1n));
}

/** 16 bytes: singles, doubles, small integers, text-like bytes, or anything. */
export function fillVector(view, at, random) {
  switch (random.below(6)) {
    case 0:
    case 1:
      for (let n = 0; n < 4; n++) view.setUint32(at + 4 * n, Number(number(random, 8, 23)), true);
      break;
    case 2:
    case 3:
      for (let n = 0; n < 2; n++) view.setBigUint64(at + 8 * n, number(random, 11, 52), true);
      break;
    case 4:
      // Few different bytes, so that comparisons of strings find something, with ends.
      for (let n = 0; n < 16; n++) view.setUint8(at + n, random.below(12) === 0 ? 0 : 97 + random.below(4));
      break;
    default:
      for (let n = 0; n < 16; n++) {
        const kind = random.below(4);
        view.setUint8(at + n, kind === 0 ? 0x7f + random.below(2) : kind === 1 ? random.below(3) : random.below(256));
      }
  }
}

/** 10 bytes: a double extended number, mostly with the integer bit that its exponent demands. */
export function fillExtended(view, at, random) {
  const bits = number(random, 15, 64);
  let mantissa = bits & ((1n << 64n) - 1n);
  const exponent = Number((bits >> 64n) & 0xffffn);
  if (random.below(12) !== 0) mantissa = (mantissa & ((1n << 63n) - 1n)) | ((exponent & 0x7fff) === 0 ? 0n : 1n << 63n);
  view.setBigUint64(at, mantissa, true);
  view.setUint16(at + 8, exponent, true);
}
