// Guest memory by linear address: the TLB's slow path, accesses across pages, memory-mapped I/O by the replay log,
// stores that hit translated code. Everything here sets STATUS when the access did not happen.
import {
  ACCESS_CELL,
  ACCESS_DELTA,
  ACCESS_FETCH,
  ACCESS_MODIFY,
  ACCESS_READ,
  ACCESS_SITE,
  ACCESS_WRITE,
  BLOCK_KEY,
  CLOCK_BUDGET,
  CLOCK_UNREAD,
  CODE_BITMAP,
  CODE_WRITE_GPA,
  CODE_WRITE_SIZE,
  COUNT_SLOW_ACCESS,
  COUNT_TLB_MISS,
  CPU_BASE,
  DELTA_OF_CELL,
  EXIT_MMIO_READ,
  EXIT_MMIO_WRITE,
  KEY_ALIGN,
  KEY_CODE64,
  KEY_CPL_MASK,
  KEY_DATA_BREAKPOINT,
  KEY_MMU_MASK,
  KEY_MMU_SHIFT,
  MMU_SUPERVISOR,
  MMU_USER,
  PAGE_ATTRIBUTES,
  PAGE_DEVICE,
  PAGE_DIRTY,
  PAGE_HAS_CODE,
  PAGE_MIXED,
  PAGE_READ_ONLY,
  PAGE_WRITES_MASK,
  PAGE_WRITES_ONE,
  RAM,
  SITE_MODIFY,
  SITE_SIZE_MASK,
  STATUS,
  STATUS_CODE_WRITE,
} from '../../src/x86/state';
import { matchDataBreakpoint } from '../system/breakpoint';
import { busRead, busWrite } from '../system/env';
import { answer, isDirect, request } from '../system/exit';
import { raiseError } from '../system/raise';
import { backing, DEVICE } from './backing';
import { fetchView, fill, readView, recall, slotOf, writeView } from './tlb';
import { walk, walkGlobal, walkGpa, walkShift, walkWritable } from './walk';

/** Modes in which the TLB stays empty, so that every access of an instruction comes by here. */
const WATCHED: i32 = KEY_DATA_BREAKPOINT | KEY_ALIGN;
const AC: i32 = 17;

function count(offset: usize): void {
  store<u64>(CPU_BASE + offset, load<u64>(CPU_BASE + offset) + 1);
}

// @ts-ignore: decorator
@inline function failed(): bool {
  return load<i32>(CPU_BASE + STATUS) != 0;
}

/**
 * Host address of one byte after a walk: 0 (fault recorded), DEVICE (the access goes to the bus at `walkGpa`), or its
 * linear-memory address. Fills the TLB, except with pages that are read from one place and written to another.
 */
function locate(gva: u64, access: i32, mmu: i32): usize {
  count(COUNT_TLB_MISS);
  if (!walk(gva, access, mmu)) return 0;
  const host = backing(walkGpa, access == ACCESS_WRITE);
  if (host == DEVICE) return DEVICE;
  const frame = (host - RAM) >> 12;
  const attributes = load<u8>(PAGE_ATTRIBUTES + frame);
  const write = access == ACCESS_WRITE || access == ACCESS_MODIFY;
  if (write) store<u8>(PAGE_ATTRIBUTES + frame, attributes | PAGE_DIRTY);
  if ((load<i32>(CPU_BASE + BLOCK_KEY) & WATCHED) == 0 && (attributes & PAGE_DEVICE) == 0) {
    fill(readView(mmu), gva, host, walkGlobal, walkShift);
    if (write && walkWritable && (attributes & (PAGE_HAS_CODE | PAGE_READ_ONLY)) == 0) {
      fill(writeView(mmu), gva, host, walkGlobal, walkShift);
    }
  }
  return host;
}

// @ts-ignore: decorator
@inline function watch(gva: u64, size: i32, isWrite: i32): void {
  if ((load<i32>(CPU_BASE + BLOCK_KEY) & KEY_DATA_BREAKPOINT) != 0) matchDataBreakpoint(gva, size, isWrite);
}

