/** Shuffles, unpacks, concatenation and blends by a control byte, for MMX and XMM. Intel SDM Vol. 2B. */
import type { Definition, Definitions } from '../lift.js';
import { isMmx, readMmx, readVector, simd, sse, writeMmx } from './sse-guard.js';
import { control, elements, low64, pair64, splat64, vector, zero128 } from './sse-vector.js';

/** Two-bit field `n` of a control byte. */
const field = (imm: number, n: number): number => (imm >> (2 * n)) & 3;

/** One source: `order` gives the source element of each element of `size` bytes. */
const shuffleOne = (size: number, order: (imm: number) => readonly number[]): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const v = b.now(readVector(b, src));
    b.write(dst, b.shuffle(v, v, elements(size, ...order(control(imm)))));
  });

/** Two sources: elements of dst, then those of src. */
const shuffleTwo = (size: number, order: (imm: number) => readonly number[]): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = readVector(b, src);
    b.write(dst, b.shuffle(b.read(dst), y, elements(size, ...order(control(imm)))));
  });

const pshufw: Definition = simd((b, i) => {
  const [dst, src, imm] = i.operands;
  if (!isMmx(dst)) throw new TypeError('pshufw of an XMM register');
  const v = splat64(b, readMmx(b, src));
  const order = [0, 1, 2, 3].map((n) => field(control(imm), n));
  writeMmx(b, dst, low64(b, b.shuffle(v, v, elements(2, ...order, ...order))));
});

/** PALIGNR: dst above src, moved right by bytes. */
const palignr: Definition = simd((b, i) => {
  const [dst, src, imm] = i.operands;
  const count = control(imm);
  if (isMmx(dst)) {
    const low = readMmx(b, src);
    const both = pair64(b, low, readMmx(b, dst));
    const lanes = Array.from({ length: 16 }, (_, n) => Math.min(n + count, 16));
    writeMmx(b, dst, low64(b, b.shuffle(both, zero128(b), lanes)));
  } else {
    const y = readVector(b, src);
    const x = b.read(dst);
    const from = (first: number): number[] => Array.from({ length: 16 }, (_, n) => first + n);
    if (count < 16) b.write(dst, b.shuffle(y, x, from(count)));
    else b.write(dst, b.shuffle(x, zero128(b), from(count - 16).map((n) => Math.min(n, 16))));
  }
});

/** PUNPCKL*, PUNPCKH*: elements of both operands in turn, from the low or the high half. */
function unpack(size: number, high: boolean): Definition {
  const half = 8 / size;
  const interleave = (first: number, count: number): number[] =>
    elements(size, ...Array.from({ length: count }, (_, n) => [first + n, 2 * half + first + n]).flat());
  const xmm = interleave(high ? half : 0, half);
  // The MMX form works on the halves of 8 bytes; what it does above them is ignored.
  const mmx = high ? [...interleave(half / 2, half / 2), ...xmm.slice(0, 8)] : xmm;
  return simd((b, i) => {
    const [dst, src] = i.operands;
    if (isMmx(dst)) {
      const y = splat64(b, readMmx(b, src));
      writeMmx(b, dst, low64(b, b.shuffle(splat64(b, readMmx(b, dst)), y, mmx)));
    } else {
      const y = readVector(b, src);
      b.write(dst, b.shuffle(b.read(dst), y, xmm));
    }
  });
}

const unpackVector = (size: number, ...order: readonly number[]): Definition =>
  vector((b, x, y) => b.shuffle(x, y, elements(size, ...order)));

/** BLENDPS, BLENDPD, PBLENDW: bit n of the control byte takes element n from src. */
const blend = (size: number): Definition => {
  const count = 16 / size;
  return shuffleTwo(size, (imm) => Array.from({ length: count }, (_, n) => ((imm >> n) & 1) * count + n));
};

/** PSHUFB: a control byte with bit 7 gives zero, else its low bits choose (WebAssembly: 16 and more give zero). */
const pshufb: Definition = simd((b, i) => {
  const [dst, src] = i.operands;
  const bits = (n: number): Uint8Array => new Uint8Array(16).fill(n);
  if (isMmx(dst)) {
    const order = b.binop('v128.and', 'v128', splat64(b, readMmx(b, src)), b.v128(bits(0x87)));
    writeMmx(b, dst, low64(b, b.binop('i8x16.swizzle', 'v128', splat64(b, readMmx(b, dst)), order)));
  } else {
    const order = b.binop('v128.and', 'v128', readVector(b, src), b.v128(bits(0x8f)));
    b.write(dst, b.binop('i8x16.swizzle', 'v128', b.read(dst), order));
  }
});

export const immediateForms: ReadonlySet<string> = new Set([
  'pshufd', 'pshufhw', 'pshuflw', 'pshufw', 'shufps', 'shufpd', 'palignr', 'blendps', 'blendpd', 'pblendw',
]); // prettier-ignore

const ALL = [0, 1, 2, 3];

export const definitions: Definitions = {
  pshufd: shuffleOne(4, (imm) => ALL.map((n) => field(imm, n))),
  pshuflw: shuffleOne(2, (imm) => [...ALL.map((n) => field(imm, n)), 4, 5, 6, 7]),
  pshufhw: shuffleOne(2, (imm) => [...ALL, ...ALL.map((n) => 4 + field(imm, n))]),
  pshufw,
  shufps: shuffleTwo(4, (imm) => [field(imm, 0), field(imm, 1), 4 + field(imm, 2), 4 + field(imm, 3)]),
  shufpd: shuffleTwo(8, (imm) => [imm & 1, 2 + ((imm >> 1) & 1)]),
  pshufb,
  palignr,
  punpcklbw: unpack(1, false),
  punpcklwd: unpack(2, false),
  punpckldq: unpack(4, false),
  punpckhbw: unpack(1, true),
  punpckhwd: unpack(2, true),
  punpckhdq: unpack(4, true),
  punpcklqdq: unpackVector(8, 0, 2),
  punpckhqdq: unpackVector(8, 1, 3),
  unpcklps: unpackVector(4, 0, 4, 1, 5),
  unpckhps: unpackVector(4, 2, 6, 3, 7),
  unpcklpd: unpackVector(8, 0, 2),
  unpckhpd: unpackVector(8, 1, 3),
  blendps: blend(4),
  blendpd: blend(8),
  pblendw: blend(2),
};
