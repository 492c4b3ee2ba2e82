/**
 * Control registers. SDM Vol. 3A, "Control Registers"; Vol. 2B, "MOV—Move to/from Control Registers", "LMSW", "CLTS".
 * A write that returns 0 may have changed the block key: whoever called it looks up the next instruction afresh.
 */
import {
  CPU_BASE,
  CR0,
  CR2,
  CR3,
  CR4,
  CR8,
  EFER,
  EXIT_REQUEST,
  EXIT_REQUESTED,
  TPR_THRESHOLD,
  PDPTE,
  PHYSICAL_BITS,
  SEG_CS,
  SEG_TR,
} from '../../src/x86/state';
import { backing, DEVICE, gated } from '../mmu/backing';
import { flushTlb } from '../mmu/tlb';
import { ATTR_L, ATTR_UNUSABLE, attributes, cpl, isCode64, isLong } from './cpu';
import { updateKey } from './key';
import { raise, raiseGp0, UD } from './raise';

const CR0_PE: u64 = 1;
const CR0_TS: u64 = 8;
const CR0_ET: u64 = 0x10;
const CR0_WP: u64 = 0x10000;
const CR0_NW: u64 = 0x20000000;
const CR0_CD: u64 = 0x40000000;
const CR0_PG: u64 = 0x80000000;
/** PE MP EM TS ET NE WP AM NW CD PG; others ignore writes. */
const CR0_KNOWN: u64 = 0xe005003f;

const CR4_PSE: u64 = 0x10;
const CR4_PAE: u64 = 0x20;
const CR4_PGE: u64 = 0x80;
const CR4_PCIDE: u64 = 0x20000;
const CR4_SMEP: u64 = 0x100000;
const CR4_SMAP: u64 = 0x200000;
/** VME PVI TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT FSGSBASE PCIDE OSXSAVE SMEP SMAP: what CPUID offers. */
const CR4_KNOWN: u64 = 0x3707ff;

const EFER_LME: u64 = 0x100;
const EFER_LMA: u64 = 0x400;
const CR3_NO_FLUSH: u64 = 0x8000000000000000;

function reg(offset: i32): u64 {
  return load<u64>(CPU_BASE + offset);
}

function setReg(offset: i32, value: u64): void {
  store<u64>(CPU_BASE + offset, value);
}

/** #GP(0) unless CPL is 0: the first check of most system instructions. */
export function checkCpl0(): i32 {
  return cpl() != 0 ? raiseGp0() : 0;
}

/** Value of CR0, CR2, CR3, CR4 or CR8; no checks. */
export function readCr(n: i32): u64 {
  switch (n) {
    case 0:
      return reg(CR0);
    case 2:
      return reg(CR2);
    case 3:
      return reg(CR3);
    case 4:
      return reg(CR4);
    case 8:
      return reg(CR8);
    default:
      return 0;
  }
}

/** MOV to CRn; outside 64-bit code the value has 32 bits. */
export function writeCr(n: i32, value: u64): i32 {
  if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8) return raise(UD);
  if (cpl() != 0) return raiseGp0();
  const v = isCode64() ? value : value & 0xffffffff;
  switch (n) {
    case 0:
      return writeCr0(v);
    case 3:
      return writeCr3(v);
    case 4:
      return writeCr4(v);
    case 8:
      return writeCr8(v);
    default:
      setReg(CR2, v);
      return 0;
  }
}

function physicalMask(): u64 {
  return ((1 as u64) << (load<u32>(CPU_BASE + PHYSICAL_BITS) as u64)) - 1;
}

/** PAE paging outside IA-32e mode keeps four PDPTEs in the processor. SDM Vol. 3A, "PAE Paging", "PDPTE Registers". */
function isPaePaging(cr0: u64, cr4: u64, efer: u64): boolean {
  return (cr0 & CR0_PG) != 0 && (cr4 & CR4_PAE) != 0 && (efer & EFER_LMA) == 0;
}

function readPdpte(table: u64, index: i32): u64 {
  // guest-controlled: CR3 may point anywhere; outside of memory the bus reads as ones.
  const host = backing(gated(table + ((index as u64) << 3)), false);
  return host == DEVICE ? u64.MAX_VALUE : load<u64>(host);
}

/** Loads and checks the four PDPTEs at `cr3`; 0 or a status. */
export function loadPdptes(cr3: u64): i32 {
  const table = cr3 & 0xffffffe0;
  const reserved = ~physicalMask() | 0x1e6;
  for (let n = 0; n < 4; n++) {
    const entry = readPdpte(table, n);
    if ((entry & 1) != 0 && (entry & reserved) != 0) return raiseGp0();
  }
  for (let n = 0; n < 4; n++) store<u64>(CPU_BASE + PDPTE + (n << 3), readPdpte(table, n));
  return 0;
}

