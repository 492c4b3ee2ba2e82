/**
 * Short names for the vCPU state in linear memory, and the mode questions that every system routine asks.
 */
import {
  CPL,
  CPU_BASE,
  CR0,
  CR4,
  EFER,
  GPR,
  RFLAGS,
  RIP,
  SEG_CS,
  SEGMENT,
  SEGMENT_ATTRIBUTES,
  SEGMENT_BASE,
  SEGMENT_LIMIT,
  SEGMENT_SELECTOR,
  SEGMENT_STRIDE,
  STATUS,
} from '../../src/x86/state';

// RFLAGS, SDM Vol. 1, "EFLAGS Register".
export const FLAG_TF: u64 = 0x100;
export const FLAG_IF: u64 = 0x200;
export const FLAG_DF: u64 = 0x400;
export const FLAG_IOPL: u64 = 0x3000;
export const FLAG_NT: u64 = 0x4000;
export const FLAG_RF: u64 = 0x10000;
export const FLAG_VM: u64 = 0x20000;
export const FLAG_AC: u64 = 0x40000;
export const FLAG_VIF: u64 = 0x80000;
export const FLAG_VIP: u64 = 0x100000;
export const FLAG_ID: u64 = 0x200000;
/** The six status flags, and the others user code may set at will: TF DF NT. */
export const FLAGS_STATUS: u64 = 0x8d5;

// Segment attributes: the descriptor's second dword shifted right by 8.
export const ATTR_PRESENT: u32 = 0x80;
export const ATTR_S: u32 = 0x10;
export const ATTR_CODE: u32 = 0x18;
export const ATTR_CONFORMING: u32 = 4;
export const ATTR_READ_WRITE: u32 = 2;
export const ATTR_ACCESSED: u32 = 1;
export const ATTR_L: u32 = 0x2000;
export const ATTR_DB: u32 = 0x4000;
export const ATTR_UNUSABLE: u32 = 0x10000;

export const RAX: i32 = 0;
export const RCX: i32 = 1;
export const RDX: i32 = 2;
export const RBX: i32 = 3;
export const RSP: i32 = 4;
export const RBP: i32 = 5;

export function gpr(n: i32): u64 {
  return load<u64>(CPU_BASE + GPR + (n << 3));
}

export function setGpr(n: i32, value: u64): void {
  store<u64>(CPU_BASE + GPR + (n << 3), value);
}

export function status(): i32 {
  return load<i32>(CPU_BASE + STATUS);
}

export function cpl(): i32 {
  return load<i32>(CPU_BASE + CPL);
}

export function rip(): u64 {
  return load<u64>(CPU_BASE + RIP);
}

export function setRip(value: u64): void {
  store<u64>(CPU_BASE + RIP, value);
}

/** RFLAGS without the status flags. */
export function systemFlags(): u64 {
  return load<u64>(CPU_BASE + RFLAGS);
}

export function setSystemFlags(value: u64): void {
  store<u64>(CPU_BASE + RFLAGS, value);
}

export function iopl(): i32 {
  return ((systemFlags() >> 12) & 3) as i32;
}

export function isProtected(): boolean {
  return (load<u64>(CPU_BASE + CR0) & 1) != 0;
}

/** IA-32e mode: 64-bit or compatibility. */
export function isLong(): boolean {
  return (load<u64>(CPU_BASE + EFER) & 0x400) != 0;
}

export function isVm86(): boolean {
  return (systemFlags() & FLAG_VM) != 0;
}

/** Running 64-bit code. */
export function isCode64(): boolean {
  return isLong() && (attributes(SEG_CS) & ATTR_L) != 0;
}

export function hasCr4(bit: u64): boolean {
  return (load<u64>(CPU_BASE + CR4) & bit) != 0;
}

export function isCanonical(address: u64): boolean {
  return ((address as i64) << 16) >> 16 == (address as i64);
}

export function selectorOf(segment: i32): u32 {
  return load<u32>(CPU_BASE + SEGMENT + segment * SEGMENT_STRIDE + SEGMENT_SELECTOR);
}

export function attributes(segment: i32): u32 {
  return load<u32>(CPU_BASE + SEGMENT + segment * SEGMENT_STRIDE + SEGMENT_ATTRIBUTES);
}

export function limitOf(segment: i32): u32 {
  return load<u32>(CPU_BASE + SEGMENT + segment * SEGMENT_STRIDE + SEGMENT_LIMIT);
}

export function baseOf(segment: i32): u64 {
  return load<u64>(CPU_BASE + SEGMENT + segment * SEGMENT_STRIDE + SEGMENT_BASE);
}

export function setSegment(segment: i32, selector: u32, base: u64, limit: u32, attr: u32): void {
  const p: usize = CPU_BASE + SEGMENT + segment * SEGMENT_STRIDE;
  store<u64>(p + SEGMENT_BASE, base);
  store<u32>(p + SEGMENT_LIMIT, limit);
  store<u32>(p + SEGMENT_ATTRIBUTES, attr);
  store<u32>(p + SEGMENT_SELECTOR, selector & 0xffff);
}

/** A data segment register that holds a null selector: every use of it faults outside 64-bit code. */
export function setNullSegment(segment: i32, selector: u32): void {
  setSegment(segment, selector, 0, 0, ATTR_UNUSABLE);
}

/** Real-mode load: the base follows the selector; limit and size stay what they were ("unreal" mode works). */
export function setRealSegment(segment: i32, selector: u32): void {
  const attr = (attributes(segment) & 0xc000) | 0x93;
  setSegment(segment, selector, ((selector & 0xffff) as u64) << 4, limitOf(segment), attr);
}

/** SDM Vol. 3B, "Segment Registers" of virtual-8086 mode. */
export function setVm86Segment(segment: i32, selector: u32): void {
  setSegment(segment, selector, ((selector & 0xffff) as u64) << 4, 0xffff, 0xf3);
}
