/**
 * Hardware task switching, outside IA-32e mode. SDM Vol. 3A, "Task Management"; Vol. 2A, "CALL", "JMP", "IRET", "INT n".
 * Everything that can fault in the old task is probed first. Once the new task's registers are in place, faults belong to
 * the new task: they are raised with its RIP, as the manual's order demands.
 */
import {
  CPL,
  CPU_BASE,
  CR0,
  CR3,
  CR4,
  DR,
  GDTR_BASE,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_LDTR,
  SEG_SS,
  SEG_TR,
  STATUS_MISS,
} from '../../src/x86/state';
import { probeWrite, readLinear, writeLinear } from '../mmu/access';
import { flushTlb } from '../mmu/tlb';
import {
  ATTR_CONFORMING,
  ATTR_PRESENT,
  ATTR_READ_WRITE,
  ATTR_S,
  attributes,
  baseOf,
  cpl,
  FLAG_NT,
  FLAG_VM,
  gpr,
  limitOf,
  rip,
  selectorOf,
  setGpr,
  setNullSegment,
  setRip,
  setSegment,
  setSystemFlags,
  setVm86Segment,
  status,
} from './cpu';
import { isCode, isWritableData } from './code-segment';
import { loadPdptes } from './control';
import {
  descriptorAttributes,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  fetchDescriptor,
  linear,
  loadFromDescriptor,
  low,
  markAccessed,
  OUTSIDE,
} from './descriptor';
import { getRflags, setFlags } from './flags';
import { mmuIndexImplicit, mmuIndexOf, updateKey } from './key';
import { GP, NP, raiseDebug, raiseError, raiseGp0, SS, TS } from './raise';
import { commitPointer, openCurrentStack, push } from './stack';

/** How the switch came about: decides the busy bits, NT and the link. */
export const TASK_JUMP: i32 = 0;
export const TASK_CALL: i32 = 1;
const TASK_IRET: i32 = 2;

const TASK_GATE: u32 = 5;
const BUSY: u32 = 2;
const CR0_TS: u64 = 8;
const CR0_PG: u64 = 0x80000000;
const CR4_PAE: u64 = 0x20;
const DR6_BT: u32 = 0x8000;
/** L0-L3 and LE are the task's own. */
const DR7_LOCAL: u64 = 0x155;

/** Offsets in a TSS: 32-bit, 16-bit. The general registers and selectors follow each other in encoding order. */
const CR3_32: u32 = 0x1c;
const EIP_32: u32 = 0x20;
const EIP_16: u32 = 0x0e;
const LDT_32: u32 = 0x60;
const LDT_16: u32 = 0x2a;
const TRAP_32: u32 = 0x64;
const LIMIT_32: u32 = 0x67;
const LIMIT_16: u32 = 0x2b;

/** The new task: its TSS, checked by `fetchTss`. */
let tssSelector: u32 = 0;
let tssBase: u64 = 0;
let tssLimit: u32 = 0;
let tssAttributes: u32 = 0;
/** EXT of error codes. */
let external: u32 = 0;

/** A copy of the new TSS. */
const copy: usize = memory.data(104, 8);

