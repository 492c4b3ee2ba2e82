/**
 * The virtual interrupt flag of CPL 3 where IOPL does not let it at IF: CR4.VME in virtual-8086 mode, CR4.PVI otherwise. SDM
 * Vol. 3A, "Protected-Mode Virtual Interrupts", "Class 3—Software Interrupt Handling in Virtual-8086 Mode".
 */
import { CPU_BASE, CR4, SEG_TR } from '../../src/x86/state';
import { readLinear } from '../mmu/access';
import {
  baseOf,
  cpl,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_TF,
  FLAG_VIF,
  FLAG_VIP,
  iopl,
  isVm86,
  limitOf,
  setSystemFlags,
  status,
  systemFlags,
} from './cpu';
import { linear } from './descriptor';
import { mmuIndexImplicit } from './key';
import { raiseGp0 } from './raise';

const CR4_VME: u64 = 1;
const CR4_PVI: u64 = 2;
/** Offset of the I/O map base in a TSS; the redirection bit map of 32 bytes lies before the map. */
const MAP_BASE: u32 = 102;
const REDIRECTION_BYTES: u32 = 32;

export function hasVme(): bool {
  return (load<u64>(CPU_BASE + CR4) & CR4_VME) != 0;
}

/** VIF stands for IF here; the caller knows that CPL exceeds IOPL. */
export function isFlagVirtual(): bool {
  return isVm86() ? hasVme() : cpl() == 3 && (load<u64>(CPU_BASE + CR4) & CR4_PVI) != 0;
}

/** CLI, STI and the images of POPF and IRET: 0 or a status. VIF cannot be set while an interrupt waits (VIP). */
export function putVirtualFlag(isSet: bool): i32 {
  const flags = systemFlags();
  if (isSet && (flags & FLAG_VIP) != 0) return raiseGp0();
  setSystemFlags(isSet ? flags | FLAG_VIF : flags & ~FLAG_VIF);
  return 0;
}

/** In virtual-8086 mode below IOPL 3, an image for the flags: only 16 bits, without TF, and no IF while VIP is set. */
export function checkVirtualImage(image: u64, size: i32): i32 {
  if (!hasVme() || size != 2 || (image & FLAG_TF) != 0) return raiseGp0();
  return (image & FLAG_IF) != 0 && (systemFlags() & FLAG_VIP) != 0 ? raiseGp0() : 0;
}

/** The image with what stands for IF in VIF's place. */
export function virtualFromImage(image: u64): u64 {
  return (image & ~FLAG_VIF) | (image & FLAG_IF ? FLAG_VIF : 0);
}

/** Flags as the program sees them: VIF as IF, and IOPL 3. */
export function imageFromVirtual(flags: u64): u64 {
  return (flags & ~FLAG_IF) | FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0);
}

/** INT n under VME: 1 where it goes to the program's own handler, 0 where to the gate; a status is in STATUS. */
export function isRedirected(vector: i32): i32 {
  const limit = limitOf(SEG_TR);
  const base = baseOf(SEG_TR);
  if (limit < MAP_BASE + 1) return raiseGp0();
  const map = readLinear(linear(base + (MAP_BASE as u64)), 2, mmuIndexImplicit()) as u32;
  if (status() != 0) return 0;
  const offset = map - REDIRECTION_BYTES + ((vector as u32) >> 3);
  if (map < REDIRECTION_BYTES || offset > limit) return raiseGp0();
  const bits = readLinear(linear(base + (offset as u64)), 1, mmuIndexImplicit()) as u32;
  return ((bits >> (vector & 7)) & 1) == 0 ? 1 : 0;
}

/** Whether IOPL leaves IF to the program. */
export function ownsFlag(): bool {
  return iopl() == 3;
}
