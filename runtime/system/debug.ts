/**
 * Debug registers and breakpoints. SDM Vol. 3B, "Debug Registers", "Debug Exceptions".
 * The evaluators call in here only while KEY_TRAP, KEY_CODE_BREAKPOINT or KEY_DATA_BREAKPOINT is in the block key.
 */
import { CPU_BASE, DR, PENDING_DEBUG, SEG_CS } from '../../src/x86/state';
import { flushTlb } from '../mmu/tlb';
import { dr, matchBreakpoints } from './breakpoint';
import { baseOf, cpl, FLAG_RF, FLAG_TF, hasCr4, isCode64, rip, setSystemFlags, systemFlags } from './cpu';
import { linear } from './descriptor';
import { updateKey } from './key';
import { raise, raiseDebug, raiseGp0, UD } from './raise';

const CR4_DE: u64 = 8;
const DR7_GD: u64 = 0x2000;
const DR6_BD: u32 = 0x2000;
const DR6_BS: u32 = 0x4000;
/** Bits of DR6 and DR7 that always read as one, and those that can be written. */
const DR6_ONES: u64 = 0xffff0ff0;
const DR6_WRITABLE: u64 = 0xe00f;
const DR7_ONES: u64 = 0x400;
const DR7_WRITABLE: u64 = 0xffff23ff;

/** DR4 and DR5 are other names of DR6 and DR7 unless CR4.DE makes them #UD. -1: a fault is recorded. */
function resolve(n: i32): i32 {
  if (n == 4 || n == 5) {
    if (hasCr4(CR4_DE)) {
      raise(UD);
      return -1;
    }
    n += 2;
  }
  if (cpl() != 0) {
    raiseGp0();
    return -1;
  }
  if (dr(7) & DR7_GD) {
    raiseDebug(DR6_BD);
    return -1;
  }
  return n;
}

/** MOV from DRn. STATUS tells whether it faulted. */
export function readDr(n: i32): u64 {
  const index = resolve(n);
  return index < 0 ? 0 : dr(index);
}

/** MOV to DRn; 0 or a status. The block key may have changed. */
export function writeDr(n: i32, value: u64): i32 {
  const index = resolve(n);
  if (index < 0) return 2; // STATUS_FAULT
  let v = isCode64() ? value : value & 0xffffffff;
  if (index >= 6) {
    if (v >> 32) return raiseGp0();
    v = index == 6 ? (v & DR6_WRITABLE) | DR6_ONES : (v & DR7_WRITABLE) | DR7_ONES;
  }
  store<u64>(CPU_BASE + DR + (index << 3), v);
  if (index == 7) {
    updateKey();
    // While a data breakpoint is armed no access may bypass the slow path.
    flushTlb(1);
  }
  return 0;
}

/**
 * Before an instruction under KEY_CODE_BREAKPOINT: STATUS_FAULT with #DB recorded when a breakpoint is on it and RF is
 * clear, else 0.
 */
export function checkCodeBreakpoint(): i32 {
  if (systemFlags() & FLAG_RF) return 0;
  const address = isCode64() ? rip() : linear(baseOf(SEG_CS) + rip());
  const hits = matchBreakpoints(address, 1, 1);
  return hits != 0 ? raiseDebug(hits) : 0;
}

/** An event was delivered since `forgetHandlerEntry`. */
let handlerEntered: boolean = false;
export function noteHandlerEntry(): void {
  handlerEntered = true;
}
/** IRET has loaded RF, which is for the next instruction. */
let resumed: boolean = false;
export function noteResume(): void {
  resumed = true;
}
/** Before an instruction that is traced. */
export function forgetHandlerEntry(): void {
  handlerEntered = false;
  resumed = false;
}

/**
 * After an instruction that ran with TF set (`wasTrapped`: TF before it began) or under a breakpoint key has retired and
 * RIP is the next: STATUS_FAULT with #DB recorded, or 0. Clears RF, but for IRET's. SDM Vol. 3B, "Instruction-Breakpoint Exception
 * Condition".
 */
export function debugTrap(wasTrapped: i32): i32 {
  // INT n, INT3, INTO and INT1 clear TF before it would trap. SDM Vol. 3B, "Single-Step Exception Condition".
  if (handlerEntered) wasTrapped = 0;
  const pending = load<u32>(CPU_BASE + PENDING_DEBUG);
  store<u32>(CPU_BASE + PENDING_DEBUG, 0);
  if (!resumed) setSystemFlags(systemFlags() & ~FLAG_RF);
  const conditions = pending | (wasTrapped != 0 ? DR6_BS : 0);
  return conditions != 0 ? raiseDebug(conditions) : 0;
}

/** An instruction did not retire (fault or exit): what it met does not count. */
export function dropPendingDebug(): void {
  store<u32>(CPU_BASE + PENDING_DEBUG, 0);
}
