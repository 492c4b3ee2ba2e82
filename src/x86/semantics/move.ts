/** Moves, exchanges, conversions of width, conditional moves and sets. Intel SDM Vol. 2, the pages of each mnemonic. */
import type { Value } from '../../ir/value.js';
import { type Operand, type RegisterOperand, SEG } from '../insn.js';
import {
  type Definition,
  type Definitions,
  define,
  defineEnd,
  GPR_INDEX,
  type Lift,
  type OperandSize,
  VECTOR,
} from '../lift.js';
import * as S from '../state.js';
import { memory, operand, sizeOf } from './shape.js';

const { rax, rdx } = GPR_INDEX;
/** CR8. */
const TASK_PRIORITY = 8;
const HIGHEST_PRIORITY = 15;

/** The selector in a segment register, zero-extended. */
export function selectorOf(b: Lift, op: RegisterOperand): Value {
  const offset = b.mul(b.registerNumber(op), b.i32(S.SEGMENT_STRIDE));
  return b.readPointer(b.add(offset, b.i32(S.CPU_BASE + S.SEGMENT + S.SEGMENT_SELECTOR)), 2);
}

function moveFromSpecial(b: Lift, dst: Operand, src: RegisterOperand): void {
  if (src.file === 'seg') {
    // A selector in memory takes 2 bytes at any operand size.
    const size = dst.kind === 'mem' ? 2 : sizeOf(dst);
    const selector = selectorOf(b, src);
    if (dst.kind === 'mem') b.store(b.linear(dst, 'write'), 2, selector);
    else b.write(dst, b.resize(selector, 2, size));
    return;
  }
  b.requireCpl0();
  const value = b.call(src.file === 'cr' ? 'readCr' : 'readDr', 'i64', b.registerNumber(src));
  // Reading a debug register may fault.
  if (src.file === 'dr') b.routine('pendingStatus');
  b.write(dst, b.resize(value, 8, sizeOf(dst)));
}

/** Flatness and stack size may have changed: the block ends. A load of SS holds interrupts off for one instruction. */
export function endSegmentLoad(b: Lift, op: RegisterOperand): void {
  b.ifThen(b.eq(b.registerNumber(op), b.i32(SEG.ss)), () => b.setState(S.INTERRUPT_SHADOW, 4, b.i32(S.SHADOW_OF_SS)));
  b.leave(S.STATUS_MISS);
}

function moveToSpecial(b: Lift, dst: RegisterOperand, src: Operand): void {
  if (dst.file === 'seg') {
    const selector = src.kind === 'mem' ? b.load(b.linear(src), 2) : b.resize(b.read(src), sizeOf(src), 2);
    b.routine('loadSegmentRegister', b.registerNumber(dst), selector);
    endSegmentLoad(b, dst);
    return;
  }
  b.requireCpl0();
  const value = b.resize(b.read(src), sizeOf(src), 8);
  const number = b.registerNumber(dst);
  if (b.is64 && dst.file === 'cr' && number.isConst && number.imm === TASK_PRIORITY) writeTaskPriority(b, value);
  else b.routineEnds(dst.file === 'cr' ? 'writeCr' : 'writeDr', number, value);
}

/** What `writeCr` does for CR8, where the number is known: kernels write it around every interrupt and lock. */
function writeTaskPriority(b: Lift, value: Value): void {
  const priority = b.now(value);
  b.raiseIf(b.gtu(priority, b.i64(HIGHEST_PRIORITY)), VECTOR.GP, 0);
  const letsIn = b.lts(b.wrap(priority), b.state(S.TPR_THRESHOLD, 4));
  const isLower = b.ltu(priority, b.state(S.CR8, 8));
  b.ifThen(b.and(isLower, letsIn), () => b.setState(S.EXIT_REQUEST, 4, b.i32(S.EXIT_REQUESTED)));
  b.setState(S.CR8, 8, priority);
}

const isSpecial = (op: Operand): op is RegisterOperand =>
  op.kind === 'reg' && (op.file === 'seg' || op.file === 'cr' || op.file === 'dr');