function writeCr0(value: u64): i32 {
  if (value >> 32) return raiseGp0();
  const old = reg(CR0);
  const cr0 = (value & CR0_KNOWN) | CR0_ET;
  const cr4 = reg(CR4);
  let efer = reg(EFER);
  if ((cr0 & CR0_PG) != 0 && (cr0 & CR0_PE) == 0) return raiseGp0();
  if ((cr0 & CR0_NW) != 0 && (cr0 & CR0_CD) == 0) return raiseGp0();
  const changed = old ^ cr0;
  if (changed & CR0_PG) {
    if ((cr0 & CR0_PG) != 0 && (efer & EFER_LME) != 0) {
      // Entering IA-32e mode: needs PAE, a code segment without L, and no 16-bit TSS.
      const tr = attributes(SEG_TR);
      if ((cr4 & CR4_PAE) == 0 || (attributes(SEG_CS) & ATTR_L) != 0) return raiseGp0();
      if ((tr & ATTR_UNUSABLE) == 0 && (tr & 0x80) != 0 && (tr & 0x1d) == 1) return raiseGp0();
      efer |= EFER_LMA;
    } else if ((cr0 & CR0_PG) == 0) {
      if (isCode64() || (cr4 & CR4_PCIDE) != 0) return raiseGp0();
      efer &= ~EFER_LMA;
    }
  }
  if ((changed & (CR0_PG | CR0_CD | CR0_NW)) != 0 && isPaePaging(cr0, cr4, efer)) {
    const loaded = loadPdptes(reg(CR3));
    if (loaded != 0) return loaded;
  }
  setReg(CR0, cr0);
  setReg(EFER, efer);
  if (changed & (CR0_PG | CR0_WP | CR0_PE)) flushTlb(1);
  updateKey();
  return 0;
}

function writeCr3(value: u64): i32 {
  const old = reg(CR3);
  const cr4 = reg(CR4);
  let cr3 = value;
  let keep = false;
  if (isLong()) {
    if (cr4 & CR4_PCIDE) {
      keep = (cr3 & CR3_NO_FLUSH) != 0;
      cr3 &= ~CR3_NO_FLUSH;
    }
    if (cr3 & ~physicalMask()) return raiseGp0();
  } else if (isPaePaging(reg(CR0), cr4, 0)) {
    const loaded = loadPdptes(cr3);
    if (loaded != 0) return loaded;
  }
  setReg(CR3, cr3);
  // The TLB has no PCID tags: "keep" can be honoured only where the address space stays the same.
  if (!keep || cr3 != old) flushTlb(0);
  return 0;
}

function writeCr4(value: u64): i32 {
  if (value & ~CR4_KNOWN) return raiseGp0();
  const old = reg(CR4);
  const changed = old ^ value;
  const isLongNow = isLong();
  if (isLongNow && (value & CR4_PAE) == 0) return raiseGp0();
  if ((changed & value & CR4_PCIDE) != 0 && (!isLongNow || (reg(CR3) & 0xfff) != 0)) return raiseGp0();
  if ((changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) != 0 && isPaePaging(reg(CR0), value, reg(EFER))) {
    const loaded = loadPdptes(reg(CR3));
    if (loaded != 0) return loaded;
  }
  setReg(CR4, value);
  if (changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)) flushTlb(1);
  updateKey();
  return 0;
}

/** The task priority. Lowering it may let in an interrupt that waits, so the machine has a look. */
function writeCr8(value: u64): i32 {
  if (value & ~(15 as u64)) return raiseGp0();
  const isLower = value < reg(CR8) && (value as i32) < load<i32>(CPU_BASE + TPR_THRESHOLD);
  if (isLower) store<i32>(CPU_BASE + EXIT_REQUEST, EXIT_REQUESTED);
  setReg(CR8, value);
  return 0;
}

/** LMSW: PE MP EM TS from the value; PE cannot be cleared. */
export function lmsw(value: i32): i32 {
  if (cpl() != 0) return raiseGp0();
  const low = (value & 15) as u64;
  return writeCr0((reg(CR0) & ~(14 as u64)) | low);
}

/** CLTS. */
export function clts(): i32 {
  if (cpl() != 0) return raiseGp0();
  setReg(CR0, reg(CR0) & ~CR0_TS);
  updateKey();
  return 0;
}
