// The x87 registers, tags and status word in the vCPU state, and how exceptions are recorded.
// Intel SDM Vol. 1, "x87 FPU Execution Environment" and "x87 FPU Floating-Point Exception Handling".
//
// An instruction begins with `begin`, raises what it finds, and writes its result unless `isStopped`. What the
// processor calls an unmasked response follows from `unmasked`: invalid, denormal and zero-divide stop the
// instruction; overflow and underflow stop only stores to memory; precision stops nothing.
import { CPU_BASE, FPR, FPU_CONTROL, FPU_EMPTY, FPU_STATUS, FPU_TOP, FPU_UNMASKED } from '../../src/x86/state';

export const IE: u32 = 1;
export const DE: u32 = 2;
export const ZE: u32 = 4;
export const OE: u32 = 8;
export const UE: u32 = 16;
export const PE: u32 = 32;
export const SF: u32 = 64;
export const ES: u32 = 0x8080;
export const C0: u32 = 0x100;
export const C1: u32 = 0x200;
export const C2: u32 = 0x400;
export const C3: u32 = 0x4000;
const EXCEPTIONS: u32 = 63;

/** The real indefinite: what a masked invalid operation gives. */
export const INDEFINITE: u64 = 0xc000000000000000;
export const INDEFINITE_HEAD: u32 = 0xffff;

/** Unmasked exceptions of the current instruction. */
@inline
function unmasked(): u32 {
  return load<u32>(CPU_BASE + FPU_UNMASKED);
}
@inline
export function setUnmasked(flags: u32): void {
  store<u32>(CPU_BASE + FPU_UNMASKED, flags);
}

/** A number in the 80-bit format: the last one computed or loaded. Its head is sign and exponent. */
export let mantissa: u64 = 0;
export let head: u32 = 0;

@inline
export function setNumber(m: u64, h: u32): void {
  mantissa = m;
  head = h;
}

@inline
export function setIndefinite(): void {
  setNumber(INDEFINITE, INDEFINITE_HEAD);
}

@inline
export function controlWord(): u32 {
  return load<u16>(CPU_BASE + FPU_CONTROL);
}

@inline
export function statusBits(): u32 {
  return load<u16>(CPU_BASE + FPU_STATUS);
}

@inline
export function setStatusBits(bits: u32): void {
  store<u16>(CPU_BASE + FPU_STATUS, bits);
}

@inline
export function roundingMode(): u32 {
  return (controlWord() >> 10) & 3;
}

/** Bits of precision asked for by PC; the reserved encoding 1 means 64, as the processors do it. */
@inline
export function precision(): i32 {
  const pc = (controlWord() >> 8) & 3;
  return pc == 0 ? 24 : pc == 2 ? 53 : 64;
}

@inline
export function begin(): void {
  setUnmasked(0);
  setStatusBits(statusBits() & ~C1);
}

/** For instructions that leave C1 alone unless they meet a stack fault. */
@inline
export function beginQuietly(stackFault: bool): void {
  setUnmasked(0);
  if (stackFault) setStatusBits(statusBits() & ~C1);
}

@inline
export function setConditions(bits: u32): void {
  setStatusBits(statusBits() | bits);
}

export function raise(flags: u32): void {
  const pending = flags & EXCEPTIONS & ~controlWord();
  if (pending != 0) setUnmasked(unmasked() | pending);
  setStatusBits(statusBits() | flags | (pending != 0 ? ES : 0));
}

/** An unmasked invalid, denormal or zero-divide: registers stay as they were. */
@inline
export function isStopped(): bool {
  return (unmasked() & (IE | DE | ZE)) != 0;
}

/** An unmasked exception that keeps a store from memory (all but precision). */
@inline
export function isStoreStopped(): bool {
  return (unmasked() & ~PE) != 0;
}

/** ES and B follow from flags and masks. */
export function updateSummary(): void {
  const status = statusBits() & ~ES;
  setStatusBits((status & EXCEPTIONS & ~controlWord()) != 0 ? status | ES : status);
}

@inline
export function top(): u32 {
  return load<u8>(CPU_BASE + FPU_TOP) & 7;
}

@inline
export function setTop(value: u32): void {
  store<u8>(CPU_BASE + FPU_TOP, value & 7);
}

@inline
function emptyBits(): u32 {
  return load<u8>(CPU_BASE + FPU_EMPTY);
}

@inline
function bitOf(i: i32): u32 {
  return 1 << ((top() + i) & 7);
}

@inline
export function isEmpty(i: i32): bool {
  return (emptyBits() & bitOf(i)) != 0;
}

@inline
export function setEmpty(i: i32): void {
  store<u8>(CPU_BASE + FPU_EMPTY, emptyBits() | bitOf(i));
}

@inline
function slot(i: i32): usize {
  return CPU_BASE + FPR + (((top() + i) & 7) << 4);
}

@inline
export function mantissaOf(i: i32): u64 {
  return load<u64>(slot(i));
}

@inline
export function headOf(i: i32): u32 {
  return load<u16>(slot(i) + 8);
}

/** Writes ST(i) and its tag. */
@inline
export function setRegister(i: i32, m: u64, h: u32): void {
  const at = slot(i);
  store<u64>(at, m);
  store<u16>(at + 8, h);
  store<u8>(CPU_BASE + FPU_EMPTY, emptyBits() & ~bitOf(i));
}

/** The computed number into ST(i), unless the instruction was stopped. */
@inline
export function writeNumber(i: i32): void {
  if (!isStopped()) setRegister(i, mantissa, head);
}

export function pop(): void {
  setEmpty(0);
  setTop(top() + 1);
}

/** The computed number as the new ST(0), with the stack overflow response. */
export function pushNumber(): void {
  if (!isEmpty(-1)) {
    raise(IE | SF | C1);
    setIndefinite();
  }
  if (isStopped()) return;
  setTop(top() - 1);
  setRegister(0, mantissa, head);
}

/** Stack underflow: raised, and the indefinite is the number. */
export function underflowStack(): void {
  raise(IE | SF);
  setIndefinite();
}