/** The TSS `selector` names, busy or available. `badVector`: the exception of a bad selector or type. */
function fetchTss(selector: u32, isBusy: boolean, badVector: i32): i32 {
  const code = (selector & 0xfffc) | external;
  if (selector & 4) return raiseError(badVector, code);
  const fetched = fetchDescriptor(selector);
  if (fetched == OUTSIDE || (selector & 0xfffc) == 0) return raiseError(badVector, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if ((attr & 0x15) != 1 || ((attr & BUSY) != 0) != isBusy) return raiseError(badVector, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  tssSelector = selector;
  tssBase = descriptorBase();
  tssLimit = descriptorLimit();
  tssAttributes = attr;
  const needed: u32 = isWide(attr) ? LIMIT_32 : LIMIT_16;
  return tssLimit < needed ? raiseError(TS, code) : 0;
}

function isWide(attr: u32): boolean {
  return (attr & 8) != 0;
}

/** JMP or CALL to a TSS or task gate, whose descriptor has just been fetched. */
export function switchTask(selector: u32, reason: i32, next: u64): i32 {
  external = 0;
  const code = selector & 0xfffc;
  const attr = descriptorAttributes();
  const dpl = descriptorDpl();
  if (dpl < cpl() || dpl < ((selector & 3) as i32)) return raiseError(GP, code);
  let tss = selector;
  if ((attr & 15) == TASK_GATE) {
    if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
    tss = low >> 16;
  }
  const fetched = fetchTss(tss, false, GP);
  if (fetched != 0) return fetched;
  const switched = perform(reason, next, getRflags());
  return switched != 0 ? switched : STATUS_MISS;
}

/** An interrupt or exception through a task gate: 0 or a status, as `deliverEvent` wants it. */
export function switchThroughGate(
  selector: u32,
  returnRip: u64,
  imageFlags: u64,
  hasError: boolean,
  error: u32,
  ext: u32,
): i32 {
  external = ext;
  const fetched = fetchTss(selector, false, GP);
  if (fetched != 0) return fetched;
  const size = isWide(tssAttributes) ? 4 : 2;
  const switched = perform(TASK_CALL, returnRip, imageFlags);
  if (switched != 0 || !hasError) return switched;
  openCurrentStack(mmuIndexOf(cpl()), external);
  if (push(error as u64, size) != 0) return status();
  commitPointer();
  return 0;
}

/** IRET with NT set: back to the task named in the TSS's link. */
export function returnFromTask(next: u64): i32 {
  external = 0;
  const link = readLinear(linear(baseOf(SEG_TR)), 2, mmuIndexImplicit()) as u32;
  if (status() != 0) return status();
  const fetched = fetchTss(link, true, TS);
  if (fetched != 0) return fetched;
  const switched = perform(TASK_IRET, next, getRflags() & ~FLAG_NT);
  return switched != 0 ? switched : STATUS_MISS;
}

/** Probes everything the switch writes and copies what it reads. */
function prepare(reason: i32): i32 {
  const mmu = mmuIndexImplicit();
  const oldWide = isWide(attributes(SEG_TR));
  const oldBase = baseOf(SEG_TR);
  const oldLimit = limitOf(SEG_TR);
  const needed: u32 = oldWide ? LIMIT_32 : LIMIT_16;
  if (oldLimit < needed) return raiseError(TS, (selectorOf(SEG_TR) & 0xfffc) | external);
  probeWrite(linear(oldBase + (oldWide ? 0x20 : 0x0e)), oldWide ? 0x40 : 0x1c, mmu);
  if (status() != 0) return status();
  const size = isWide(tssAttributes) ? 104 : 44;
  for (let n = 0; n < size; n += 4) {
    store<u32>(copy + (n as usize), readLinear(linear(tssBase + (n as u64)), 4, mmu) as u32);
    if (status() != 0) return status();
  }
  if (reason == TASK_CALL) probeWrite(linear(tssBase), 2, mmu);
  if (status() != 0) return status();
  if (reason != TASK_IRET) probeWrite(typeAddress(tssSelector), 1, mmu);
  if (status() != 0) return status();
  if (reason != TASK_CALL) probeWrite(typeAddress(selectorOf(SEG_TR)), 1, mmu);
  return status();
}

/** Linear address of the type byte of a GDT descriptor. */
function typeAddress(selector: u32): u64 {
  return linear(load<u64>(CPU_BASE + GDTR_BASE) + ((selector & 0xfff8) as u64) + 5);
}

function setBusy(selector: u32, on: boolean): void {
  const mmu = mmuIndexImplicit();
  const type = readLinear(typeAddress(selector), 1, mmu);
  writeLinear(typeAddress(selector), on ? type | (BUSY as u64) : type & ~(BUSY as u64), 1, mmu);
}

function saveOld(eip: u64, flags: u64): void {
  const mmu = mmuIndexImplicit();
  const wide = isWide(attributes(SEG_TR));
  const size: i32 = wide ? 4 : 2;
  let at = linear((baseOf(SEG_TR) + (wide ? EIP_32 : EIP_16)) as u64);
  writeLinear(at, eip, size, mmu);
  at += size as u64;
  writeLinear(at, flags, size, mmu);
  for (let n = 0; n < 8; n++) {
    at += size as u64;
    writeLinear(at, gpr(n), size, mmu);
  }
  const segments = wide ? 6 : 4;
  // ES CS SS DS FS GS: the order of a TSS is that of the encoding.
  for (let n = 0; n < segments; n++) {
    at += size as u64;
    writeLinear(at, selectorOf(n) as u64, 2, mmu);
  }
}

/** One item of the copied TSS. */
function item(offset: u32, size: i32): u32 {
  return size == 4 ? load<u32>(copy + (offset as usize)) : (load<u16>(copy + (offset as usize)) as u32);
}

function perform(reason: i32, eip: u64, savedFlags: u64): i32 {
  const prepared = prepare(reason);
  if (prepared != 0) return prepared;
  const oldSelector = selectorOf(SEG_TR);
  const wide = isWide(tssAttributes);
  const size: i32 = wide ? 4 : 2;
  saveOld(eip, savedFlags);
  if (reason != TASK_CALL) setBusy(oldSelector, false);
  if (reason == TASK_CALL) writeLinear(linear(tssBase), oldSelector as u64, 2, mmuIndexImplicit());
  if (reason != TASK_IRET) setBusy(tssSelector, true);
  // All of the above was probed; from here on the new task runs.
  setSegment(SEG_TR, tssSelector, tssBase, tssLimit, tssAttributes | BUSY);
  store<u64>(CPU_BASE + CR0, load<u64>(CPU_BASE + CR0) | CR0_TS);
  store<u64>(CPU_BASE + DR + 56, load<u64>(CPU_BASE + DR + 56) & ~DR7_LOCAL);
  const flagsAt: u32 = (wide ? EIP_32 : EIP_16) + (size as u32);
  let flags = item(flagsAt, size) as u64;
  if (!wide) flags &= 0xffff;
  if (reason == TASK_CALL) flags |= FLAG_NT;
  setFlags(flags as u32);
  setSystemFlags((flags & 0x3f7700) | 2);
  setRip(item(wide ? EIP_32 : EIP_16, size) as u64);
  for (let n = 0; n < 8; n++) {
    const value = item(flagsAt + ((n + 1) as u32) * (size as u32), size) as u64;
    // A 16-bit task says nothing about the upper halves.
    setGpr(n, wide ? value : (gpr(n) & 0xffff0000) | value);
  }
  const selectors = flagsAt + 9 * (size as u32);
  for (let n = 0; n < 6; n++) {
    const known = wide || n < 4;
    setNullSegment(n, known ? item(selectors + (n as u32) * (size as u32), 2) : 0);
  }
  setNullSegment(SEG_LDTR, item(wide ? LDT_32 : LDT_16, 2));
  const isVirtual = (flags & FLAG_VM) != 0;
  store<i32>(CPU_BASE + CPL, isVirtual ? 3 : ((selectorOf(SEG_CS) & 3) as i32));
  const loaded = loadContext(wide, isVirtual);
  updateKey();
  if (loaded != 0) return loaded;
  if (wide && (load<u8>(copy + (TRAP_32 as usize)) & 1) != 0) return raiseDebug(DR6_BT);
  return 0;
}

/** CR3, LDTR and the segments of the new task. */
function loadContext(wide: boolean, isVirtual: boolean): i32 {
  if (wide && (load<u64>(CPU_BASE + CR0) & CR0_PG) != 0) {
    const cr3 = item(CR3_32, 4) as u64;
    if (load<u64>(CPU_BASE + CR4) & CR4_PAE) {
      const loaded = loadPdptes(cr3);
      if (loaded != 0) return loaded;
    }
    store<u64>(CPU_BASE + CR3, cr3);
    flushTlb(0);
  }
  const ldt = loadLdt();
  if (ldt != 0) return ldt;
  if (isVirtual) {
    for (let n = 0; n < 6; n++) setVm86Segment(n, selectorOf(n));
    return rip() > 0xffff ? raiseGp0() : 0;
  }
  const cs = loadCode();
  if (cs != 0) return cs;
  const ss = loadStackSegment();
  if (ss != 0) return ss;
  const ds = loadData(SEG_DS);
  if (ds != 0) return ds;
  const es = loadData(SEG_ES);
  if (es != 0) return es;
  const fs = loadData(SEG_FS);
  if (fs != 0) return fs;
  const gs = loadData(SEG_GS);
  if (gs != 0) return gs;
  return rip() > (limitOf(SEG_CS) as u64) ? raiseError(GP, external) : 0;
}

function loadLdt(): i32 {
  const sel = selectorOf(SEG_LDTR);
  const code = (sel & 0xfffc) | external;
  if ((sel & 0xfffc) == 0) return 0;
  if (sel & 4) return raiseError(TS, code);
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(TS, code);
  if (fetched != 0) return fetched;
  if ((descriptorAttributes() & 0x9f) != 0x82) return raiseError(TS, code);
  loadFromDescriptor(SEG_LDTR, sel);
  return 0;
}

function loadCode(): i32 {
  const sel = selectorOf(SEG_CS);
  const code = (sel & 0xfffc) | external;
  if ((sel & 0xfffc) == 0) return raiseError(TS, code);
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(TS, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  const level = (sel & 3) as i32;
  if (!isCode(attr)) return raiseError(TS, code);
  if (attr & ATTR_CONFORMING ? descriptorDpl() > level : descriptorDpl() != level) return raiseError(TS, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  return accept(SEG_CS, sel);
}

function loadStackSegment(): i32 {
  const sel = selectorOf(SEG_SS);
  const code = (sel & 0xfffc) | external;
  if ((sel & 0xfffc) == 0) return raiseError(TS, code);
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(TS, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  const level = cpl();
  if (!isWritableData(attr) || descriptorDpl() != level || ((sel & 3) as i32) != level) return raiseError(TS, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(SS, code);
  return accept(SEG_SS, sel);
}

function loadData(seg: i32): i32 {
  const sel = selectorOf(seg);
  const code = (sel & 0xfffc) | external;
  if ((sel & 0xfffc) == 0) return 0;
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(TS, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if ((attr & ATTR_S) == 0 || (isCode(attr) && (attr & ATTR_READ_WRITE) == 0)) return raiseError(TS, code);
  if (!isCode(attr) || (attr & ATTR_CONFORMING) == 0) {
    const dpl = descriptorDpl();
    if (cpl() > dpl || ((sel & 3) as i32) > dpl) return raiseError(TS, code);
  }
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  return accept(seg, sel);
}

/** Marks the descriptor just checked and loads it. */
function accept(seg: i32, sel: u32): i32 {
  const marked = markAccessed();
  if (marked != 0) return marked;
  loadFromDescriptor(seg, sel);
  return 0;
}
