/** Addition, subtraction, comparison and their exchanging forms. Intel SDM Vol. 2, the pages of each mnemonic. */
import type { Value } from '../../ir/value.js';
import {
  type Definition,
  type Definitions,
  define,
  FLAG,
  GPR_INDEX,
  type Lift,
  type OperandSize,
  VECTOR,
} from '../lift.js';
import { memory, operand, sizeOf } from './shape.js';

const { rax, rbx, rcx, rdx } = GPR_INDEX;

/** x ± y ± carry, written back unless it is only a comparison. */
function addition(kind: 'add' | 'adc' | 'sub' | 'sbb' | 'cmp'): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const size = sizeOf(dst);
    const x = kind === 'cmp' ? b.read(dst) : b.readForWrite(dst);
    const y = b.read(operand(i, 1));
    const carry = kind === 'adc' || kind === 'sbb' ? b.flag('CF') : undefined;
    const adds = kind === 'add' || kind === 'adc';
    let r = adds ? b.add(x, y) : b.sub(x, y);
    if (carry !== undefined) {
      const c = size === 8 ? b.zext64(carry) : carry;
      r = adds ? b.add(r, c) : b.sub(r, c);
    }
    r = b.truncate(r, size);
    if (kind !== 'cmp') b.write(dst, r);
    if (carry !== undefined) {
      if (adds) b.flagsAdc(size, x, y, carry, r);
      else b.flagsSbb(size, x, y, carry, r);
    } else if (adds) b.flagsAdd(size, x, y, r);
    else b.flagsSub(size, x, y, r);
  });
}

function step(by: 1 | -1): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const size = sizeOf(dst);
    const r = b.truncate(b.add(b.readForWrite(dst), b.constant(size, by)), size);
    b.write(dst, r);
    if (by === 1) b.flagsInc(size, r);
    else b.flagsDec(size, r);
  });
}

const neg = define((b, i) => {
  const dst = operand(i, 0);
  const size = sizeOf(dst);
  const zero = b.constant(size, 0);
  const y = b.readForWrite(dst);
  const r = b.truncate(b.sub(zero, y), size);
  b.write(dst, r);
  b.flagsSub(size, zero, y, r);
});

const xadd = define((b, i) => {
  const dst = operand(i, 0);
  const src = operand(i, 1);
  const size = sizeOf(dst);
  const x = b.readForWrite(dst);
  const y = b.read(src);
  const r = b.truncate(b.add(x, y), size);
  // Memory first; where both are the same register, the sum stays.
  if (dst.kind === 'mem') b.write(dst, r);
  b.write(src, x);
  if (dst.kind !== 'mem') b.write(dst, r);
  b.flagsAdd(size, x, y, r);
});

/** The register becomes `v` unless `keep`. A 4-byte register that is kept also keeps its bits 63:32. */
function replaceUnless(b: Lift, keep: Value, index: number, size: OperandSize, v: Value): void {
  if (size === 4) b.setReg(index, 8, b.select(keep, b.reg(index, 8), b.zext64(v)));
  else b.setReg(index, size, b.select(keep, b.reg(index, size), v));
}

const cmpxchg = define((b, i) => {
  const dst = operand(i, 0);
  const size = sizeOf(dst);
  const x = b.readForWrite(dst);
  const y = b.read(operand(i, 1));
  const accumulator = b.reg(rax, size);
  const same = b.now(b.eq(accumulator, x));
  // "The processor never produces a locked read without also producing a locked write": memory is written either way,
  // a register only with its new value (a 4-byte one would lose bits 63:32).
  if (dst.kind === 'mem') b.write(dst, b.select(same, y, x));
  else b.ifThen(same, () => b.write(dst, y));
  replaceUnless(b, same, rax, size, x);
  b.flagsSub(size, accumulator, x, b.truncate(b.sub(accumulator, x), size));
});

function setZf(b: Lift, zf: Value): void {
  b.setFlags(b.or(b.and(b.flagsWord(), b.i32(~FLAG.ZF)), b.shl(zf, b.i32(6))));
}

const cmpxchg8b = define((b, i) => {
  const dst = memory(i, 0);
  const x = b.readForWrite(dst);
  const pair = (high: number, low: number): Value =>
    b.or(b.shl(b.zext64(b.reg(high, 4)), b.i64(32)), b.zext64(b.reg(low, 4)));
  const same = b.now(b.eq(pair(rdx, rax), x));
  b.write(dst, b.select(same, pair(rcx, rbx), x));
  replaceUnless(b, same, rax, 4, b.wrap(x));
  replaceUnless(b, same, rdx, 4, b.wrap(b.shru(x, b.i64(32))));
  setZf(b, same);
});

const cmpxchg16b = define((b, i) => {
  const dst = memory(i, 0);
  b.raiseIf(b.ne(b.and(b.linear(dst, 'write'), b.i64(15)), b.i64(0)), VECTOR.GP, 0);
  const x = b.readForWrite(dst);
  const low = b.now(b.lane('i64x2.extract_lane', 'i64', 0, x));
  const high = b.now(b.lane('i64x2.extract_lane', 'i64', 1, x));
  const same = b.now(b.and(b.eq(b.reg(rax, 8), low), b.eq(b.reg(rdx, 8), high)));
  const newLow = b.select(same, b.reg(rbx, 8), low);
  const newHigh = b.select(same, b.reg(rcx, 8), high);
  const halves = b.unary('i64x2.splat', 'v128', newLow);
  b.write(dst, b.lane('i64x2.replace_lane', 'v128', 1, halves, newHigh));
  replaceUnless(b, same, rax, 8, low);
  replaceUnless(b, same, rdx, 8, high);
  setZf(b, same);
});

export const definitions: Definitions = {
  add: addition('add'),
  adc: addition('adc'),
  sub: addition('sub'),
  sbb: addition('sbb'),
  cmp: addition('cmp'),
  inc: step(1),
  dec: step(-1),
  neg,
  xadd,
  cmpxchg,
  cmpxchg8b,
  cmpxchg16b,
};
