// Faults that SSE, MMX and x87 share, unmasked SSE exceptions, LDMXCSR.
// Intel SDM Vol. 3A, "Device Not Available Exception (#NM)", "SIMD Floating-Point Exception (#XM)".
import { CPU_BASE, CR0, CR4, MXCSR, STATUS_OK } from '../../src/x86/state';
import { float_begin, float_pending } from '../float/mxcsr';
import { updateKey } from '../system/key';
import { NM, raise, raiseGp0, UD } from '../system/raise';

const CR0_EM: u64 = 4;
const CR4_OSXMMEXCPT: u64 = 0x400;
const XM: i32 = 19;
/** MXCSR_MASK: bits 31:16 are reserved. */
const MXCSR_RESERVED: u32 = 0xffff0000;

/** SSE and MMX with CR0.EM or CR0.TS set: #UD for EM, else #NM. */
export function sseTrap(): i32 {
  return raise((load<u64>(CPU_BASE + CR0) & CR0_EM) != 0 ? UD : NM);
}

/** x87 with CR0.EM or CR0.TS set. */
export function fpuTrap(): i32 {
  return raise(NM);
}

/** Before SSE arithmetic while some exception is unmasked. */
export function sseBegin(): i32 {
  float_begin();
  return STATUS_OK;
}

/** After it, before the result is written. */
export function sseCheck(): i32 {
  if (float_pending() == 0) return STATUS_OK;
  return raise((load<u64>(CPU_BASE + CR4) & CR4_OSXMMEXCPT) != 0 ? XM : UD);
}

export function loadMxcsr(value: u32): i32 {
  if (value & MXCSR_RESERVED) return raiseGp0();
  store<u32>(CPU_BASE + MXCSR, value);
  updateKey();
  return STATUS_OK;
}
