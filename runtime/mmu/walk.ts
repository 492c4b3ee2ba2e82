// The page walk: linear address to guest physical address, with the rights, the reserved bits, and accessed and dirty
// bits of Intel SDM Vol. 3A, chapter "Paging". Results are left in the globals below.
import {
  ACCESS_FETCH,
  COUNT_PAGE_WALK,
  CPU_BASE,
  CR0,
  CR2,
  CR3,
  CR4,
  EFER,
  MMU_SUPERVISOR_SMAP,
  MMU_USER,
  NOT_CANONICAL,
  PAGE_ATTRIBUTES,
  PAGE_READ_ONLY,
  PDPTE,
  PHYSICAL_BITS,
  RAM,
} from '../../src/x86/state';
import { raiseError } from '../system/raise';
import { backing, DEVICE, gated } from './backing';

/** Guest physical address of the byte asked for. */
export let walkGpa: u64 = 0;
/** A write through this mapping needs no further walk: writable and dirty. */
export let walkWritable: bool = false;
export let walkGlobal: bool = false;
/** log2 of the page's size: 12, 21, 22 or 30. */
export let walkShift: u32 = 12;

const P: u64 = 1;
const W: u64 = 2;
const U: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const PS: u64 = 0x80;
const G: u64 = 0x100;
const XD: u64 = 0x8000000000000000;
const FRAME: u64 = 0x000ffffffffff000;

const CR0_PG: u64 = 0x80000000;
const CR0_WP: u64 = 0x10000;
const CR4_PSE: u64 = 0x10;
const CR4_PAE: u64 = 0x20;
const CR4_PGE: u64 = 0x80;
const CR4_SMEP: u64 = 0x100000;
const EFER_LMA: u64 = 0x400;
const EFER_NXE: u64 = 0x800;

const ERROR_PRESENT: u32 = 1;
const ERROR_WRITE: u32 = 2;
const ERROR_USER: u32 = 4;
const ERROR_RESERVED: u32 = 8;
const ERROR_FETCH: u32 = 16;

// @ts-ignore: decorator
@inline function reg(offset: usize): u64 {
  return load<u64>(CPU_BASE + offset);
}

// Page tables outside of memory read as all ones: reserved bits set.
function readEntry64(gpa: u64): u64 {
  const host = backing(gated(gpa), false);
  return host == DEVICE ? ~0 : load<u64>(host);
}
function readEntry32(gpa: u64): u64 {
  const host = backing(gated(gpa), false);
  return host == DEVICE ? ~0 : <u64>load<u32>(host);
}
function orEntry(gpa: u64, bits: u64): void {
  const at = backing(gated(gpa), true);
  if (at == DEVICE || (load<u8>(PAGE_ATTRIBUTES + ((at - RAM) >> 12)) & PAGE_READ_ONLY) != 0) return;
  store<u8>(at, load<u8>(at) | <u8>bits);
}

function isWrite(access: i32): bool {
  return access == 1 || access == 3;
}

function pageFault(gva: u64, access: i32, mmu: i32, cause: u32): bool {
  let error = cause;
  if (isWrite(access)) error |= ERROR_WRITE;
  if (mmu == MMU_USER) error |= ERROR_USER;
  if (access == ACCESS_FETCH && ((reg(EFER) & EFER_NXE) != 0 || (reg(CR4) & CR4_SMEP) != 0)) error |= ERROR_FETCH;
  store<u64>(CPU_BASE + CR2, gva);
  raiseError(14, error);
  return false;
}

/** Rights of a leaf mapping. `rights` holds W and U of all levels anded, `noExecute` XD of all levels ored. */
function permitted(access: i32, mmu: i32, rights: u64, noExecute: bool): bool {
  const userPage = (rights & U) != 0;
  if (mmu == MMU_USER) {
    if (!userPage) return false;
    if (isWrite(access) && (rights & W) == 0) return false;
  } else {
    if (userPage) {
      if (access == ACCESS_FETCH) {
        if ((reg(CR4) & CR4_SMEP) != 0) return false;
      } else if (mmu == MMU_SUPERVISOR_SMAP) return false;
    }
    if (isWrite(access) && (rights & W) == 0 && (reg(CR0) & CR0_WP) != 0) return false;
  }
  return !(access == ACCESS_FETCH && noExecute);
}

// Accessed bits of the entries used, oldest level first; set once the access is known to be allowed.
let used0: u64 = 0;
let used1: u64 = 0;
let used2: u64 = 0;
let usedCount: i32 = 0;

function use(gpa: u64, entry: u64): void {
  if ((entry & A) != 0) return;
  if (usedCount == 0) used0 = gpa;
  else if (usedCount == 1) used1 = gpa;
  else used2 = gpa;
  usedCount++;
}

