/**
 * Delivery of interrupts and exceptions through the IDT or the real-mode vector table.
 * SDM Vol. 3A, "Interrupt and Exception Handling"; Vol. 2A, "INT n/INTO/INT3/INT1". Everything that can fault comes
 * first; the new state is committed at the end, so that a nested fault finds the machine as it was.
 */
import {
  CPU_BASE,
  HALTED,
  IDTR_BASE,
  IDTR_LIMIT,
  INTERRUPT_SHADOW,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SS,
  STATUS,
  STATUS_MISS,
  STATUS_SHUTDOWN,
} from '../../src/x86/state';
import { knownForWrite, readLinear, readQuad } from '../mmu/access';
import {
  innerStack32,
  innerStack64,
  isCode,
  isValidTarget,
  pushedSelector,
  setCodeSegment,
  setInnerStackSegment,
  setNullStack,
  stackAttributes,
  stackBase,
  stackLimit,
  stackPointer,
  stackSelector,
} from './code-segment';
import {
  ATTR_CONFORMING,
  ATTR_DB,
  ATTR_L,
  ATTR_PRESENT,
  attributes,
  baseOf,
  cpl,
  FLAG_AC,
  FLAG_IF,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VM,
  gpr,
  isCanonical,
  isLong,
  isProtected,
  isVm86,
  limitOf,
  RSP,
  selectorOf,
  setGpr,
  setNullSegment,
  setRealSegment,
  setRip,
  setSystemFlags,
  status,
  systemFlags,
  setVm86Segment,
  FLAG_VIF,
} from './cpu';
import { noteHandlerEntry } from './debug';
import {
  descriptorAttributes,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  fetchDescriptor,
  linear,
  high as descriptorHigh,
  markAt,
  OUTSIDE,
  where,
} from './descriptor';
import { getRflags } from './flags';
import { mmuIndexImplicit, mmuIndexOf, updateKey, updateKeyCode64 } from './key';
import { GP, NP, raiseError } from './raise';
import { commitPointer, openCurrentStack, openStack, push } from './stack';
import { switchThroughGate } from './task';
import { imageFromVirtual, ownsFlag } from './virtual-interrupts';

/** What is being delivered: `deliverEvent`'s parameters that every path needs. */
let eventVector: i32 = 0;
let eventError: u32 = 0;
let eventHasError: boolean = false;
/** EXT of error codes: 1 for everything but INT n, INT3 and INTO. */
let external: u32 = 1;
let returnRip: u64 = 0;
let imageFlags: u64 = 0;

/** Source of an event: a software interrupt checks the gate's DPL and has EXT clear. */
export const SOFTWARE: i32 = 0;
export const HARDWARE: i32 = 1;

/**
 * Delivers `vector`: 0 when the handler's first instruction is next, else a status (STATUS_FAULT: a nested exception is
 * recorded). `returnAddress` and `rfInImage` (0, or FLAG_RF) make the frame.
 */
export function deliverEvent(
  vector: i32,
  source: i32,
  hasError: boolean,
  errorCode: u32,
  returnAddress: u64,
  rfInImage: u64,
): i32 {
  eventVector = vector;
  eventHasError = hasError;
  eventError = errorCode;
  external = source as u32;
  returnRip = returnAddress;
  imageFlags = getRflags() | rfInImage;
  const result = !isProtected() ? deliverReal() : isLong() ? deliverLong(source) : deliverProtected(source);
  if (result != 0) return result;
  noteHandlerEntry();
  store<i32>(CPU_BASE + HALTED, 0);
  store<i32>(CPU_BASE + INTERRUPT_SHADOW, 0);
  if (isLong()) updateKeyCode64();
  else updateKey();
  return 0;
}

function idtError(): u32 {
  return ((eventVector as u32) << 3) | 2 | external;
}

function readIdt(offset: u32): u64 {
  return readQuad(linear(load<u64>(CPU_BASE + IDTR_BASE) + (offset as u64)), mmuIndexImplicit());
}

/** SDM Vol. 3B, "Interrupt and Exception Handling" of real-address mode: no error code is pushed. */
function deliverReal(): i32 {
  const offset = (eventVector as u32) << 2;
  if (offset + 3 > (load<u32>(CPU_BASE + IDTR_LIMIT) & 0xffff)) return raiseError(GP, idtError());
  const base = linear(load<u64>(CPU_BASE + IDTR_BASE));
  const entry = readLinear(linear(base + (offset as u64)), 4, mmuIndexImplicit()) as u32;
  if (status() != 0) return status();
  openCurrentStack(mmuIndexOf(0), external);
  if (push(imageFlags & 0xffff, 2) != 0) return status();
  if (push(pushedSelector(SEG_CS), 2) != 0) return status();
  if (push(returnRip & 0xffff, 2) != 0) return status();
  commitPointer();
  setRealSegment(SEG_CS, entry >> 16);
  setRip((entry & 0xffff) as u64);
  setSystemFlags(systemFlags() & ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF));
  return 0;
}

