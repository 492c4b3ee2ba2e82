/** One element moved into or out of a vector, and the widening moves. Intel SDM Vol. 2B, "PEXTRB" to "PMOVZX". */
import type { Value } from '../../ir/value.js';
import type { Operand } from '../insn.js';
import type { Definition, Definitions, Lift } from '../lift.js';
import { enterMmx, isMmx, readMmx, simd, sse, writeMmx } from './sse-guard.js';
import { control, low64, splat64, writeInteger, zeroExtend } from './sse-vector.js';

/** The integer to insert: low bits of a GPR, or memory of the element's size. */
function integer(b: Lift, op: Operand): Value {
  const v = b.read(op);
  return op.kind === 'reg' && op.size === 8 ? b.wrap(v) : v;
}

const insert = (shape: string, count: number): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const v = shape === 'i64x2' ? b.read(src) : integer(b, src);
    b.write(dst, b.lane(`${shape}.replace_lane`, 'v128', control(imm) & (count - 1), b.read(dst), v));
  });

const pinsrw: Definition = simd((b, i) => {
  const [dst, src, imm] = i.operands;
  const v = integer(b, src);
  if (isMmx(dst)) {
    const x = splat64(b, readMmx(b, dst));
    writeMmx(b, dst, low64(b, b.lane('i16x8.replace_lane', 'v128', control(imm) & 3, x, v)));
  } else {
    b.write(dst, b.lane('i16x8.replace_lane', 'v128', control(imm) & 7, b.read(dst), v));
  }
});

const extract = (op: string, count: number): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    writeInteger(b, dst, b.lane(op, 'i32', control(imm) & (count - 1), b.read(src)));
  });

const pextrw: Definition = simd((b, i) => {
  const [dst, src, imm] = i.operands;
  if (isMmx(src)) {
    const x = splat64(b, readMmx(b, src));
    writeInteger(b, dst, b.lane('i16x8.extract_lane_u', 'i32', control(imm) & 3, x));
    enterMmx(b);
  } else {
    writeInteger(b, dst, b.lane('i16x8.extract_lane_u', 'i32', control(imm) & 7, b.read(src)));
  }
});

const pextrq: Definition = sse((b, i) => {
  const [dst, src, imm] = i.operands;
  b.write(dst, b.lane('i64x2.extract_lane', 'i64', control(imm) & 1, b.read(src)));
});

/** INSERTPS: control bits 7:6 source element (a memory operand has only one), 5:4 destination element, 3:0 zeroed ones. */
const insertps: Definition = sse((b, i) => {
  const [dst, src, imm] = i.operands;
  const bits = control(imm);
  const v = src.kind === 'mem' ? b.readLow(src, 4) : b.lane('i32x4.extract_lane', 'i32', bits >> 6, b.read(src));
  const inserted = b.lane('i32x4.replace_lane', 'v128', (bits >> 4) & 3, b.read(dst), v);
  const kept = Uint8Array.from({ length: 16 }, (_, n) => ((bits >> (n >> 2)) & 1 ? 0 : 0xff));
  b.write(dst, (bits & 15) === 0 ? inserted : b.binop('v128.and', 'v128', inserted, b.v128(kept)));
});

/** Source elements of one width in the low part of a vector. */
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

export const immediateForms: ReadonlySet<string> = new Set([
  'pinsrb', 'pinsrw', 'pinsrd', 'pinsrq', 'pextrb', 'pextrw', 'pextrd', 'pextrq', 'insertps', 'extractps',
]); // prettier-ignore

export const definitions: Definitions = {
  pinsrb: insert('i8x16', 16),
  pinsrw,
  pinsrd: insert('i32x4', 4),
  pinsrq: insert('i64x2', 2),
  pextrb: extract('i8x16.extract_lane_u', 16),
  pextrw,
  pextrd: extract('i32x4.extract_lane', 4),
  pextrq,
  extractps: extract('i32x4.extract_lane', 4),
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
