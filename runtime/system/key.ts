/**
 * The block key: every mode that changes how bytes decode, how memory is addressed, or what is allowed. Whoever changes
 * one of its inputs (CR0, CR4, EFER, segments, CPL, TF AC VM, MXCSR masks, DR7) calls `updateKey`.
 */
import {
  BLOCK_KEY,
  CPL,
  CPU_BASE,
  CR0,
  CR4,
  DR,
  EFER,
  KEY_ALIGN,
  KEY_CODE_BREAKPOINT,
  KEY_CODE32,
  KEY_CODE64,
  KEY_CPL_MASK,
  KEY_CPL_SHIFT,
  KEY_DATA_BREAKPOINT,
  KEY_FLAT,
  KEY_FPU_TRAP,
  KEY_LONG,
  KEY_MMU_MASK,
  KEY_MMU_SHIFT,
  KEY_NO_SSE,
  KEY_PROTECTED,
  KEY_SINGLE,
  KEY_SSE_UNMASKED,
  KEY_STACK32,
  KEY_TRAP,
  KEY_VM86,
  MMU_SUPERVISOR,
  MMU_SUPERVISOR_SMAP,
  MMU_USER,
  MXCSR,
  RFLAGS,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_SS,
  SEGMENT,
  SEGMENT_ATTRIBUTES,
  SEGMENT_BASE,
  SEGMENT_LIMIT,
  SEGMENT_STRIDE,
} from '../../src/x86/state';
import { flushAll } from '../mmu/tlb';

const CR0_PE: u64 = 1;
const CR0_EM_TS: u64 = 12;
const CR0_AM: u64 = 0x40000;
const CR4_DE: u64 = 8;
const CR4_OSFXSR: u64 = 0x200;
const CR4_SMAP: u64 = 0x200000;
const EFER_LMA: u64 = 0x400;
const RFLAGS_TF: u64 = 0x100;
const RFLAGS_VM: u64 = 0x20000;
const RFLAGS_AC: u64 = 0x40000;
const ATTRIBUTE_L: u32 = 0x2000;
const ATTRIBUTE_DB: u32 = 0x4000;

/** Base 0, limit 4 GiB, usable and present, and the type bits under `mask` equal to `type`. */
function isFlat(segment: i32, mask: u32, type: u32): boolean {
  const p: usize = CPU_BASE + SEGMENT + segment * SEGMENT_STRIDE;
  return (
    load<u64>(p + SEGMENT_BASE) == 0 &&
    load<u32>(p + SEGMENT_LIMIT) == 0xffffffff &&
    (load<u32>(p + SEGMENT_ATTRIBUTES) & (0x10090 | mask)) == (0x90 | type)
  );
}

/**
 * Also demands the types that permit every access: writable expand-up data for ES, SS and DS, readable code for CS
 * (a store through CS must be refused by whoever lifts it). 0x90 is P and S; 0x10000 is "unusable".
 */
function flatness(): i32 {
  return isFlat(SEG_DS, 0xe, 2) && isFlat(SEG_SS, 0xe, 2) && isFlat(SEG_ES, 0xe, 2) && isFlat(SEG_CS, 0xa, 0xa)
    ? KEY_FLAT
    : 0;
}

/** DR7: L and G bits 7:0 two by two, R/W of breakpoint n in bits 17:16 + 4n. SDM Vol. 3B, "Debug Control Register (DR7)". */
function breakpoints(cr4: u64): i32 {
  const dr7 = load<u32>(CPU_BASE + DR + 56);
  if ((dr7 & 0xff) == 0) return 0;
  let key = 0;
  for (let n: u32 = 0; n < 4; n++) {
    if (((dr7 >> (n * 2)) & 3) == 0) continue;
    const kind = (dr7 >> (16 + n * 4)) & 3;
    if (kind == 0) key |= KEY_CODE_BREAKPOINT;
    else if (kind != 2 || (cr4 & CR4_DE) != 0) key |= KEY_DATA_BREAKPOINT;
  }
  return key;
}

/** The MMU index of explicit data accesses at `cpl`. SDM Vol. 3A, "Access Rights". */
export function mmuIndexOf(cpl: i32): i32 {
  if (cpl == 3) return MMU_USER;
  const smap = (load<u64>(CPU_BASE + CR4) & CR4_SMAP) != 0 && (load<u64>(CPU_BASE + RFLAGS) & RFLAGS_AC) == 0;
  return smap ? MMU_SUPERVISOR_SMAP : MMU_SUPERVISOR;
}

