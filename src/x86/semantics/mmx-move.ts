/** MMX moves that have no XMM twin, masked stores, EMMS. Intel SDM Vol. 1, "Programming with Intel MMX Technology". */
import { type AccessSize, Value } from '../../ir/value.js';
import type { MemoryOperand } from '../insn.js';
import type { Definition, Definitions, Lift } from '../lift.js';
import * as S from '../state.js';
import { enterMmx, isMmx, mmx, readMmx, simd, sse, writeMmx } from './sse-guard.js';
import { high64, low64, splat64, zeroExtend } from './sse-vector.js';

const movntq: Definition = simd((b, i) => {
  const [dst, src] = i.operands;
  b.write(dst, readMmx(b, src));
  enterMmx(b);
});

const movq2dq: Definition = simd((b, i) => {
  const [dst, src] = i.operands;
  b.write(dst, zeroExtend(b, readMmx(b, src)));
  enterMmx(b);
});

const movdq2q: Definition = simd((b, i) => {
  const [dst, src] = i.operands;
  if (isMmx(dst)) writeMmx(b, dst, b.readLow(src, 8));
});

/** Byte `n` of a vector's halves. */
function byteOf(b: Lift, halves: readonly Value[], n: number): Value {
  return b.wrap(b.and(b.shru(halves[n >> 3], b.i64((n & 7) * 8)), b.i64(0xff)));
}

/** Faults as a one-byte write would, and writes nothing. */
function probe(b: Lift, linear: Value): void {
  const v = new Value('loadrmw', 'i32', linear);
  v.size = 1 satisfies AccessSize;
  b.now(v);
}

/**
 * Stores the bytes whose mask byte has its sign bit (`mask`: one bit per byte). The first and the last of them are
 * probed first: no other page is touched, so a fault leaves memory as it was. An empty mask touches nothing.
 */
function storeMasked(b: Lift, op: MemoryOperand, mask: Value, halves: readonly Value[]): void {
  const base = b.now(b.linear(op, 'write'));
  const at = (n: Value): Value => b.truncate(b.add(base, b.zext64(n)), b.is64 ? 8 : 4);
  b.ifThen(mask, () => {
    probe(b, at(b.ctz(mask)));
    probe(b, at(b.sub(b.i32(31), b.clz(mask))));
  });
  for (let n = 0; n < halves.length * 8; n++) {
    b.ifThen(b.and(mask, b.i32(1 << n)), () => b.store(at(b.i32(n)), 1, byteOf(b, halves, n)));
  }
}

const maskmovdqu: Definition = sse((b, i) => {
  const [dst, src, select] = i.operands;
  if (dst.kind !== 'mem') throw new TypeError('maskmovdqu without its memory operand');
  const v = b.read(src);
  const mask = b.now(b.unary('i8x16.bitmask', 'i32', b.read(select)));
  storeMasked(b, dst, mask, [b.now(low64(b, v)), b.now(high64(b, v))]);
});

const maskmovq: Definition = simd((b, i) => {
  const [dst, src, select] = i.operands;
  if (dst.kind !== 'mem') throw new TypeError('maskmovq without its memory operand');
  const all = b.unary('i8x16.bitmask', 'i32', splat64(b, readMmx(b, select)));
  storeMasked(b, dst, b.now(b.and(all, b.i32(0xff))), [readMmx(b, src)]);
  enterMmx(b);
});

/** All tags empty, TOP 0: FPU_EMPTY and FPU_TOP are neighbouring bytes. */
const emms: Definition = mmx((b) => b.setState(S.FPU_EMPTY, 2, b.i32(0x00ff)));

export const definitions: Definitions = { movntq, movq2dq, movdq2q, maskmovdqu, maskmovq, emms };
