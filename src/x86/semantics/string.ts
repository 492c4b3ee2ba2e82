/**
 * String instructions. Intel SDM Vol. 2, "MOVS", "CMPS", "STOS", "LODS", "SCAS", "INS", "OUTS". One element is done in
 * place; repeated ones are routines (runtime/string), which can stop after any iteration and be run again.
 * Operands are memory at [rDI] in ES and at [rSI] in DS or the overriding segment.
 */
import type { Value } from '../../ir/value.js';
import { type Insn, type MemoryOperand, SEG } from '../insn.js';
import {
  type Access,
  type Definition,
  type Definitions,
  define,
  defineEnd,
  GPR_INDEX,
  type Lift,
  type OperandSize,
} from '../lift.js';
import * as S from '../state.js';
import { memory } from './shape.js';

const { rax, rsi, rdi } = GPR_INDEX;
const DF_BIT = 10;

/** Moves an index register one element on, or back when DF is set. */
function advance(b: Lift, i: Insn, register: number): void {
  const size = i.addressSize;
  const isDown = b.and(b.shru(b.state(S.RFLAGS, 4), b.i32(DF_BIT)), b.i32(1));
  const step = b.sub(b.i32(i.operandSize), b.mul(isDown, b.i32(2 * i.operandSize)));
  const by = size === 8 ? b.sext64(step) : step;
  b.setReg(register, size, b.truncate(b.add(b.reg(register, size), by), size));
}

/**
 * Linear address of the element at an index register. Not by the operand's own address: the interpreter's record has
 * room for one, and MOVS and CMPS have two.
 */
function elementAt(b: Lift, i: Insn, op: MemoryOperand, register: number, access: Access = 'read'): Value {
  const offset = b.zext64(b.reg(register, i.addressSize));
  return b.now(b.linearOf(op, offset, i.operandSize, access));
}

/** Segment number for routines. ES CS SS DS are alike where they are flat. */
function segmentOf(b: Lift, op: MemoryOperand): Value {
  return b.i32(b.isFlat && op.seg < SEG.fs ? SEG.ds : op.seg);
}

const sizes = (b: Lift, i: Insn): [Value, Value] => [b.i32(i.operandSize), b.i32(i.addressSize)];
/** CMPS and SCAS go on while equal (REPE) or while not (REPNE). */
const whileEqual = (b: Lift, i: Insn): Value => b.i32(i.repeat === 'repne' ? 0 : 1);

const movs = define((b, i) => {
  const [target, source] = [memory(i, 0), memory(i, 1)];
  if (i.repeat !== 'none') {
    b.routine('repMovs', ...sizes(b, i), segmentOf(b, source));
    return;
  }
  const v = b.load(elementAt(b, i, source, rsi), i.operandSize);
  b.store(elementAt(b, i, target, rdi, 'write'), i.operandSize, v);
  advance(b, i, rsi);
  advance(b, i, rdi);
});

const stos = define((b, i) => {
  if (i.repeat !== 'none') {
    b.routine('repStos', ...sizes(b, i));
    return;
  }
  b.store(elementAt(b, i, memory(i, 0), rdi, 'write'), i.operandSize, b.reg(rax, i.operandSize));
  advance(b, i, rdi);
});

const lods = define((b, i) => {
  const source = memory(i, 0);
  if (i.repeat !== 'none') {
    b.routine('repLods', ...sizes(b, i), segmentOf(b, source));
    return;
  }
  const v = b.load(elementAt(b, i, source, rsi), i.operandSize);
  b.setReg(rax, i.operandSize, v);
  advance(b, i, rsi);
});

function compare(b: Lift, size: OperandSize, x: Value, y: Value): void {
  b.flagsSub(size, x, y, b.truncate(b.sub(x, y), size));
}

const cmps = define((b, i) => {
  const [source, target] = [memory(i, 0), memory(i, 1)];
  if (i.repeat !== 'none') {
    b.routine('repCmps', ...sizes(b, i), segmentOf(b, source), whileEqual(b, i));
    return;
  }
  const x = b.load(elementAt(b, i, source, rsi), i.operandSize);
  const y = b.load(elementAt(b, i, target, rdi), i.operandSize);
  advance(b, i, rsi);
  advance(b, i, rdi);
  compare(b, i.operandSize, x, y);
});

const scas = define((b, i) => {
  if (i.repeat !== 'none') {
    b.routine('repScas', ...sizes(b, i), whileEqual(b, i));
    return;
  }
  const y = b.load(elementAt(b, i, memory(i, 0), rdi), i.operandSize);
  advance(b, i, rdi);
  compare(b, i.operandSize, b.reg(rax, i.operandSize), y);
});

/** Devices may have changed what is pending: the block ends. */
const ins: Definition = defineEnd((b, i) => {
  b.routineEnds('stringIn', ...sizes(b, i), b.i32(i.repeat === 'none' ? 0 : 1));
});
const outs: Definition = defineEnd((b, i) => {
  const source = memory(i, 1);
  b.routineEnds('stringOut', ...sizes(b, i), segmentOf(b, source), b.i32(i.repeat === 'none' ? 0 : 1));
});

export const definitions: Definitions = { movs, stos, lods, cmps, scas, ins, outs };
