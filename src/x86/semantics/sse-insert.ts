/**
 * One element moved into or out of a vector, and the widening moves. Intel SDM Vol. 2B, "PEXTRB" to "PMOVZX".
 * With a known element number these are WebAssembly's lane operations; else they are made of moves by bytes and masks.
 */
import { constOf } from '../../ir/builder.js';
import type { Type, Value } from '../../ir/value.js';
import type { Operand } from '../insn.js';
import type { Definition, Definitions, Lift } from '../lift.js';
import { enterMmx, isMmx, readMmx, simd, sse, writeMmx } from './sse-guard.js';
import { choose } from './sse-logic.js';
import { low64, splat64, writeInteger, zeroExtend } from './sse-vector.js';

interface Shape {
  readonly name: string;
  readonly size: 1 | 2 | 4 | 8;
  readonly type: Type;
  readonly extract: string;
}
const BYTES: Shape = { name: 'i8x16', size: 1, type: 'i32', extract: 'i8x16.extract_lane_u' };
const WORDS: Shape = { name: 'i16x8', size: 2, type: 'i32', extract: 'i16x8.extract_lane_u' };
const DWORDS: Shape = { name: 'i32x4', size: 4, type: 'i32', extract: 'i32x4.extract_lane' };
const QWORDS: Shape = { name: 'i64x2', size: 8, type: 'i64', extract: 'i64x2.extract_lane' };

/** Element `n` (i32, in range) of v. */
function extractElement(b: Lift, shape: Shape, v: Value, n: Value): Value {
  if (n.isConst) return b.lane(shape.extract, shape.type, Number(constOf(n)), v);
  const indexes = b.binop(
    'i8x16.add',
    'v128',
    b.v128(Uint8Array.from({ length: 16 }, (_, k) => k)),
    b.unary('i8x16.splat', 'v128', b.mul(n, b.i32(shape.size))),
  );
  return b.lane(shape.extract, shape.type, 0, b.binop('i8x16.swizzle', 'v128', v, indexes));
}

/** A vector with the number of each element in it. */
function numbering(b: Lift, shape: Shape): Value {
  return b.v128(Uint8Array.from({ length: 16 }, (_, n) => (n % shape.size === 0 ? n / shape.size : 0)));
}

/** v with `element` as element `n` (i32, in range). */
function insertElement(b: Lift, shape: Shape, v: Value, n: Value, element: Value): Value {
  if (n.isConst) return b.lane(`${shape.name}.replace_lane`, 'v128', Number(constOf(n)), v, element);
  const wanted = b.unary(`${shape.name}.splat`, 'v128', shape.size === 8 ? b.zext64(n) : n);
  const mask = b.binop(`${shape.name}.eq`, 'v128', numbering(b, shape), wanted);
  return choose(b, v, b.unary(`${shape.name}.splat`, 'v128', element), mask);
}

/** Element number: the low bits of the control byte. */
const elementNumber = (b: Lift, imm: Operand, count: number): Value => b.and(b.read(imm), b.i32(count - 1));

/** The integer to insert: low bits of a GPR, or memory of the element's size. */
function integer(b: Lift, op: Operand, shape: Shape): Value {
  const v = b.read(op);
  return shape.type === 'i32' ? b.wrap(v) : v;
}

const insert = (shape: Shape): Definition =>
  simd((b, i) => {
    const [dst, src, imm] = i.operands;
    const v = integer(b, src, shape);
    if (isMmx(dst)) {
      const n = elementNumber(b, imm, 8 / shape.size);
      writeMmx(b, dst, low64(b, insertElement(b, shape, splat64(b, readMmx(b, dst)), n, v)));
    } else {
      b.write(dst, insertElement(b, shape, b.read(dst), elementNumber(b, imm, 16 / shape.size), v));
    }
  });

const extract = (shape: Shape): Definition =>
  simd((b, i) => {
    const [dst, src, imm] = i.operands;
    const isMmxForm = isMmx(src);
    const x = isMmxForm ? splat64(b, readMmx(b, src)) : b.read(src);
    const v = extractElement(b, shape, x, elementNumber(b, imm, (isMmxForm ? 8 : 16) / shape.size));
    if (v.type === 'i64') b.write(dst, v);
    else writeInteger(b, dst, v);
    if (isMmxForm) enterMmx(b);
  });

/** INSERTPS: control bits 7:6 source element (a memory operand has only one), 5:4 destination element, 3:0 zeroed ones. */
const insertps: Definition = sse((b, i) => {
  const [dst, src, imm] = i.operands;
  const control = b.read(imm);
  const from = b.shru(control, b.i32(6));
  const v = src.kind === 'mem' ? b.readLow(src, 4) : extractElement(b, DWORDS, b.read(src), from);
  const to = b.and(b.shru(control, b.i32(4)), b.i32(3));
  const inserted = insertElement(b, DWORDS, b.read(dst), to, v);
  const bits = b.v128(Uint8Array.from([1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0]));
  const chosen = b.binop('v128.and', 'v128', b.unary('i32x4.splat', 'v128', control), bits);
  b.write(dst, b.binop('v128.andnot', 'v128', inserted, b.binop('i32x4.eq', 'v128', chosen, bits)));
});

/** Source elements in the low part of a vector. */
function lowPart(b: Lift, op: Operand, size: 2 | 4 | 8): Value {
  if (op.kind !== 'mem') return b.read(op);
  return zeroExtend(b, b.readLow(op, size));
}

const STEPS = { b: 'i16x8.extend_low_i8x16', w: 'i32x4.extend_low_i16x8', d: 'i64x2.extend_low_i32x4' } as const;

/** PMOVSX*, PMOVZX*: one widening step after the other. */
const widen = (size: 2 | 4 | 8, sign: 's' | 'u', ...steps: readonly (keyof typeof STEPS)[]): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    let v = lowPart(b, src, size);
    for (const step of steps) v = b.unary(`${STEPS[step]}_${sign}`, 'v128', v);
    b.write(dst, v);
  });

export const definitions: Definitions = {
  pinsrb: insert(BYTES),
  pinsrw: insert(WORDS),
  pinsrd: insert(DWORDS),
  pinsrq: insert(QWORDS),
  pextrb: extract(BYTES),
  pextrw: extract(WORDS),
  pextrd: extract(DWORDS),
  pextrq: extract(QWORDS),
  extractps: extract(DWORDS),
  insertps,
  pmovsxbw: widen(8, 's', 'b'),
  pmovsxbd: widen(4, 's', 'b', 'w'),
  pmovsxbq: widen(2, 's', 'b', 'w', 'd'),
  pmovsxwd: widen(8, 's', 'w'),
  pmovsxwq: widen(4, 's', 'w', 'd'),
  pmovsxdq: widen(8, 's', 'd'),
  pmovzxbw: widen(8, 'u', 'b'),
  pmovzxbd: widen(4, 'u', 'b', 'w'),
  pmovzxbq: widen(2, 'u', 'b', 'w', 'd'),
  pmovzxwd: widen(8, 'u', 'w'),
  pmovzxwq: widen(4, 'u', 'w', 'd'),
  pmovzxdq: widen(8, 'u', 'd'),
};