function finish(
  gva: u64,
  access: i32,
  mmu: i32,
  at: u64,
  entry: u64,
  rights: u64,
  noExecute: bool,
  shift: u32,
  frame: u64,
): bool {
  if (!permitted(access, mmu, rights, noExecute)) return pageFault(gva, access, mmu, ERROR_PRESENT);
  if (usedCount > 0) orEntry(used0, A);
  if (usedCount > 1) orEntry(used1, A);
  if (usedCount > 2) orEntry(used2, A);
  const write = isWrite(access);
  const want = write ? A | D : A;
  if ((entry & want) != want) orEntry(at, want);
  const offsetMask = ((<u64>1) << (<u64>shift)) - 1;
  walkGpa = gated((frame & ~offsetMask) | (gva & offsetMask));
  walkShift = shift;
  walkGlobal = (entry & G) != 0 && (reg(CR4) & CR4_PGE) != 0;
  const dirty = write || (entry & D) != 0;
  walkWritable = dirty && permitted(1, mmu, rights, noExecute);
  return true;
}

function walkLong(gva: u64, access: i32, mmu: i32, base: u64, levels: i32, firstRights: u64): bool {
  const nxe = (reg(EFER) & EFER_NXE) != 0;
  const physicalBits = <u64>load<u32>(CPU_BASE + PHYSICAL_BITS);
  let reserved: u64 = FRAME & ~(((<u64>1) << physicalBits) - 1);
  if (!nxe) reserved |= XD;
  let table = base;
  let rights = firstRights;
  let noExecute = false;
  for (let level = levels; level > 0; level--) {
    const shift: u32 = 12 + 9 * (level - 1);
    const at = table + (((gva >> shift) & 511) << 3);
    const entry = readEntry64(at);
    if ((entry & P) == 0) return pageFault(gva, access, mmu, 0);
    const large = level > 1 && (entry & PS) != 0;
    if ((entry & reserved) != 0 || (large && level == 4))
      return pageFault(gva, access, mmu, ERROR_PRESENT | ERROR_RESERVED);
    rights &= entry;
    noExecute = noExecute || (entry & XD) != 0;
    if (level == 1 || large) {
      // Bits between the PAT bit (12) and the frame of a large page must be zero.
      if (large && (entry & (((<u64>1) << shift) - 1) & ~(<u64>0x1fff)) != 0)
        return pageFault(gva, access, mmu, ERROR_PRESENT | ERROR_RESERVED);
      return finish(gva, access, mmu, at, entry, rights, noExecute, shift, entry & FRAME);
    }
    use(at, entry);
    table = entry & FRAME;
  }
  return false;
}

function walkLegacy(gva: u64, access: i32, mmu: i32): bool {
  const va = gva & 0xffffffff;
  const at = (reg(CR3) & 0xfffff000) + ((va >> 22) << 2);
  const entry = readEntry32(at);
  if ((entry & P) == 0) return pageFault(gva, access, mmu, 0);
  if ((entry & PS) != 0 && (reg(CR4) & CR4_PSE) != 0) {
    // PSE-36: bits 20:13 are bits 39:32 of the frame; bit 21 is reserved.
    if ((entry & 0x200000) != 0) return pageFault(gva, access, mmu, ERROR_PRESENT | ERROR_RESERVED);
    const frame = (entry & 0xffc00000) | ((entry & 0x1fe000) << 19);
    return finish(gva, access, mmu, at, entry, entry & (W | U), false, 22, frame);
  }
  use(at, entry);
  const leafAt = (entry & 0xfffff000) + (((va >> 12) & 1023) << 2);
  const leaf = readEntry32(leafAt);
  if ((leaf & P) == 0) return pageFault(gva, access, mmu, 0);
  return finish(gva, access, mmu, leafAt, leaf, entry & leaf & (W | U), false, 12, leaf & 0xfffff000);
}

/**
 * Walks for one byte. True: the walk* globals are set. False: an exception is recorded and STATUS set.
 * `mmu` is MMU_USER, MMU_SUPERVISOR_SMAP or MMU_SUPERVISOR; a fetch takes MMU_USER or MMU_SUPERVISOR.
 */
export function walk(gva: u64, access: i32, mmu: i32): bool {
  store<u64>(CPU_BASE + COUNT_PAGE_WALK, load<u64>(CPU_BASE + COUNT_PAGE_WALK) + 1);
  usedCount = 0;
  if ((reg(CR0) & CR0_PG) == 0) {
    walkGpa = gated(gva & 0xffffffff);
    walkWritable = true;
    walkGlobal = false;
    walkShift = 12;
    return true;
  }
  if ((reg(EFER) & EFER_LMA) != 0) {
    if (<u64>(((<i64>gva) << 16) >> 16) != gva) {
      store<u64>(CPU_BASE + NOT_CANONICAL, gva);
      raiseError(13, 0);
      return false;
    }
    return walkLong(gva, access, mmu, reg(CR3) & FRAME, 4, W | U);
  }
  if ((reg(CR4) & CR4_PAE) != 0) {
    const va = gva & 0xffffffff;
    // The four PDPTEs are registers, loaded with CR3; they carry no rights.
    const pdpte = load<u64>(CPU_BASE + PDPTE + ((<usize>(va >> 30)) << 3));
    if ((pdpte & P) == 0) return pageFault(va, access, mmu, 0);
    return walkLong(va, access, mmu, pdpte & FRAME, 2, W | U);
  }
  return walkLegacy(gva & 0xffffffff, access, mmu);
}
