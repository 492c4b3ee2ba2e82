/**
 * What the run loop and the INT family call: the pending exception with the double-fault rules, external interrupts, NMI,
 * and software interrupts. SDM Vol. 3A, "Interrupt and Exception Handling".
 */
import {
  COUNT_EXCEPTION,
  COUNT_INTERRUPT,
  CPU_BASE,
  DR,
  EXCEPTION_ERROR,
  EXCEPTION_HAS_ERROR,
  EXCEPTION_VECTOR,
  NMI_BLOCKED,
  STATUS,
  STATUS_FAULT,
  STATUS_MISS,
  STATUS_SHUTDOWN,
} from '../../src/x86/state';
import { FLAG_RF, iopl, isProtected, isVm86, rip, status } from './cpu';
import { deliverEvent, deliverToProgram, HARDWARE, SOFTWARE } from './interrupt';
import { BP, DB, DF, OVERFLOW, PAGE_FAULT, raiseError, raiseGp0 } from './raise';
import { hasVme, isRedirected } from './virtual-interrupts';

export { raise, raiseDebug, raiseError } from './raise';

/** #DE #TS #NP #SS #GP (and #CP, which is not offered). SDM Vol. 3A, table "Interrupt and Exception Classes". */
const CONTRIBUTORY: u32 = (1 << 0) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 21);
/** Traps and aborts, whose frames show RF as it is; all other vectors below 32 are faults, whose frames show RF set. */
const NOT_FAULTS: u32 = (1 << 1) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 8) | (1 << 18);
const DR6_BD: u32 = 0x2000;
const DR7_GD: u64 = 0x2000;

function isContributory(vector: i32): boolean {
  return vector < 32 && ((CONTRIBUTORY >> vector) & 1) != 0;
}

function count(table: i32, index: i32): void {
  const p = CPU_BASE + table + (index << 3);
  store<u64>(p, load<u64>(p) + 1);
}

/** SDM Vol. 3B, "Debug Exceptions": DR6 tells why, sticky until software clears it; a #DB clears DR7.GD. */
function updateDebugStatus(conditions: u32): void {
  const dr6 = load<u64>(CPU_BASE + DR + 48);
  store<u64>(CPU_BASE + DR + 48, (dr6 & ~(15 as u64)) | (conditions as u64));
  store<u64>(CPU_BASE + DR + 56, load<u64>(CPU_BASE + DR + 56) & ~DR7_GD);
}

/**
 * Delivers the exception in EXCEPTION_*; RIP is the instruction to return to. STATUS_MISS: look up the handler.
 * STATUS_SHUTDOWN: triple fault. STATUS_EXIT and STATUS_CODE_WRITE: nothing has happened yet and EXCEPTION_* still holds
 * the exception; act, then call again.
 */
export function deliverException(): i32 {
  const firstVector = load<i32>(CPU_BASE + EXCEPTION_VECTOR);
  const firstError = load<u32>(CPU_BASE + EXCEPTION_ERROR);
  const firstHasError = load<i32>(CPU_BASE + EXCEPTION_HAS_ERROR);
  let vector = firstVector;
  // A nested exception replaces the first or makes it #DF; one nested in #DF ends it. Four rounds are beyond any chain.
  for (let round = 0; round < 4; round++) {
    const error = load<u32>(CPU_BASE + EXCEPTION_ERROR);
    const hasError = load<i32>(CPU_BASE + EXCEPTION_HAS_ERROR) != 0;
    store<i32>(CPU_BASE + STATUS, 0);
    const isFault = ((NOT_FAULTS >> (vector & 31)) & 1) == 0 || (vector == DB && (error & DR6_BD) != 0);
    const result = deliverEvent(vector, HARDWARE, hasError, error, rip(), isFault ? FLAG_RF : 0);
    if (result == 0) {
      if (vector == DB) updateDebugStatus(error);
      count(COUNT_EXCEPTION, vector & 31);
      return STATUS_MISS;
    }
    if (result != STATUS_FAULT) {
      store<i32>(CPU_BASE + EXCEPTION_VECTOR, firstVector);
      store<u32>(CPU_BASE + EXCEPTION_ERROR, firstError);
      store<i32>(CPU_BASE + EXCEPTION_HAS_ERROR, firstHasError);
      return result;
    }
    const second = load<i32>(CPU_BASE + EXCEPTION_VECTOR);
    const isSecondSerious = isContributory(second) || second == PAGE_FAULT;
    if (vector == DF && isSecondSerious) break;
    if ((isContributory(vector) && isContributory(second)) || (vector == PAGE_FAULT && isSecondSerious)) {
      raiseError(DF, 0);
      vector = DF;
    } else {
      vector = second;
    }
  }
  store<i32>(CPU_BASE + STATUS, STATUS_SHUTDOWN);
  return STATUS_SHUTDOWN;
}

/**
 * Delivers an external interrupt between instructions. STATUS_MISS, STATUS_FAULT (then `deliverException` is due), or a
 * status after which it is called again.
 */
export function deliverInterrupt(vector: i32): i32 {
  store<i32>(CPU_BASE + STATUS, 0);
  const result = deliverEvent(vector & 255, HARDWARE, false, 0, rip(), 0);
  if (result != 0) return result;
  count(COUNT_INTERRUPT, vector & 255);
  return STATUS_MISS;
}

/** Delivers a non-maskable interrupt; the next one is held off until IRET. */
export function deliverNmi(): i32 {
  const result = deliverInterrupt(2);
  if (result == STATUS_MISS) store<i32>(CPU_BASE + NMI_BLOCKED, 1);
  return result;
}

function software(vector: i32, next: u64): i32 {
  const result = deliverEvent(vector, SOFTWARE, false, 0, next, 0);
  if (result != 0) return result;
  count(COUNT_INTERRUPT, vector);
  return STATUS_MISS;
}

/** INT n. In virtual-8086 mode VME may leave it to the program's own handler; else it needs IOPL 3. */
export function softwareInterrupt(vector: i32, next: u64): i32 {
  if (isProtected() && isVm86()) {
    const isOwn = hasVme() ? isRedirected(vector & 255) : 0;
    if (status() != 0) return status();
    if (isOwn == 1) {
      const result = deliverToProgram(vector & 255, next);
      if (result != 0) return result;
      count(COUNT_INTERRUPT, vector & 255);
      return STATUS_MISS;
    }
    if (iopl() < 3) return raiseGp0();
  }
  return software(vector & 255, next);
}

/** INT3 (0xCC): never sensitive to IOPL. */
export function int3(next: u64): i32 {
  return software(BP, next);
}

/** INTO when OF is set; the lifter tests OF (and raises #UD in 64-bit code). */
export function into(next: u64): i32 {
  return software(OVERFLOW, next);
}

/** INT1 (0xF1): a trap that looks at no gate's DPL, with EXT set; DR6 does not change. */
export function int1(next: u64): i32 {
  const result = deliverEvent(DB, HARDWARE, false, 0, next, 0);
  if (result != 0) return result;
  store<u64>(CPU_BASE + DR + 56, load<u64>(CPU_BASE + DR + 56) & ~DR7_GD);
  count(COUNT_EXCEPTION, DB);
  return STATUS_MISS;
}