// A byte's host address from the view if it is there, else by a walk.
function find(gva: u64, access: i32, mmu: i32): usize {
  if ((load<i32>(CPU_BASE + BLOCK_KEY) & WATCHED) != 0) return locate(gva, access, mmu);
  const view = access == ACCESS_READ ? readView(mmu) : writeView(mmu);
  const entry = slotOf(view, gva);
  const offset = gva - load<u64>(entry);
  if (offset < 4096) return <usize>load<u32>(entry + 8) + <usize>offset;
  const back = recall(view, gva);
  if (back != 0) return <usize>load<u32>(back + 8) + <usize>(gva & 4095);
  return locate(gva, access, mmu);
}

/** Alignment checks are on and say no: #AC, before the page is looked at. SDM Vol. 3A, "Alignment Check Exception (#AC)". */
export function refusesAlignment(gva: u64, size: i32, mmu: i32): bool {
  if ((load<i32>(CPU_BASE + BLOCK_KEY) & KEY_ALIGN) == 0 || mmu != MMU_USER) return false;
  if ((<i32>gva & (size - 1)) == 0) return false;
  // An address that is not canonical is refused for that.
  if ((load<i32>(CPU_BASE + BLOCK_KEY) & KEY_CODE64) != 0 && <u64>(((<i64>gva) << 16) >> 16) != gva) return false;
  raiseError(AC, 0);
  return true;
}

function readHost(host: usize, size: i32): u64 {
  switch (size) {
    case 1:
      return <u64>load<u8>(host);
    case 2:
      return <u64>load<u16>(host);
    case 4:
      return <u64>load<u32>(host);
    default:
      return load<u64>(host);
  }
}

function writeHost(host: usize, value: u64, size: i32): void {
  switch (size) {
    case 1:
      store<u8>(host, <u8>value);
      break;
    case 2:
      store<u16>(host, <u16>value);
      break;
    case 4:
      store<u32>(host, <u32>value);
      break;
    default:
      store<u64>(host, value);
  }
}

/** True if the store may go ahead; else STATUS_CODE_WRITE is set. `host` is a RAM address, the bytes lie in one page. */
function codeAllows(host: usize, size: i32): bool {
  const gpa = host - RAM;
  const attributes = load<u8>(PAGE_ATTRIBUTES + (gpa >> 12));
  if ((attributes & PAGE_HAS_CODE) == 0) return true;
  const chunks = load<u64>(CODE_BITMAP + ((gpa >> 12) << 3));
  const first = (gpa >> 6) & 63;
  const last = ((gpa + <usize>size - 1) >> 6) & 63;
  for (let c = first; c <= last; c++) {
    if (((chunks >> <u64>c) & 1) != 0) {
      store<u64>(CPU_BASE + CODE_WRITE_GPA, <u64>gpa);
      store<i32>(CPU_BASE + CODE_WRITE_SIZE, size);
      store<i32>(CPU_BASE + STATUS, STATUS_CODE_WRITE);
      return false;
    }
  }
  if ((attributes & PAGE_MIXED) != 0) return true;
  // Written again and again, the page is data now: give its code up rather than take the slow path for ever.
  if ((attributes & PAGE_WRITES_MASK) == PAGE_WRITES_MASK) {
    store<u64>(CPU_BASE + CODE_WRITE_GPA, <u64>(gpa & ~0xfff));
    store<i32>(CPU_BASE + CODE_WRITE_SIZE, 4096);
    store<i32>(CPU_BASE + STATUS, STATUS_CODE_WRITE);
    return false;
  }
  store<u8>(PAGE_ATTRIBUTES + (gpa >> 12), attributes + PAGE_WRITES_ONE);
  return true;
}

// @ts-ignore: decorator
@inline function isReadOnly(host: usize): bool {
  return (load<u8>(PAGE_ATTRIBUTES + ((host - RAM) >> 12)) & PAGE_READ_ONLY) != 0;
}

// @ts-ignore: decorator
@inline function crosses(gva: u64, size: i32): bool {
  return (<i32>gva & 4095) + size > 4096;
}

/** The access begins at a canonical address and ends at one that is not: refused whole, whatever the first page says. */
function leavesCanonical(gva: u64, size: i32): bool {
  const last = gva + size - 1;
  return (load<i32>(CPU_BASE + BLOCK_KEY) & KEY_CODE64) != 0 && <u64>(((<i64>last) << 16) >> 16) != last;
}

