/**
 * Packed integer arithmetic that takes several WebAssembly operations: high and even products, sums of differences,
 * horizontal sums, signs. Intel SDM Vol. 2B.
 */
import type { Value } from '../../ir/value.js';
import type { Definition, Definitions, Lift } from '../lift.js';
import { readVector, sse } from './sse-guard.js';
import { type Binary, elements, fill, packed, packedPair, vector, zero128 } from './sse-vector.js';

const op2 = (b: Lift, name: string, x: Value, y: Value): Value => b.binop(name, 'v128', x, y);

const ODD_WORDS = elements(2, 1, 3, 5, 7, 9, 11, 13, 15);
const EVEN_WORDS = elements(2, 0, 2, 4, 6, 8, 10, 12, 14);
const ODD_DWORDS = elements(4, 1, 3, 5, 7);
const EVEN_DWORDS = elements(4, 0, 2, 4, 6);

/** PMULHW, PMULHUW: upper halves of the 32-bit products. */
const highProduct = (sign: 's' | 'u'): Definition =>
  packed((b, x, y) => {
    const low = op2(b, `i32x4.extmul_low_i16x8_${sign}`, x, y);
    const high = op2(b, `i32x4.extmul_high_i16x8_${sign}`, x, y);
    return b.shuffle(low, high, ODD_WORDS);
  });

/**
 * PMULHRSW: (x * y + 0x4000) >> 15. WebAssembly's operation saturates where both are -0x8000; there the processor
 * wraps to 0x8000, which is the complement of the saturated 0x7fff.
 */
const roundedProduct: Binary = (b, x, y) => {
  const lowest = fill(b, [0x00, 0x80]);
  const wraps = op2(b, 'v128.and', op2(b, 'i16x8.eq', x, lowest), op2(b, 'i16x8.eq', y, lowest));
  return op2(b, 'v128.xor', op2(b, 'i16x8.q15mulr_sat_s', x, y), wraps);
};

/** PMULUDQ, PMULDQ: 64-bit products of the even doublewords. */
const evenProduct = (sign: 's' | 'u'): Binary => {
  const even = elements(4, 0, 2, 0, 2);
  return (b, x, y) => op2(b, `i64x2.extmul_low_i32x4_${sign}`, b.shuffle(x, x, even), b.shuffle(y, y, even));
};

/** PMADDUBSW: unsigned bytes of x times signed bytes of y, neighbours added with signed saturation. */
const multiplyAddBytes: Binary = (b, x, y) => {
  const eight = b.i32(8);
  const evenX = op2(b, 'v128.and', x, fill(b, [0xff, 0]));
  const oddX = op2(b, 'i16x8.shr_u', x, eight);
  const evenY = op2(b, 'i16x8.shr_s', op2(b, 'i16x8.shl', y, eight), eight);
  const oddY = op2(b, 'i16x8.shr_s', y, eight);
  return op2(b, 'i16x8.add_sat_s', op2(b, 'i16x8.mul', evenX, evenY), op2(b, 'i16x8.mul', oddX, oddY));
};

/** PSADBW: the sum of eight absolute differences in each half. */
const sumOfDifferences: Binary = (b, x, y) => {
  const difference = op2(b, 'i8x16.sub', op2(b, 'i8x16.max_u', x, y), op2(b, 'i8x16.min_u', x, y));
  const words = b.unary('i16x8.extadd_pairwise_i8x16_u', 'v128', difference);
  const dwords = b.unary('i32x4.extadd_pairwise_i16x8_u', 'v128', words);
  const upper = op2(b, 'i64x2.shr_u', dwords, b.i32(32));
  return op2(b, 'v128.and', op2(b, 'i64x2.add', dwords, upper), fill(b, [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
};

/** PHADD*, PHSUB*: even elements of both operands combined with the odd ones. */
const horizontal = (name: string, even: readonly number[], odd: readonly number[]): Definition =>
  packedPair((b, x, y) => op2(b, name, b.shuffle(x, y, even), b.shuffle(x, y, odd)));

/** PSIGN*: x negated where y is negative, zero where y is zero. */
const sign = (shape: string, bits: number): Definition =>
  packed((b, x, y) => {
    const negative = op2(b, `${shape}.shr_s`, y, b.i32(bits - 1));
    const signed = op2(b, `${shape}.sub`, op2(b, 'v128.xor', x, negative), negative);
    return op2(b, 'v128.andnot', signed, op2(b, `${shape}.eq`, y, zero128(b)));
  });

/** MPSADBW: eight sums of four absolute differences; the control byte picks the blocks. */
const mpsadbw: Definition = sse((b, i) => {
  const [dst, src, imm] = i.operands;
  const y = readVector(b, src);
  b.write(dst, b.call('simd_mpsadbw', 'v128', b.read(dst), y, b.read(imm)));
});

export const definitions: Definitions = {
  pmulhw: highProduct('s'),
  pmulhuw: highProduct('u'),
  pmulhrsw: packed(roundedProduct),
  pmuludq: packed(evenProduct('u')),
  pmuldq: vector(evenProduct('s')),
  pmaddubsw: packed(multiplyAddBytes),
  psadbw: packed(sumOfDifferences),
  mpsadbw,
  phaddw: horizontal('i16x8.add', EVEN_WORDS, ODD_WORDS),
  phaddsw: horizontal('i16x8.add_sat_s', EVEN_WORDS, ODD_WORDS),
  phaddd: horizontal('i32x4.add', EVEN_DWORDS, ODD_DWORDS),
  phsubw: horizontal('i16x8.sub', EVEN_WORDS, ODD_WORDS),
  phsubsw: horizontal('i16x8.sub_sat_s', EVEN_WORDS, ODD_WORDS),
  phsubd: horizontal('i32x4.sub', EVEN_DWORDS, ODD_DWORDS),
  psignb: sign('i8x16', 8),
  psignw: sign('i16x8', 16),
  psignd: sign('i32x4', 32),
};
