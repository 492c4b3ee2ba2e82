/**
 * x87 loads and stores. Intel SDM Vol. 2A, "FBLD" to "FXCH"; Vol. 1, "x87 FPU Data Types".
 * A store probes its destination, computes (raising what it raises), writes memory and pops: a memory fault leaves stack
 * and status as they were. With an unmasked exception nothing is written and nothing popped.
 */
import type { Type, Value } from '../../ir/value.js';
import { type AccessSize, Value as Node } from '../../ir/value.js';
import type { MemoryOperand, Operand } from '../insn.js';
import type { Definition, Definitions, Lift } from '../lift.js';
import * as S from '../state.js';
import { x87 } from './sse-guard.js';

const PRECISION = 0x20;

/** Calls a routine for what it does to the x87 state. */
export function act(b: Lift, routine: string, ...args: Value[]): void {
  b.call(routine, 'i32', ...args);
}

/** No unmasked exception but precision keeps the instruction that just computed from writing. */
export function isAllowed(b: Lift): Value {
  return b.eqz(b.and(b.state(S.FPU_UNMASKED, 4), b.i32(~PRECISION)));
}
export function pop(b: Lift): void {
  const top = b.state(S.FPU_TOP, 1);
  b.setState(S.FPU_EMPTY, 1, b.or(b.state(S.FPU_EMPTY, 1), b.shl(b.i32(1), top)));
  b.setState(S.FPU_TOP, 1, b.and(b.add(top, b.i32(1)), b.i32(7)));
}

/** Remembers where the last x87 instruction was, and its memory operand, for FNSTENV and FXSAVE. */
// @deviation The opcode (FOP) is not kept: processors keep it only of instructions that raise an unmasked exception.
export function remember(b: Lift, op?: Operand): void {
  b.setState(S.FPU_IP, 8, b.current());
  if (op?.kind === 'mem') b.setState(S.FPU_DP, 8, b.offset(op));
}

export function memoryOperand(op: Operand): MemoryOperand {
  if (op.kind !== 'mem') throw new TypeError(`memory operand expected, not ${op.kind}`);
  return op;
}

/** Linear address of the upper part of an 80-bit operand. */
function upper(b: Lift, op: MemoryOperand): Value {
  return b.truncate(b.add(b.linear(op), b.i64(8)), b.is64 ? 8 : 4);
}

/** A memory operand as a signed i64. */
export function readSigned(b: Lift, op: Operand): Value {
  return b.resize(b.read(op), op.size, 8, true);
}

const fld: Definition = x87((b, i) => {
  const [src] = i.operands;
  if (src.kind === 'reg') {
    act(b, 'fpu_fld_st', b.registerNumber(src));
  } else if (src.size === 10) {
    const op = memoryOperand(src);
    const low = b.load(b.linear(op), 8);
    act(b, 'fpu_fld_f80', low, b.load(upper(b, op), 2));
  } else {
    act(b, src.size === 8 ? 'fpu_fld_f64' : 'fpu_fld_f32', b.read(src));
  }
  remember(b, src);
});

const constant = (number: number): Definition =>
  x87((b) => {
    act(b, 'fpu_fld_const', b.i32(number));
    remember(b);
  });

const fild: Definition = x87((b, i) => {
  const [src] = i.operands;
  act(b, 'fpu_fild', readSigned(b, src));
  remember(b, src);
});

const fbld: Definition = x87((b, i) => {
  const op = memoryOperand(i.operands[0]);
  const low = b.load(b.linear(op), 8);
  act(b, 'fpu_fbld', low, b.load(upper(b, op), 2));
  remember(b, op);
});

/** Faults as a write would, and writes nothing. */
function probe(b: Lift, at: Value, size: AccessSize): void {
  const v = new Node('loadrmw', size === 8 ? 'i64' : 'i32', at);
  v.size = size;
  b.now(v);
}

/** Runs `store` if no unmasked exception forbids it, then pops. */
function storeAllowed(b: Lift, op: Operand, pops: boolean, store: () => void): void {
  b.ifThen(isAllowed(b), () => {
    store();
    if (pops) pop(b);
  });
  remember(b, op);
}

/** FST, FSTP. */
const floatStore = (pops: boolean): Definition =>
  x87((b, i) => {
    const [dst] = i.operands;
    if (dst.kind === 'reg') {
      act(b, 'fpu_fst_st', b.registerNumber(dst), b.i32(pops ? 1 : 0));
      remember(b);
      return;
    }
    const at = b.now(b.linear(memoryOperand(dst), 'write'));
    if (dst.size === 10) {
      const end = b.now(upper(b, memoryOperand(dst)));
      probe(b, at, 8);
      probe(b, end, 2);
      const mantissa = b.call('x87_fst_mantissa', 'i64');
      const head = b.call('x87_fst_exponent', 'i32');
      storeAllowed(b, dst, pops, () => storeWide(b, at, end, mantissa, head));
    } else {
      const size = dst.size === 8 ? 8 : 4;
      probe(b, at, size);
      const v = b.call(size === 8 ? 'x87_fst_f64' : 'x87_fst_f32', size === 8 ? 'i64' : 'i32');
      storeAllowed(b, dst, pops, () => b.store(at, size, v));
    }
  });

function storeWide(b: Lift, at: Value, end: Value, low: Value, high: Value): void {
  b.store(at, 8, low);
  b.store(end, 2, high);
}

/** FIST, FISTP, FISTTP. */
const integerStore = (pops: boolean, truncate: 0 | 1): Definition =>
  x87((b, i) => {
    const op = memoryOperand(i.operands[0]);
    const at = b.now(b.linear(op, 'write'));
    const size = op.size === 8 ? 8 : op.size === 4 ? 4 : 2;
    const type: Type = size === 8 ? 'i64' : 'i32';
    probe(b, at, size);
    const v = b.call(`x87_fist${size * 8}`, type, b.i32(truncate));
    storeAllowed(b, op, pops, () => b.store(at, size, v));
  });

const fbstp: Definition = x87((b, i) => {
  const op = memoryOperand(i.operands[0]);
  const at = b.now(b.linear(op, 'write'));
  const end = b.now(upper(b, op));
  probe(b, at, 8);
  probe(b, end, 2);
  const low = b.call('x87_fbstp_low', 'i64');
  const high = b.call('x87_fbstp_high', 'i32');
  storeAllowed(b, op, true, () => storeWide(b, at, end, low, high));
});

const fxch: Definition = x87((b, i) => {
  const [src] = i.operands;
  if (src.kind !== 'reg') throw new TypeError('fxch of memory');
  act(b, 'fpu_fxch', b.registerNumber(src));
  remember(b);
});

export const definitions: Definitions = {
  fld,
  fld1: constant(0),
  fldl2t: constant(1),
  fldl2e: constant(2),
  fldpi: constant(3),
  fldlg2: constant(4),
  fldln2: constant(5),
  fldz: constant(6),
  fild,
  fbld,
  fst: floatStore(false),
  fstp: floatStore(true),
  fist: integerStore(false, 0),
  fistp: integerStore(true, 0),
  fisttp: integerStore(true, 1),
  fbstp,
  fxch,
};