/** INT n of virtual-8086 mode to the handler in the program's own table at linear address 0. */
export function deliverToProgram(vector: i32, returnAddress: u64): i32 {
  const entry = readLinear((vector as u64) << 2, 4, mmuIndexOf(3)) as u32;
  if (status() != 0) return status();
  const flags = systemFlags();
  const isOwner = ownsFlag();
  const image = getRflags();
  openCurrentStack(mmuIndexOf(3), 0);
  if (push((isOwner ? image : imageFromVirtual(image)) & 0xffff, 2) != 0) return status();
  if (push(pushedSelector(SEG_CS), 2) != 0) return status();
  if (push(returnAddress & 0xffff, 2) != 0) return status();
  commitPointer();
  setVm86Segment(SEG_CS, entry >> 16);
  setRip((entry & 0xffff) as u64);
  setSystemFlags(flags & ~(FLAG_TF | FLAG_RF | FLAG_NT | (isOwner ? FLAG_IF : FLAG_VIF)));
  updateKey();
  return 0;
}

let gateSelector: u32 = 0;
let gateOffset: u64 = 0;
let targetBase: u64 = 0;
let targetLimit: u32 = 0;
let targetAttributes: u32 = 0;
let targetCpl: i32 = 0;
let targetWhere: u64 = 0;
let targetHigh: u32 = 0;