/** The MMU index of implicit accesses (descriptor tables, IDT, TSS): supervisor at any CPL, and AC does not help SMAP. */
export function mmuIndexImplicit(): i32 {
  return (load<u64>(CPU_BASE + CR4) & CR4_SMAP) != 0 ? MMU_SUPERVISOR_SMAP : MMU_SUPERVISOR;
}

/** What follows RFLAGS and CPL: TF, VM, the MMU index, alignment checks. */
function flagsKey(cpl: i32): i32 {
  const rflags = load<u64>(CPU_BASE + RFLAGS);
  let key = mmuIndexOf(cpl) << KEY_MMU_SHIFT;
  if (rflags & RFLAGS_VM) key |= KEY_VM86;
  if (rflags & RFLAGS_TF) key |= KEY_TRAP;
  if (cpl == 3 && (rflags & RFLAGS_AC) != 0 && (load<u64>(CPU_BASE + CR0) & CR0_AM) != 0) key |= KEY_ALIGN;
  return key;
}

const FLAGS_KEY: i32 = KEY_MMU_MASK | KEY_VM86 | KEY_TRAP | KEY_ALIGN;
const SEGMENT_KEY: i32 = KEY_CODE64 | KEY_CODE32 | KEY_STACK32 | KEY_FLAT | KEY_CPL_MASK;

/** Alignment checks begin: what the TLB knows would bypass them. */
function put(key: i32): void {
  if ((key & ~load<i32>(CPU_BASE + BLOCK_KEY) & KEY_ALIGN) != 0) flushAll();
  store<i32>(CPU_BASE + BLOCK_KEY, key);
}

/** `updateKey` where only RFLAGS changed. */
export function updateFlagsKey(): void {
  put((load<i32>(CPU_BASE + BLOCK_KEY) & ~FLAGS_KEY) | flagsKey(load<i32>(CPU_BASE + CPL)));
}

/** `updateKey` on entering 64-bit code, where only RFLAGS, CPL, CS and SS changed: the way of every system call. */
export function updateKeyCode64(): void {
  const cpl = load<i32>(CPU_BASE + CPL);
  const kept = load<i32>(CPU_BASE + BLOCK_KEY) & ~(FLAGS_KEY | SEGMENT_KEY);
  put(kept | KEY_CODE64 | KEY_FLAT | (cpl << KEY_CPL_SHIFT) | flagsKey(cpl));
}

/** Recomputes BLOCK_KEY. KEY_SINGLE belongs to the engine and is kept. */
export function updateKey(): void {
  const cr0 = load<u64>(CPU_BASE + CR0);
  const cr4 = load<u64>(CPU_BASE + CR4);
  const cpl = load<i32>(CPU_BASE + CPL);
  const cs = load<u32>(CPU_BASE + SEGMENT + SEG_CS * SEGMENT_STRIDE + SEGMENT_ATTRIBUTES);
  const isLong = (load<u64>(CPU_BASE + EFER) & EFER_LMA) != 0;
  let key = (load<i32>(CPU_BASE + BLOCK_KEY) & KEY_SINGLE) | (cpl << KEY_CPL_SHIFT) | flagsKey(cpl);
  if (isLong) key |= KEY_LONG;
  if (isLong && (cs & ATTRIBUTE_L) != 0) {
    key |= KEY_CODE64 | KEY_FLAT;
  } else {
    if (cs & ATTRIBUTE_DB) key |= KEY_CODE32;
    if (load<u32>(CPU_BASE + SEGMENT + SEG_SS * SEGMENT_STRIDE + SEGMENT_ATTRIBUTES) & ATTRIBUTE_DB) key |= KEY_STACK32;
    key |= flatness();
  }
  if (cr0 & CR0_PE) key |= KEY_PROTECTED;
  if (cr0 & CR0_EM_TS) key |= KEY_FPU_TRAP;
  if ((cr4 & CR4_OSFXSR) == 0) key |= KEY_NO_SSE;
  if ((load<u32>(CPU_BASE + MXCSR) & 0x1f80) != 0x1f80) key |= KEY_SSE_UNMASKED;
  put(key | breakpoints(cr4));
}
