/**
 * Jumps, calls, returns, loops, and what leaves the current privilege level. Intel SDM Vol. 2, the pages of each
 * mnemonic. Far transfers, interrupts and system calls are routines: RIP is theirs to set (STATUS_MISS).
 */
import type { Value } from '../../ir/value.js';
import type { Insn, Operand, RelativeOperand } from '../insn.js';
import {
  COND,
  type Definition,
  type Definitions,
  define,
  defineEnd,
  GPR_INDEX,
  type Lift,
  type OperandSize,
} from '../lift.js';
import { memory, operand, sizeOf } from './shape.js';

const { rcx } = GPR_INDEX;

function relative(i: Insn): RelativeOperand {
  const op = operand(i, 0);
  if (op.kind !== 'rel') throw new TypeError(`${i.mnemonic} without a relative target`);
  return op;
}

const jmp = defineEnd((b, i) => {
  const target = operand(i, 0);
  if (target.kind === 'rel') {
    b.checkTarget(target);
    b.jump(target);
    return;
  }
  const rip = b.zext64(b.read(target));
  b.checkRip(rip, i.operandSize);
  b.jumpTo(rip);
});

/** Pushes the address of the next instruction. */
function pushReturn(b: Lift, size: OperandSize): void {
  b.pushValue(b.resize(b.next(), 8, size), size);
}

const call = defineEnd((b, i) => {
  const target = operand(i, 0);
  if (target.kind === 'rel') {
    b.checkTarget(target);
    pushReturn(b, target.size as OperandSize);
    b.jump(target, 'call');
    return;
  }
  // Read before the push: it may be addressed by RSP.
  const rip = b.zext64(b.read(target));
  b.checkRip(rip, sizeOf(target));
  pushReturn(b, sizeOf(target));
  b.jumpTo(rip, 'call');
});

const ret = defineEnd((b, i) => {
  const size = i.operandSize;
  const rip = b.zext64(b.stackTop(size));
  b.checkRip(rip, size);
  const parameters = i.operands[0];
  if (parameters === undefined) b.dropStack(size);
  else b.dropStack(b.add(b.zext64(b.read(parameters)), b.i64(size)));
  b.jumpTo(rip, 'return');
});

const jcc = define((b, i) => {
  const taken = b.condition(i.cond);
  b.checkTarget(relative(i), taken);
  b.branch(taken, relative(i));
});

/** Counts rCX (of the address size) down; branches while it is not zero and, for LOOPE and LOOPNE, ZF agrees. */
function loop(cond: number | undefined): Definition {
  return define((b, i) => {
    const size = i.addressSize;
    const count = b.now(b.truncate(b.sub(b.reg(rcx, size), b.constant(size, 1)), size));
    let taken: Value = b.ne(count, b.constant(size, 0));
    if (cond !== undefined) taken = b.and(taken, b.condition(cond));
    b.checkTarget(relative(i), taken);
    b.setReg(rcx, size, count);
    b.branch(taken, relative(i));
  });
}

const jumpIfCountZero = define((b, i) => {
  const taken = b.eqz(b.reg(rcx, i.addressSize));
  b.checkTarget(relative(i), taken);
  b.branch(taken, relative(i));
});

/** Selector and offset of a far target: in the instruction, or in memory with the offset first. */
function farTarget(b: Lift, i: Insn): [selector: Value, offset: Value] {
  const op: Operand = operand(i, 0);
  if (op.kind === 'far') return [b.farSelector(op), b.farOffset(op)];
  const at = b.linear(memory(i, 0));
  const offset = b.load(at, i.operandSize);
  const selector = b.load(b.now(b.add(at, b.i64(i.operandSize))), 2);
  return [selector, b.resize(offset, i.operandSize, 8)];
}

const farJump = defineEnd((b, i) => b.routineEnds('farJump', ...farTarget(b, i), b.i32(i.operandSize), b.next()));
const farCall = defineEnd((b, i) => b.routineEnds('farCall', ...farTarget(b, i), b.i32(i.operandSize), b.next()));
const farReturn = defineEnd((b, i) => {
  const parameters = i.operands[0];
  const bytes = parameters === undefined ? b.i32(0) : b.read(parameters);
  b.routineEnds('farReturn', b.i32(i.operandSize), bytes);
});

const iret = (size: 2 | 4 | 8): Definition => defineEnd((b) => b.routineEnds('iret', b.i32(size)));

/** INT n, INT3, INT1 and INTO get the address of the next instruction, which they push. */
const int = defineEnd((b, i) => b.routineEnds('softwareInterrupt', b.read(operand(i, 0)), b.next()));
const trap = (routine: string): Definition => defineEnd((b) => b.routineEnds(routine, b.next()));
const into = define((b) => b.ifThen(b.condition(COND.o), () => b.routine('into', b.next())));

export const definitions: Definitions = {
  jmp,
  call,
  ret,
  jcc,
  loop: loop(undefined),
  loope: loop(COND.e),
  loopne: loop(COND.ne),
  jcxz: jumpIfCountZero,
  jecxz: jumpIfCountZero,
  jrcxz: jumpIfCountZero,
  jmpf: farJump,
  callf: farCall,
  retf: farReturn,
  iret: iret(2),
  iretd: iret(4),
  iretq: iret(8),
  int,
  int3: trap('int3'),
  int1: trap('int1'),
  into,
  syscall: trap('syscall'),
  sysret: defineEnd((b, i) => b.routineEnds('sysret', b.i32(i.operandSize))),
  sysenter: defineEnd((b) => b.routineEnds('sysenter')),
  sysexit: defineEnd((b, i) => b.routineEnds('sysexit', b.i32(i.operandSize))),
};
