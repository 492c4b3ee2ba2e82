/**
 * What every SSE and MMX definition begins with: may the instruction run at all, and are its operands aligned.
 * Intel SDM Vol. 2A, "Exception Specifications for Legacy Instructions" (types 1-11); Vol. 3A, "Configuring the x87 FPU
 * Environment" and "MMX State and the x87 FPU" for CR0.EM and CR0.TS.
 */
import type { Value } from '../../ir/value.js';
import type { Insn, MemoryOperand, Operand, RegisterOperand } from '../insn.js';
import { type Definition, define, type Lift, VECTOR } from '../lift.js';
import * as S from '../state.js';

export type Body = (b: Lift, i: Insn) => void;

/** FPU status word: an unmasked x87 exception is pending. */
const ERROR_SUMMARY = 0x80;
const CR0_NE = 0x20;

export const isMmx = (op: Operand): op is RegisterOperand => op.kind === 'reg' && op.file === 'mmx';
export const isXmm = (op: Operand): op is RegisterOperand => op.kind === 'reg' && op.file === 'xmm';

/** False when the instruction raises #UD or #NM whatever its operands are; the raise is then emitted. */
function sseUsable(b: Lift): boolean {
  if ((b.key & S.KEY_NO_SSE) !== 0) {
    b.raise(VECTOR.UD);
    return false;
  }
  return trapsPass(b, 'sseTrap');
}

/** False when CR0.EM or CR0.TS is set: `routine` then raises the right one of #UD and #NM. */
function trapsPass(b: Lift, routine: string): boolean {
  if ((b.key & S.KEY_FPU_TRAP) === 0) return true;
  b.routine(routine);
  return false;
}

/** #MF when an earlier x87 instruction left an unmasked exception; with CR0.NE clear it would be an interrupt, which nothing makes. */
export function checkPending(b: Lift): void {
  const status = b.state(S.FPU_STATUS, 2);
  b.ifThen(b.and(status, b.i32(ERROR_SUMMARY)), () => b.raiseIf(b.and(b.state(S.CR0, 4), b.i32(CR0_NE)), VECTOR.MF));
}

/** An instruction on XMM registers. */
export const sse = (lift: Body): Definition =>
  define((b, i) => {
    if (sseUsable(b)) lift(b, i);
  });

/** An instruction with an MMX and an XMM form, or with an operand of each. */
export const simd = (lift: Body): Definition =>
  define((b, i) => {
    if (i.operands.some(isXmm) && !sseUsable(b)) return;
    if (i.operands.some(isMmx)) {
      if (!trapsPass(b, 'sseTrap')) return;
      checkPending(b);
    }
    lift(b, i);
  });

/** MMX without an MMX register among the operands: EMMS. */
export const mmx = (lift: Body): Definition =>
  define((b, i) => {
    if (!trapsPass(b, 'sseTrap')) return;
    checkPending(b);
    lift(b, i);
  });

/** An x87 instruction; `waits`: it first raises what an earlier one left pending. */
export const x87 = (lift: Body, waits = true): Definition =>
  define((b, i) => {
    if (!trapsPass(b, 'fpuTrap')) return;
    if (waits) checkPending(b);
    lift(b, i);
  });

// ---- 16-byte memory operands ----
/** #GP(0) unless the address is a multiple of 16. */
export function requireAligned(b: Lift, op: MemoryOperand): void {
  b.raiseIf(b.and(b.wrap(b.linear(op)), b.i32(15)), VECTOR.GP, 0);
}

/** An XMM register or an aligned 16-byte memory operand. */
export function readVector(b: Lift, op: Operand): Value {
  if (op.kind === 'mem') requireAligned(b, op);
  return b.readLow(op, 16);
}

export function writeVector(b: Lift, op: Operand, v: Value): void {
  if (op.kind === 'mem') requireAligned(b, op);
  b.writeLow(op, 16, v);
}

// ---- MMX registers: mantissas of the x87's physical registers ----
/** Bits 79:64 of an x87 register written by MMX. */
const MMX_EXPONENT = 0xffff;

/** Every MMX instruction but EMMS makes TOP 0 and all tags valid. Call it once nothing can fault any more. */
export function enterMmx(b: Lift): void {
  // FPU_EMPTY and FPU_TOP are neighbouring bytes.
  b.setState(S.FPU_EMPTY, 2, b.i32(0));
}

/** An MMX register or memory operand (m32 forms are zero-extended) as an i64. */
export function readMmx(b: Lift, op: Operand): Value {
  if (op.kind === 'mem' && op.size === 4) return b.zext64(b.readLow(op, 4));
  return b.readLow(op, 8);
}

export function writeMmx(b: Lift, op: RegisterOperand, v: Value): void {
  enterMmx(b);
  const pointer = b.registerPointer(op);
  b.writePointer(pointer, 8, v);
  b.writePointer(b.add(pointer, b.i32(8)), 2, b.i32(MMX_EXPONENT));
}

// ---- arithmetic with unmasked exceptions ----
/** Floating-point work that may raise #XM: `compute` runs, then unmasked exceptions are raised before any write. */
export function arithmetic(b: Lift, compute: () => Value): Value {
  if ((b.key & S.KEY_SSE_UNMASKED) === 0) return compute();
  b.routine('sseBegin');
  const result = b.now(compute());
  b.routine('sseCheck');
  return result;
}
