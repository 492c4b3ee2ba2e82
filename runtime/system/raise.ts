/**
 * Recording an exception. Nothing is delivered here: the routine returns STATUS_FAULT, every caller above passes it on,
 * and the run loop calls `deliverException`.
 */
import {
  CPU_BASE,
  EXCEPTION_ERROR,
  EXCEPTION_HAS_ERROR,
  EXCEPTION_VECTOR,
  STATUS,
  STATUS_FAULT,
} from '../../src/x86/state';

// Vectors, SDM Vol. 3A, "Exception and Interrupt Reference".
export const DE: i32 = 0;
export const DB: i32 = 1;
export const BP: i32 = 3;
export const OVERFLOW: i32 = 4;
export const UD: i32 = 6;
export const NM: i32 = 7;
export const DF: i32 = 8;
export const TS: i32 = 10;
export const NP: i32 = 11;
export const SS: i32 = 12;
export const GP: i32 = 13;
export const PAGE_FAULT: i32 = 14;
export const AC: i32 = 17;

function record(vector: i32, error: u32, hasError: i32): i32 {
  store<i32>(CPU_BASE + EXCEPTION_VECTOR, vector);
  store<u32>(CPU_BASE + EXCEPTION_ERROR, error);
  store<i32>(CPU_BASE + EXCEPTION_HAS_ERROR, hasError);
  store<i32>(CPU_BASE + STATUS, STATUS_FAULT);
  return STATUS_FAULT;
}

/** An exception without an error code. */
export function raise(vector: i32): i32 {
  return record(vector, 0, 0);
}

/** An exception with an error code. */
export function raiseError(vector: i32, errorCode: u32): i32 {
  return record(vector, errorCode, 1);
}

/** #GP(0), the commonest of all. */
export function raiseGp0(): i32 {
  return record(GP, 0, 1);
}

/**
 * #DB for the conditions in `dr6` (B0-B3, BD, BS), which delivery merges into DR6. RIP must be right already: the
 * instruction itself for a fault (breakpoint on it, or BD), the next one for a trap.
 */
export function raiseDebug(dr6: u32): i32 {
  return record(DB, dr6, 0);
}