function readDevice(gpa: u64, size: i32): u64 {
  if (size < 8 && isDirect()) {
    const value = busRead(<f64>gpa, size);
    if (value >= 0) {
      // It may have told the time: the TSC must not tell an earlier one.
      store<i32>(CPU_BASE + CLOCK_BUDGET, CLOCK_UNREAD);
      return <u64>value;
    }
  }
  return request(EXIT_MMIO_READ, gpa, size, 0) != 0 ? answer() : 0;
}

/** False: STATUS is set. */
function writeDevice(gpa: u64, size: i32, value: u64): bool {
  if (size < 8 && isDirect() && busWrite(<f64>gpa, size, <u32>value) != 0) return true;
  return request(EXIT_MMIO_WRITE, gpa, size, value) != 0;
}

function read(gva: u64, size: i32, access: i32, mmu: i32): u64 {
  watch(gva, size, 0);
  if (refusesAlignment(gva, size, mmu)) return 0;
  if (crosses(gva, size)) {
    const first = 4096 - (<i32>gva & 4095);
    // Both pages must be there before either is read.
    const low = leavesCanonical(gva, size) ? 0 : find(gva, access, mmu);
    if (low == 0) {
      if (!failed()) find(gva + first, access, mmu);
      return 0;
    }
    const lowGpa = walkGpa;
    const high = find(gva + first, access, mmu);
    if (high == 0) return 0;
    let value: u64 = 0;
    for (let i = 0; i < size; i++) {
      const inLow = i < first;
      const page = inLow ? low : high;
      let byte: u64;
      if (page == DEVICE) byte = readDevice(inLow ? lowGpa + i : walkGpa + (i - first), 1);
      else byte = <u64>load<u8>(inLow ? low + i : high + (i - first));
      if (failed()) return 0;
      value |= byte << ((<u64>i) << 3);
    }
    return value;
  }
  const host = find(gva, access, mmu);
  if (host == 0) return 0;
  if (host == DEVICE) return readDevice(walkGpa, size);
  return readHost(host, size);
}

function write(gva: u64, value: u64, size: i32, mmu: i32): void {
  watch(gva, size, 1);
  if (refusesAlignment(gva, size, mmu)) return;
  if (crosses(gva, size)) {
    const first = 4096 - (<i32>gva & 4095);
    const low = leavesCanonical(gva, size) ? 0 : find(gva, ACCESS_WRITE, mmu);
    if (low == 0) {
      if (!failed()) find(gva + first, ACCESS_WRITE, mmu);
      return;
    }
    const lowGpa = walkGpa;
    const high = find(gva + first, ACCESS_WRITE, mmu);
    if (high == 0) return;
    if (low != DEVICE && !codeAllows(low, first)) return;
    if (high != DEVICE && !codeAllows(high, size - first)) return;
    const highGpa = walkGpa;
    for (let i = 0; i < size; i++) {
      const inLow = i < first;
      const page = inLow ? low : high;
      const byte = (value >> ((<u64>i) << 3)) & 255;
      if (page == DEVICE) {
        if (!writeDevice(inLow ? lowGpa + i : highGpa + (i - first), 1, byte)) return;
      } else if (!isReadOnly(page)) store<u8>(inLow ? low + i : high + (i - first), <u8>byte);
    }
    return;
  }
  const host = find(gva, ACCESS_WRITE, mmu);
  if (host == 0) return;
  if (host == DEVICE) {
    writeDevice(walkGpa, size, value);
    return;
  }
  if (!codeAllows(host, size) || isReadOnly(host)) return;
  writeHost(host, value, size);
}

// @ts-ignore: decorator
@inline function currentMmu(): i32 {
  return (load<i32>(CPU_BASE + BLOCK_KEY) & KEY_MMU_MASK) >> KEY_MMU_SHIFT;
}

