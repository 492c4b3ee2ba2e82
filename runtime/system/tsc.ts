/** The time-stamp counter. SDM Vol. 3B, "Time-Stamp Counter". */
import { BUDGET, CLOCK_BUDGET, CPU_BASE, TSC_ADJUST, TSC_AUX, TSC_OFFSET } from '../../src/x86/state';
import { cpl, hasCr4, RAX, RCX, RDX, setGpr } from './cpu';
import { clock } from './env';
import { raiseGp0 } from './raise';

const CR4_TSD: u64 = 4;

/**
 * To read the host's clock costs as much as a hundred instructions, and Linux reads the TSC in every system call (for the
 * offset of its stack): so soon after a reading, the instructions since are counted instead, one tick each.
 */
const SOON: u32 = 500;

let readTicks: u64 = 0;
let lastTicks: u64 = 0;

/** The host's clock is coarser than a TSC: equal readings are spread so that two reads never give the same time. */
function after(now: u64): u64 {
  lastTicks = now > lastTicks ? now : lastTicks + 1;
  return lastTicks;
}

function ticks(): u64 {
  readTicks = clock() as u64;
  store<i32>(CPU_BASE + CLOCK_BUDGET, load<i32>(CPU_BASE + BUDGET));
  return after(readTicks);
}

/** `ticks` for RDTSC. */
function recentTicks(): u64 {
  const since: u32 = load<i32>(CPU_BASE + CLOCK_BUDGET) - load<i32>(CPU_BASE + BUDGET);
  return since < SOON ? after(readTicks + since) : ticks();
}

export function tscValue(): u64 {
  return ticks() + load<u64>(CPU_BASE + TSC_OFFSET);
}

/** Writes to the TSC and to IA32_TSC_ADJUST move each other by the same amount. SDM Vol. 3B, "Time-Stamp Counter Adjustment". */
export function writeTsc(value: u64): void {
  const offset = load<u64>(CPU_BASE + TSC_OFFSET);
  const moved = value - ticks();
  store<u64>(CPU_BASE + TSC_OFFSET, moved);
  store<u64>(CPU_BASE + TSC_ADJUST, load<u64>(CPU_BASE + TSC_ADJUST) + (moved - offset));
}

export function writeTscAdjust(value: u64): void {
  const change = value - load<u64>(CPU_BASE + TSC_ADJUST);
  store<u64>(CPU_BASE + TSC_OFFSET, load<u64>(CPU_BASE + TSC_OFFSET) + change);
  store<u64>(CPU_BASE + TSC_ADJUST, value);
}

/** RDTSC: EDX:EAX. 0, or a status: CR4.TSD keeps it from CPL 1-3. */
export function rdtsc(): i32 {
  if (cpl() != 0 && hasCr4(CR4_TSD)) return raiseGp0();
  const value = recentTicks() + load<u64>(CPU_BASE + TSC_OFFSET);
  setGpr(RAX, value & 0xffffffff);
  setGpr(RDX, value >> 32);
  return 0;
}

/** RDTSCP: RDTSC, and IA32_TSC_AUX in ECX. */
export function rdtscp(): i32 {
  const result = rdtsc();
  if (result == 0) setGpr(RCX, load<u64>(CPU_BASE + TSC_AUX) & 0xffffffff);
  return result;
}

/** RDPID's value. */
export function rdpid(): u64 {
  return load<u64>(CPU_BASE + TSC_AUX) & 0xffffffff;
}
