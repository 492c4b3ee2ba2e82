/**
 * Moves of XMM registers, and of MMX registers where the mnemonic is shared (MOVD, MOVQ).
 * Intel SDM Vol. 2B, "MOVAPS" to "MOVUPS"; alignment: Vol. 2A, exception types 1 and 4.
 */
import type { Value } from '../../ir/value.js';
import type { Operand } from '../insn.js';
import { type Definition, type Definitions, define, type Lift } from '../lift.js';
import { enterMmx, isMmx, isXmm, readVector, simd, sse, writeMmx, writeVector } from './sse-guard.js';
import { elements, high64, splat64, writeInteger, zeroExtend } from './sse-vector.js';

/** All 16 bytes; a memory operand must be aligned. Non-temporal hints mean nothing here. */
const aligned: Definition = sse((b, i) => {
  const [dst, src] = i.operands;
  writeVector(b, dst, readVector(b, src));
});

const unaligned: Definition = sse((b, i) => {
  const [dst, src] = i.operands;
  b.writeLow(dst, 16, b.readLow(src, 16));
});

/** MOVSS, MOVSD: a load clears the rest of the register, a register move keeps it. */
const scalar = (size: 4 | 8): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const v = b.readLow(src, size);
    if (src.kind === 'mem') b.write(dst, zeroExtend(b, v));
    else b.writeLow(dst, size, v);
  });

function readScalar(b: Lift, op: Operand, size: 4 | 8): Value {
  return b.readLow(op, size);
}

/** MOVD and MOVQ between any two of memory, GPR, MMX and XMM; what receives it is zero-extended. */
function moveLow(b: Lift, dst: Operand, src: Operand, size: 4 | 8): void {
  const v = readScalar(b, src, size);
  if (isMmx(dst)) writeMmx(b, dst, b.zext64(v));
  else if (isXmm(dst)) b.write(dst, zeroExtend(b, v));
  else b.write(dst, v);
  if (isMmx(src)) enterMmx(b);
}

const movd: Definition = simd((b, i) => {
  const [dst, src] = i.operands;
  // With REX.W some assemblers say MOVD, too: the integer side tells the size.
  const size = (isMmx(dst) || isXmm(dst) ? src : dst).size === 8 ? 8 : 4;
  moveLow(b, dst, src, size);
});

const movq: Definition = simd((b, i) => moveLow(b, i.operands[0], i.operands[1], 8));

/** MOVLPS, MOVLPD; from a register it is MOVHLPS. */
const moveLowHalf: Definition = sse((b, i) => {
  const [dst, src] = i.operands;
  if (dst.kind === 'mem' || src.kind === 'mem') b.writeLow(dst, 8, b.readLow(src, 8));
  else b.writeLow(dst, 8, high64(b, b.read(src)));
});

/** MOVHPS, MOVHPD; from a register it is MOVLHPS. */
const moveHighHalf: Definition = sse((b, i) => {
  const [dst, src] = i.operands;
  if (dst.kind === 'mem') {
    b.store(b.linear(dst, 'write'), 8, high64(b, b.read(src)));
  } else {
    const v = b.readLow(src, 8);
    b.write(dst, b.lane('i64x2.replace_lane', 'v128', 1, b.read(dst), v));
  }
});

const mask = (op: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    writeInteger(b, dst, b.unary(op, 'i32', b.read(src)));
  });

const duplicate = (...order: readonly number[]): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const v = b.now(readVector(b, src));
    b.write(dst, b.shuffle(v, v, elements(4, ...order)));
  });

export const definitions: Definitions = {
  movaps: aligned,
  movapd: aligned,
  movdqa: aligned,
  movntps: aligned,
  movntpd: aligned,
  movntdq: aligned,
  movntdqa: aligned,
  movups: unaligned,
  movupd: unaligned,
  movdqu: unaligned,
  lddqu: unaligned,
  movss: scalar(4),
  movsd: scalar(8),
  movd,
  movq,
  movlps: moveLowHalf,
  movlpd: moveLowHalf,
  movhlps: moveLowHalf,
  movhps: moveHighHalf,
  movhpd: moveHighHalf,
  movlhps: moveHighHalf,
  movmskps: mask('i32x4.bitmask'),
  movmskpd: mask('i64x2.bitmask'),
  movddup: sse((b, i) => b.write(i.operands[0], splat64(b, b.readLow(i.operands[1], 8)))),
  movshdup: duplicate(1, 1, 3, 3),
  movsldup: duplicate(0, 0, 2, 2),
  // A store of an integer register: needs neither SSE state nor its checks.
  movnti: define((b, i) => b.write(i.operands[0], b.read(i.operands[1]))),
};