// ---- slow paths of compiled code: the current MMU index ----
export function loadSlow(gva: u64, size: i32): u64 {
  count(COUNT_SLOW_ACCESS);
  return read(gva, size, ACCESS_READ, currentMmu());
}
export function loadModifySlow(gva: u64, size: i32): u64 {
  count(COUNT_SLOW_ACCESS);
  return read(gva, size, ACCESS_MODIFY, currentMmu());
}
export function storeSlow(gva: u64, value: u64, size: i32): void {
  count(COUNT_SLOW_ACCESS);
  write(gva, value, size, currentMmu());
}
export function load128Slow(gva: u64): v128 {
  const mmu = currentMmu();
  const low = read(gva, 8, ACCESS_READ, mmu);
  if (failed()) return i64x2.splat(0);
  const high = read(gva + 8, 8, ACCESS_READ, mmu);
  return i64x2.replace_lane(i64x2.splat(<i64>low), 1, <i64>high);
}
/** Of a destination: a fault tells of a write. */
export function loadModify128Slow(gva: u64): v128 {
  probeWrite(gva, 16, currentMmu());
  return failed() ? i64x2.splat(0) : load128Slow(gva);
}
export function store128Slow(gva: u64, value: v128): void {
  const mmu = currentMmu();
  // The second half must not fault after the first was written.
  probeWrite(gva, 16, mmu);
  if (failed()) return;
  write(gva, <u64>i64x2.extract_lane(value, 0), 8, mmu);
  if (failed()) return;
  write(gva + 8, <u64>i64x2.extract_lane(value, 1), 8, mmu);
}

// ---- slow paths of regions: the address of the bytes minus ACCESS_DELTA, or 0: STATUS and ACCESS_SITE are set ----
/**
 * Host address of an access that compiled code may make itself; 0 where it may not (STATUS_OK), or must not. The next accesses of
 * its page may be made without asking, until a routine runs.
 */
function plain(gva: u64, size: i32, access: i32): usize {
  if ((load<i32>(CPU_BASE + BLOCK_KEY) & WATCHED) != 0 || crosses(gva, size)) return 0;
  const host = find(gva, access, currentMmu());
  if (host <= DEVICE) return 0;
  const refused = access == ACCESS_READ ? PAGE_DEVICE : PAGE_DEVICE | PAGE_HAS_CODE | PAGE_READ_ONLY;
  return (load<u8>(PAGE_ATTRIBUTES + ((host - RAM) >> 12)) & refused) == 0 ? host : 0;
}
// @ts-ignore: decorator
@inline function inPage(gva: u64, host: usize): usize {
  const delta = gva & 4095;
  store<u64>(CPU_BASE + ACCESS_DELTA, delta);
  return host - <usize>delta;
}
// @ts-ignore: decorator
@inline function inCell(site: u64): usize {
  if (failed()) return fail(site);
  store<u64>(CPU_BASE + ACCESS_DELTA, DELTA_OF_CELL);
  return CPU_BASE + ACCESS_CELL;
}
function fail(site: u64): usize {
  store<u64>(CPU_BASE + ACCESS_SITE, site);
  return 0;
}
// @ts-ignore: decorator
@inline function sizeAt(site: u64): i32 {
  return (<i32>site & SITE_SIZE_MASK) + 1;
}

export function loadHost(gva: u64, site: u64): usize {
  count(COUNT_SLOW_ACCESS);
  const size = sizeAt(site);
  const modify = (<i32>site & SITE_MODIFY) != 0;
  const access = modify ? ACCESS_MODIFY : ACCESS_READ;
  const host = plain(gva, size, access);
  if (host != 0) return inPage(gva, host);
  if (failed()) return fail(site);
  if (size == 16) v128.store(CPU_BASE + ACCESS_CELL, modify ? loadModify128Slow(gva) : load128Slow(gva));
  else store<u64>(CPU_BASE + ACCESS_CELL, read(gva, size, access, currentMmu()));
  return inCell(site);
}
/** The bytes are stored already if the answer is the cell. */
export function storeHost(gva: u64, value: u64, site: u64): usize {
  count(COUNT_SLOW_ACCESS);
  const size = sizeAt(site);
  const host = plain(gva, size, ACCESS_WRITE);
  if (host != 0) return inPage(gva, host);
  if (failed()) return fail(site);
  write(gva, value, size, currentMmu());
  return inCell(site);
}
export function storeHost128(gva: u64, value: v128, site: u64): usize {
  const host = plain(gva, 16, ACCESS_WRITE);
  if (host != 0) return inPage(gva, host);
  if (failed()) return fail(site);
  store128Slow(gva, value);
  return inCell(site);
}

