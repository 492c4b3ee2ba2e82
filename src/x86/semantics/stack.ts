/** The stack: PUSH, POP and their families, ENTER, LEAVE. Intel SDM Vol. 2, the pages of each mnemonic. */
import type { Value } from '../../ir/value.js';
import { SEG } from '../insn.js';
import {
  type Definition,
  type Definitions,
  define,
  defineEnd,
  GPR_INDEX,
  type Lift,
  type OperandSize,
} from '../lift.js';
import * as S from '../state.js';
import { endSegmentLoad, selectorOf } from './move.js';
import { isFile, operand, sizeOf } from './shape.js';

const { rbp } = GPR_INDEX;
const RFLAGS_RF = 0x10000;
const RFLAGS_VM = 0x20000;
const RFLAGS_IOPL = 0x3000;
const [IF_BIT, VIF_BIT] = [9, 19];

/** Linear address of `size` bytes at stack offset `offset` (i64), which wraps at the stack's width. */
function stackLinear(b: Lift, offset: Value, size: number): Value {
  const at = b.truncate(offset, b.stackSize);
  if (b.isFlat) return at;
  b.routine('segmentCheck', b.i32(SEG.ss), at, b.i32(size));
  return b.truncate(b.add(b.state(S.SEGMENT + S.SEG_SS * S.SEGMENT_STRIDE + S.SEGMENT_BASE, 8), at), 4);
}

/**
 * PUSH of a segment register moves the stack pointer by the operand size, but processors of this century write only the
 * selector's 2 bytes. The manual allows that or zero extension.
 */
function pushSelector(b: Lift, selector: Value, size: OperandSize): void {
  const sp = b.now(b.sub(b.stackPointer(), b.i64(size)));
  b.store(stackLinear(b, sp, 2), 2, selector);
  b.setStackPointer(sp);
}

const push = define((b, i) => {
  const src = operand(i, 0);
  if (isFile(src, 'seg')) pushSelector(b, selectorOf(b, src), i.operandSize);
  else b.pushValue(b.read(src), sizeOf(src));
});

const pop = define((b, i) => {
  const dst = operand(i, 0);
  if (isFile(dst, 'seg')) {
    const selector = b.resize(b.stackTop(i.operandSize), i.operandSize, 2);
    b.routine('loadSegmentRegister', b.registerNumber(dst), selector);
    b.dropStack(i.operandSize);
    endSegmentLoad(b, dst);
    return;
  }
  const size = sizeOf(dst);
  const v = b.stackTop(size);
  if (dst.kind !== 'mem') {
    b.dropStack(size);
    // After the stack pointer: POP RSP keeps what was popped.
    b.write(dst, v);
    return;
  }
  // An address based on RSP is computed with RSP already moved, but a fault must find RSP where it was.
  const before = b.now(b.stackPointer());
  b.dropStack(size);
  const offset = b.now(b.offset(dst));
  b.setStackPointer(before);
  b.store(b.linearOf(dst, offset, size, 'write'), size, v);
  b.setStackPointer(b.add(before, b.i64(size)));
});

/** rAX rCX rDX rBX, rSP as it was, rBP rSI rDI. */
function pushAll(size: 2 | 4): Definition {
  return define((b) => {
    const sp = b.now(b.stackPointer());
    for (let n = 0; n < 8; n++) {
      b.store(b.now(stackLinear(b, b.sub(sp, b.i64((n + 1) * size)), size)), size, b.reg(n, size));
    }
    b.setStackPointer(b.sub(sp, b.i64(8 * size)));
  });
}

function popAll(size: 2 | 4): Definition {
  return define((b) => {
    const values = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => b.stackTop(size, n * size));
    b.dropStack(8 * size);
    for (const [n, v] of values.entries()) {
      // The image of rSP is skipped.
      if (7 - n !== GPR_INDEX.rsp) b.setReg(7 - n, size, v);
    }
  });
}

/** In virtual-8086 mode: IOPL is below 3, where PUSHF and POPF need CR4.VME and work on VIF. */
const lacksIopl = (b: Lift): Value => b.ne(b.and(b.state(S.RFLAGS, 4), b.i32(RFLAGS_IOPL)), b.i32(RFLAGS_IOPL));
const isVm86 = (b: Lift): boolean => (b.key & S.KEY_VM86) !== 0;

/** The flags as such a program sees them: VIF as IF, IOPL as 3. */
function virtualImage(b: Lift, flags: Value): Value {
  const flag = b.and(b.shru(flags, b.i32(VIF_BIT - IF_BIT)), b.i32(1 << IF_BIT));
  return b.or(b.and(flags, b.i32(~(1 << IF_BIT))), b.or(flag, b.i32(RFLAGS_IOPL)));
}

function pushFlags(size: 2 | 4 | 8): Definition {
  return define((b) => {
    let rest = b.and(b.state(S.RFLAGS, 4), b.i32(~(RFLAGS_RF | RFLAGS_VM)));
    if (isVm86(b)) {
      const isVirtual = b.now(lacksIopl(b));
      b.ifThen(isVirtual, () => b.routine('checkPushf', b.i32(size)));
      const flags = b.now(rest);
      rest = b.select(isVirtual, virtualImage(b, flags), flags);
    }
    const image = b.or(b.flagsWord(), rest);
    b.pushValue(b.resize(image, 4, size), size);
  });
}

/** What may change depends on the privilege level: a routine, after which interrupts may be possible. */
function popFlags(size: 2 | 4 | 8): Definition {
  return defineEnd((b) => {
    const isVirtual = isVm86(b) ? b.now(lacksIopl(b)) : undefined;
    if (isVirtual !== undefined) b.ifThen(isVirtual, () => b.routine('checkPushf', b.i32(size)));
    const image = b.now(b.resize(b.stackTop(size), size, 8));
    if (isVirtual !== undefined) b.ifThen(isVirtual, () => b.routine('checkPopf', image, b.i32(size)));
    b.dropStack(size);
    b.routineEnds('popf', image, b.i32(size));
  });
}

/** A routine: "#PF if a write using the final value of the stack pointer would fault", before anything has changed. */
const enter = define((b, i) => {
  b.routine('enterFrame', b.i32(i.operandSize), b.read(operand(i, 0)), b.read(operand(i, 1)));
});

const leave = define((b, i) => {
  const size = i.operandSize;
  const frame = b.zext64(b.reg(rbp, b.stackSize));
  const v = b.load(b.now(stackLinear(b, frame, size)), size);
  b.setStackPointer(b.add(frame, b.i64(size)));
  b.setReg(rbp, size, v);
});

export const definitions: Definitions = {
  push,
  pop,
  pusha: pushAll(2),
  pushad: pushAll(4),
  popa: popAll(2),
  popad: popAll(4),
  pushf: pushFlags(2),
  pushfd: pushFlags(4),
  pushfq: pushFlags(8),
  popf: popFlags(2),
  popfd: popFlags(4),
  popfq: popFlags(8),
  enter,
  leave,
};