/** The handler's code segment: checks, and the new privilege level in `targetCpl`. */
function fetchTarget(): i32 {
  const code = (gateSelector & 0xfffc) | external;
  if ((gateSelector & 0xfffc) == 0) return raiseError(GP, external);
  const fetched = fetchDescriptor(gateSelector);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  const dpl = descriptorDpl();
  const now = cpl();
  if (!isCode(attr) || dpl > now) return raiseError(GP, code);
  if (isLong() && (attr & (ATTR_L | ATTR_DB)) != ATTR_L) return raiseError(GP, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  targetCpl = (attr & ATTR_CONFORMING) != 0 ? now : dpl;
  if (isVm86() && targetCpl != 0) return raiseError(GP, code);
  targetWhere = where;
  targetHigh = descriptorHigh;
  targetBase = descriptorBase();
  targetLimit = descriptorLimit();
  targetAttributes = descriptorAttributes();
  if (!isValidTarget(gateOffset, targetLimit, targetAttributes)) return raiseError(GP, external);
  return 0;
}

function enterHandler(isInterruptGate: boolean): void {
  setCodeSegment(gateSelector, targetBase, targetLimit, targetAttributes, targetCpl);
  setRip(gateOffset);
  const cleared = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (isInterruptGate ? FLAG_IF : 0);
  setSystemFlags(systemFlags() & ~cleared);
}

/** The frame of 64-bit mode below `top`; RSP is its lowest address. 0 or a status. */
function pushFrame64(top: u64): i32 {
  const size = eventHasError ? 48 : 40;
  const bottom = top - (size as u64);
  const mmu = mmuIndexOf(targetCpl);
  const host = knownForWrite(bottom, size, mmu);
  if (host == 0) {
    openStack(0, 0, 0, top, true, mmu, external);
    if (push(pushedSelector(SEG_SS), 8) != 0) return status();
    if (push(gpr(RSP), 8) != 0) return status();
    if (push(imageFlags, 8) != 0) return status();
    if (push(pushedSelector(SEG_CS), 8) != 0) return status();
    if (push(returnRip, 8) != 0) return status();
    if (eventHasError && push(eventError as u64, 8) != 0) return status();
    commitPointer();
    return 0;
  }
  let at = host;
  if (eventHasError) {
    store<u64>(at, eventError as u64);
    at += 8;
  }
  store<u64>(at, returnRip);
  store<u64>(at + 8, pushedSelector(SEG_CS));
  store<u64>(at + 16, imageFlags);
  store<u64>(at + 24, gpr(RSP));
  store<u64>(at + 32, pushedSelector(SEG_SS));
  setGpr(RSP, bottom);
  return 0;
}

/** SDM Vol. 3A, "Exception and Interrupt Handling in 64-bit Mode". */
function deliverLong(source: i32): i32 {
  const offset = (eventVector as u32) << 4;
  if (offset + 15 > (load<u32>(CPU_BASE + IDTR_LIMIT) & 0xffff)) return raiseError(GP, idtError());
  const first = readIdt(offset);
  if (status() != 0) return status();
  const second = readIdt(offset + 8);
  if (status() != 0) return status();
  const high = (first >> 32) as u32;
  const type = (high >> 8) & 0x1f;
  if (type != 14 && type != 15) return raiseError(GP, idtError());
  if (source == SOFTWARE && (((high >> 13) & 3) as i32) < cpl()) return raiseError(GP, idtError());
  if ((high & 0x8000) == 0) return raiseError(NP, idtError());
  gateSelector = ((first >> 16) & 0xffff) as u32;
  gateOffset = (first & 0xffff) | ((high & 0xffff0000) as u64) | (second << 32);
  const fetched = fetchTarget();
  if (fetched != 0) return fetched;

  const ist = high & 7;
  const isInner = targetCpl != cpl();
  let rsp = gpr(RSP);
  if (isInner || ist != 0) {
    const found = innerStack64(targetCpl, ist, external);
    if (found != 0) return found;
    rsp = stackPointer;
  }
  const marked = markAt(targetWhere, targetHigh);
  if (marked != 0) return marked;
  const pushed = pushFrame64(rsp & ~(15 as u64));
  if (pushed != 0) return pushed;
  if (isInner) setNullStack(targetCpl);
  enterHandler(type == 14);
  return 0;
}

/** 16- and 32-bit gates of protected mode and virtual-8086 mode. */
function deliverProtected(source: i32): i32 {
  const offset = (eventVector as u32) << 3;
  if (offset + 7 > (load<u32>(CPU_BASE + IDTR_LIMIT) & 0xffff)) return raiseError(GP, idtError());
  const gate = readIdt(offset);
  if (status() != 0) return status();
  const high = (gate >> 32) as u32;
  const type = (high >> 8) & 0x1f;
  if (type != 5 && (type & ~9) != 6) return raiseError(GP, idtError());
  if (source == SOFTWARE && (((high >> 13) & 3) as i32) < cpl()) return raiseError(GP, idtError());
  if ((high & 0x8000) == 0) return raiseError(NP, idtError());
  gateSelector = ((gate >> 16) & 0xffff) as u32;
  if (type == 5) return switchThroughGate(gateSelector, returnRip, imageFlags, eventHasError, eventError, external);
  const size = type & 8 ? 4 : 2;
  gateOffset = (gate & 0xffff) | (size == 4 ? ((high & 0xffff0000) as u64) : 0);
  const fetched = fetchTarget();
  if (fetched != 0) return fetched;

  const wasVm86 = isVm86();
  const isInner = targetCpl != cpl();
  const found = isInner ? innerStack32(targetCpl, external) : 0;
  if (found != 0) return found;
  const marked = markAt(targetWhere, targetHigh);
  if (marked != 0) return marked;
  if (isInner) {
    openStack(
      stackBase,
      stackLimit,
      stackAttributes,
      stackPointer,
      false,
      mmuIndexOf(targetCpl),
      (stackSelector & 0xfffc) | external,
    );
    if (wasVm86) {
      if (push(pushedSelector(SEG_GS), size) != 0) return status();
      if (push(pushedSelector(SEG_FS), size) != 0) return status();
      if (push(pushedSelector(SEG_DS), size) != 0) return status();
      if (push(pushedSelector(SEG_ES), size) != 0) return status();
    }
    if (push(pushedSelector(SEG_SS), size) != 0) return status();
    if (push(gpr(RSP), size) != 0) return status();
  } else {
    openCurrentStack(mmuIndexOf(targetCpl), external);
  }
  if (push(imageFlags, size) != 0) return status();
  if (push(pushedSelector(SEG_CS), size) != 0) return status();
  if (push(returnRip, size) != 0) return status();
  if (eventHasError && push(eventError as u64, size) != 0) return status();
  commitPointer();
  if (isInner) setInnerStackSegment();
  if (wasVm86) {
    setNullSegment(SEG_ES, 0);
    setNullSegment(SEG_DS, 0);
    setNullSegment(SEG_FS, 0);
    setNullSegment(SEG_GS, 0);
  }
  enterHandler((type & 1) == 0);
  return 0;
}