// ---- for routines, with an explicit MMU index ----
/**
 * Host address of `size` bytes of RAM that the TLB knows to be readable (writable), all in one page; else 0, and nothing has
 * happened. What the TLB knows needs no other check.
 */
// @ts-ignore: decorator
@inline export function knownForRead(gva: u64, size: i32, mmu: i32): usize {
  return known(slotOf(readView(mmu), gva), gva, size);
}
// @ts-ignore: decorator
@inline export function knownForWrite(gva: u64, size: i32, mmu: i32): usize {
  return known(slotOf(writeView(mmu), gva), gva, size);
}
// @ts-ignore: decorator
@inline function known(entry: usize, gva: u64, size: i32): usize {
  const offset = gva - load<u64>(entry);
  return offset < <u64>(4097 - size) ? <usize>load<u32>(entry + 8) + <usize>offset : 0;
}

export function readLinear(gva: u64, size: i32, mmu: i32): u64 {
  return read(gva, size, ACCESS_READ, mmu);
}
/** Eight bytes. */
// @ts-ignore: decorator
@inline export function readQuad(gva: u64, mmu: i32): u64 {
  const host = knownForRead(gva, 8, mmu);
  return host != 0 ? load<u64>(host) : readLinear(gva, 8, mmu);
}
export function writeLinear(gva: u64, value: u64, size: i32, mmu: i32): void {
  write(gva, value, size, mmu);
}
/** Faults now if any byte of the range could not be written. At most one page boundary lies inside. */
export function probeWrite(gva: u64, size: i32, mmu: i32): void {
  probe(gva, size, ACCESS_WRITE, mmu);
}
export function probeRead(gva: u64, size: i32, mmu: i32): void {
  probe(gva, size, ACCESS_READ, mmu);
}
function probe(gva: u64, size: i32, access: i32, mmu: i32): void {
  const low = find(gva, access, mmu);
  if (low == 0) return;
  const split = crosses(gva, size);
  const first = split ? 4096 - (<i32>gva & 4095) : size;
  if (access == ACCESS_WRITE && low != DEVICE && !codeAllows(low, first)) return;
  if (!split) return;
  const high = find(gva + first, access, mmu);
  if (high == 0) return;
  if (access == ACCESS_WRITE && high != DEVICE) codeAllows(high, size - first);
}

/** Address in linear memory of a byte of plain RAM, or 0: not RAM, or not to be touched without the slow path. May fault (STATUS). */
export function hostForRead(gva: u64, mmu: i32): u32 {
  if ((load<i32>(CPU_BASE + BLOCK_KEY) & WATCHED) != 0) return 0;
  const host = find(gva, ACCESS_READ, mmu);
  return host <= DEVICE ? 0 : <u32>host;
}
export function hostForWrite(gva: u64, mmu: i32): u32 {
  if ((load<i32>(CPU_BASE + BLOCK_KEY) & WATCHED) != 0) return 0;
  const host = find(gva, ACCESS_WRITE, mmu);
  if (host <= DEVICE) return 0;
  const attributes = load<u8>(PAGE_ATTRIBUTES + ((host - RAM) >> 12));
  return (attributes & (PAGE_HAS_CODE | PAGE_READ_ONLY)) != 0 ? 0 : <u32>host;
}

/** Host address of the byte to be fetched at a linear address under the current CPL; 0 with STATUS set: fault; 1: not RAM. */
export function fetchHost(gva: u64): u32 {
  const user = (load<i32>(CPU_BASE + BLOCK_KEY) & KEY_CPL_MASK) == KEY_CPL_MASK;
  const entry = slotOf(fetchView(user), gva);
  const offset = gva - load<u64>(entry);
  if (offset < 4096) return load<u32>(entry + 8) + <u32>offset;
  if (!walk(gva, ACCESS_FETCH, user ? MMU_USER : MMU_SUPERVISOR)) return 0;
  const host = backing(walkGpa, false);
  if (host == DEVICE) return <u32>DEVICE;
  fill(fetchView(user), gva, host, walkGlobal, walkShift);
  return <u32>host;
}
