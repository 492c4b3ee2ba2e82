/**
 * Shuffles, unpacks, concatenation, byte shifts and blends by a control byte, for MMX and XMM. Intel SDM Vol. 2B.
 *
 * Where the control byte is known (translation) a shuffle is one WebAssembly operation. Where it is a field of the
 * interpreter's record, the runtime turns it into a vector of byte indexes: 0-15 the first source, 16-31 the second,
 * above them zero.
 */
import { constOf } from '../../ir/builder.js';
import type { Value } from '../../ir/value.js';
import type { Definition, Definitions, Lift } from '../lift.js';
import { isMmx, readMmx, readVector, simd, sse, writeMmx } from './sse-guard.js';
import { elements, low64, pair64, splat64, vector, zero128 } from './sse-vector.js';

/** What a control byte means: the lanes it selects, and the number of the same rule in runtime/simd/control-byte.ts. */
interface Rule {
  readonly number: number;
  readonly lanes: (imm: number) => readonly number[];
}

/** Two-bit field `n` of a control byte. */
const field = (imm: number, n: number): number => (imm >> (2 * n)) & 3;
const ALL = [0, 1, 2, 3];
const bytes = (lane: (n: number) => number): number[] => Array.from({ length: 16 }, (_, n) => lane(n));
/** Bit n of the control byte takes element n from the second source. */
const blendLanes =
  (size: number) =>
  (imm: number): number[] =>
    bytes((n) => n + (((imm >> Math.floor(n / size)) & 1) << 4));

const RULES = {
  pshufd: { number: 0, lanes: (imm) => elements(4, ...ALL.map((n) => field(imm, n))) },
  pshuflw: { number: 1, lanes: (imm) => elements(2, ...ALL.map((n) => field(imm, n)), 4, 5, 6, 7) },
  pshufhw: { number: 2, lanes: (imm) => elements(2, ...ALL, ...ALL.map((n) => 4 + field(imm, n))) },
  shufps: {
    number: 3,
    lanes: (imm) => elements(4, field(imm, 0), field(imm, 1), 4 + field(imm, 2), 4 + field(imm, 3)),
  },
  shufpd: { number: 4, lanes: (imm) => elements(8, imm & 1, 2 + ((imm >> 1) & 1)) },
  /** Both sources as one value of 32 bytes, moved right. */
  right: { number: 5, lanes: (imm) => bytes((n) => n + imm) },
  left: { number: 6, lanes: (imm) => bytes((n) => (n < imm ? 32 : n - imm)) },
  blendps: { number: 7, lanes: blendLanes(4) },
  blendpd: { number: 8, lanes: blendLanes(8) },
  pblendw: { number: 9, lanes: blendLanes(2) },
} as const satisfies Record<string, Rule>;

/** Bytes of x and y (none: zeros) as the rule makes of the control byte. */
function shuffleBy(b: Lift, rule: Rule, imm: Value, x: Value, y?: Value): Value {
  if (imm.isConst) {
    const lanes = rule.lanes(Number(constOf(imm) & 0xffn));
    if (y === undefined)
      return b.shuffle(
        x,
        zero128(b),
        lanes.map((n) => Math.min(n, 16)),
      );
    if (lanes.every((n) => n < 32)) return b.shuffle(x, y, lanes);
    // Beyond both: only `right` gets here, by 16 bytes and more, and then nothing of x is left.
    return b.shuffle(
      y,
      zero128(b),
      lanes.map((n) => Math.min(n - 16, 16)),
    );
  }
  const indexes = b.call('simd_control', 'v128', b.i32(rule.number), imm);
  const first = b.binop('i8x16.swizzle', 'v128', x, indexes);
  if (y === undefined) return first;
  const above = b.binop('i8x16.sub', 'v128', indexes, b.v128(new Uint8Array(16).fill(16)));
  return b.binop('v128.or', 'v128', first, b.binop('i8x16.swizzle', 'v128', y, above));
}

/** dst = elements of src. */
const shuffleOne = (rule: Rule): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    b.write(dst, shuffleBy(b, rule, b.read(imm), readVector(b, src)));
  });

/** dst = elements of dst and src. */
const shuffleTwo = (rule: Rule): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = readVector(b, src);
    b.write(dst, shuffleBy(b, rule, b.read(imm), b.read(dst), y));
  });

const pshufw: Definition = simd((b, i) => {
  const [dst, src, imm] = i.operands;
  if (!isMmx(dst)) throw new TypeError('pshufw of an XMM register');
  writeMmx(b, dst, low64(b, shuffleBy(b, RULES.pshuflw, b.read(imm), splat64(b, readMmx(b, src)))));
});

/** PALIGNR: dst above src, moved right by bytes. */
const palignr: Definition = simd((b, i) => {
  const [dst, src, imm] = i.operands;
  if (isMmx(dst)) {
    const low = readMmx(b, src);
    const both = pair64(b, low, readMmx(b, dst));
    writeMmx(b, dst, low64(b, shuffleBy(b, RULES.right, b.read(imm), both)));
  } else {
    const y = readVector(b, src);
    b.write(dst, shuffleBy(b, RULES.right, b.read(imm), y, b.read(dst)));
  }
});

/** PSLLDQ, PSRLDQ: the whole register moved by bytes. */
const byteShift = (rule: Rule): Definition =>
  sse((b, i) => {
    const [dst, imm] = i.operands;
    b.write(dst, shuffleBy(b, rule, b.read(imm), b.read(dst)));
  });

/** PUNPCKL*, PUNPCKH*: elements of both operands in turn, from the low or the high half. */
function unpack(size: number, high: boolean): Definition {
  const half = 8 / size;
  const interleave = (first: number, count: number): number[] =>
    elements(size, ...Array.from({ length: count }, (_, n) => [first + n, 2 * half + first + n]).flat());
  const xmm = interleave(high ? half : 0, half);
  // The MMX form works on halves of 8 bytes; what it makes above them is ignored.
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

/** PSHUFB: a control byte with bit 7 gives zero, else its low bits choose (WebAssembly: 16 and more give zero). */
const pshufb: Definition = simd((b, i) => {
  const [dst, src] = i.operands;
  const bits = (n: number): Value => b.v128(new Uint8Array(16).fill(n));
  if (isMmx(dst)) {
    const order = b.binop('v128.and', 'v128', splat64(b, readMmx(b, src)), bits(0x87));
    writeMmx(b, dst, low64(b, b.binop('i8x16.swizzle', 'v128', splat64(b, readMmx(b, dst)), order)));
  } else {
    const order = b.binop('v128.and', 'v128', readVector(b, src), bits(0x8f));
    b.write(dst, b.binop('i8x16.swizzle', 'v128', b.read(dst), order));
  }
});

export const definitions: Definitions = {
  pshufd: shuffleOne(RULES.pshufd),
  pshuflw: shuffleOne(RULES.pshuflw),
  pshufhw: shuffleOne(RULES.pshufhw),
  pshufw,
  shufps: shuffleTwo(RULES.shufps),
  shufpd: shuffleTwo(RULES.shufpd),
  pshufb,
  palignr,
  pslldq: byteShift(RULES.left),
  psrldq: byteShift(RULES.right),
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
  blendps: shuffleTwo(RULES.blendps),
  blendpd: shuffleTwo(RULES.blendpd),
  pblendw: shuffleTwo(RULES.pblendw),
};