const mov = define((b, i) => {
  const dst = operand(i, 0);
  const src = operand(i, 1);
  if (isSpecial(dst)) moveToSpecial(b, dst, src);
  else if (isSpecial(src)) moveFromSpecial(b, dst, src);
  else b.write(dst, b.read(src));
});

function extend(isSigned: boolean): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const src = operand(i, 1);
    b.write(dst, b.resize(b.read(src), sizeOf(src), sizeOf(dst), isSigned));
  });
}

const xchg = define((b, i) => {
  const first = operand(i, 0);
  const second = operand(i, 1);
  const [dst, src] = second.kind === 'mem' ? [second, first] : [first, second];
  const x = b.readForWrite(dst);
  const y = b.read(src);
  b.write(dst, y);
  b.write(src, x);
});

/** The source is read and a 4-byte destination zero-extended whatever the condition. */
const cmovcc = define((b, i) => {
  const dst = operand(i, 0);
  const y = b.read(operand(i, 1));
  b.write(dst, b.select(b.condition(i.cond), y, b.read(dst)));
});

const setcc = define((b, i) => b.write(operand(i, 0), b.condition(i.cond)));

const lea = define((b, i) => {
  const dst = operand(i, 0);
  b.write(dst, b.resize(b.offset(memory(i, 1)), 8, sizeOf(dst)));
});

/** The accumulator's low half, sign-extended into the whole of it: CBW, CWDE, CDQE. */
function widen(to: 2 | 4 | 8): Definition {
  const from = (to / 2) as OperandSize;
  return define((b) => b.setReg(rax, to, b.resize(b.reg(rax, from), from, to, true)));
}

/** rDX filled with the accumulator's sign: CWD, CDQ, CQO. */
function signToData(size: 2 | 4 | 8): Definition {
  return define((b) => {
    const x = b.signExtend(b.reg(rax, size), size);
    b.setReg(rdx, size, b.truncate(b.shrs(x, size === 8 ? b.i64(63) : b.i32(31)), size));
  });
}

/** AH := flags. */
const lahf = define((b) => {
  const flags = b.or(b.and(b.flagsWord(), b.i32(0xd5)), b.i32(2));
  b.setReg(rax, 2, b.or(b.and(b.reg(rax, 2), b.i32(0xff)), b.shl(flags, b.i32(8))));
});

/** SF ZF AF PF CF := AH; OF stays. */
const sahf = define((b) => {
  const low = b.and(b.shru(b.reg(rax, 2), b.i32(8)), b.i32(0xd5));
  b.setFlags(b.or(b.and(b.flagsWord(), b.i32(0x800)), low));
});

/** AL := [segment:rBX + AL]; the sum wraps at the address size. */
const xlat = define((b, i) => {
  const table = memory(i, 0);
  const at = b.truncate(b.add(b.offset(table), b.zext64(b.reg(rax, 1))), i.addressSize);
  b.setReg(rax, 1, b.load(b.now(b.linearOf(table, at, 1)), 1));
});

/** LES LDS LSS LFS LGS: a far pointer, offset first. */
function loadFarPointer(segment: number): Definition {
  return defineEnd((b, i) => {
    const dst = operand(i, 0);
    const size = sizeOf(dst);
    const at = b.linear(memory(i, 1));
    const offset = b.load(at, size);
    const selector = b.load(b.now(b.add(at, b.i64(size))), 2);
    b.routine('loadSegmentRegister', b.i32(segment), selector);
    b.write(dst, offset);
    b.leave(S.STATUS_MISS);
  });
}

export const definitions: Definitions = {
  mov,
  movzx: extend(false),
  movsx: extend(true),
  movsxd: extend(true),
  xchg,
  cmovcc,
  setcc,
  lea,
  cbw: widen(2),
  cwde: widen(4),
  cdqe: widen(8),
  cwd: signToData(2),
  cdq: signToData(4),
  cqo: signToData(8),
  lahf,
  sahf,
  xlat,
  les: loadFarPointer(SEG.es),
  lds: loadFarPointer(SEG.ds),
  lss: loadFarPointer(SEG.ss),
  lfs: loadFarPointer(SEG.fs),
  lgs: loadFarPointer(SEG.gs),
};
