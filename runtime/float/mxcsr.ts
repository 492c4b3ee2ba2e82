// MXCSR as the arithmetic sees it, and the record of what the current instruction raised.
// Intel SDM Vol. 1, "MXCSR Control and Status Register" and "SIMD Floating-Point Exception Conditions".
import { CPU_BASE, MXCSR } from '../../src/x86/state';

export const IE: u32 = 1;
export const DE: u32 = 2;
export const ZE: u32 = 4;
export const OE: u32 = 8;
export const UE: u32 = 16;
export const PE: u32 = 32;
export const ALL_FLAGS: u32 = 63;
/** Raised from the operands alone, before anything is computed. */
const PRE_COMPUTATION: u32 = 7;
export const DAZ: u32 = 64;
export const MASK_SHIFT: u32 = 7;
export const OM: u32 = 1024;
export const UM: u32 = 2048;
export const PM: u32 = 4096;
export const RC_SHIFT: u32 = 13;
export const FTZ: u32 = 32768;

/** The mode in which inexact results are invisible: nearest, no DAZ or FTZ, PE already set and masked. */
const SETTLED_BITS: u32 = 0xf060 | PM;
const SETTLED: u32 = PE | PM;

/** Flags raised since float_begin, whether or not MXCSR had them already. */
let newFlags: u32 = 0;
/** MXCSR when the instruction began. */
let before: u32 = 0;

@inline
export function mxcsr(): u32 {
  return load<u32>(CPU_BASE + MXCSR);
}

@inline
export function isSettled(control: u32): bool {
  return (control & SETTLED_BITS) == SETTLED;
}

/** Nearest, no DAZ or FTZ, and PE masked: a provably exact result needs nothing else. */
@inline
export function isPlain(control: u32): bool {
  return (control & (SETTLED_BITS & ~PE)) == PM;
}

@inline
export function roundingControl(control: u32): u32 {
  return (control >> RC_SHIFT) & 3;
}

export function raise(flags: u32): void {
  newFlags |= flags;
  store<u32>(CPU_BASE + MXCSR, mxcsr() | flags);
}

/** Start of one SSE instruction, needed only while some exception is unmasked. */
export function float_begin(): void {
  newFlags = 0;
  before = mxcsr();
}

/**
 * The unmasked exceptions this instruction raised, as flag bits; nonzero means that the destination must not be
 * written. When one of them is a pre-computation exception of any element, the processor computes nothing, so the
 * overflow, underflow and precision flags of the other elements are taken back.
 */
export function float_pending(): i32 {
  const control = mxcsr();
  let pending = newFlags & ALL_FLAGS & ~(control >> MASK_SHIFT);
  if (pending & PRE_COMPUTATION) {
    store<u32>(CPU_BASE + MXCSR, (control & ~ALL_FLAGS) | (before & ALL_FLAGS) | (newFlags & PRE_COMPUTATION));
    pending &= PRE_COMPUTATION;
  }
  return <i32>pending;
}
