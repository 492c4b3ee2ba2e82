/**
 * IRET in every mode. SDM Vol. 2A, "IRET/IRETD/IRETQ". `size` is the operand size in bytes.
 */
import {
  BLOCK_KEY,
  CPL,
  CPU_BASE,
  EXIT_REQUEST,
  EXIT_REQUESTED,
  KEY_CODE_BREAKPOINT,
  NMI_BLOCKED,
  NMI_WANTED,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SS,
  STATUS_MISS,
} from '../../src/x86/state';
import { hasReservedSize, isCode, isValidTarget, isWritableData, setCodeSegment } from './code-segment';
import { knownForRead, readLinear } from '../mmu/access';
import {
  ATTR_CONFORMING,
  ATTR_L,
  ATTR_PRESENT,
  ATTR_UNUSABLE,
  attributes,
  baseOf,
  cpl,
  FLAG_AC,
  FLAG_DF,
  FLAG_ID,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VIF,
  FLAG_VIP,
  FLAG_VM,
  gpr,
  iopl,
  isCode64,
  isLong,
  isProtected,
  isVm86,
  rip,
  limitOf,
  RSP,
  setGpr,
  setNullSegment,
  setRealSegment,
  setRip,
  setSegment,
  setSystemFlags,
  setVm86Segment,
  status,
  systemFlags,
} from './cpu';
import {
  descriptorAttributes,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  fetchDescriptor,
  high,
  linear,
  markAccessed,
  markAt,
  OUTSIDE,
  where,
} from './descriptor';
import { noteResume } from './debug';
import { setFlags } from './flags';
import { mmuIndexOf, updateKey, updateKeyCode64 } from './key';
import { GP, NP, raiseError, raiseGp0, SS } from './raise';
import { commitPointer, discard, openCurrentStack, openStack, peek } from './stack';
import { returnFromTask } from './task';
import { checkVirtualImage, hasVme, virtualFromImage } from './virtual-interrupts';

/** Replaces the bits of RFLAGS under `mask`; status flags always. RF is kept only where something looks at it. */
function loadFlags(image: u64, mask: u64): void {
  setFlags(image as u32);
  const flags = (systemFlags() & ~mask & ~FLAG_RF) | (image & mask);
  // RF matters only while an instruction breakpoint is armed; otherwise it would stay set for want of someone to clear it.
  const isArmed = (load<i32>(CPU_BASE + BLOCK_KEY) & KEY_CODE_BREAKPOINT) != 0;
  setSystemFlags(isArmed ? flags : flags & ~FLAG_RF);
  if (isArmed) noteResume();
}

/** "Handling Multiple NMIs": IRET lets the next one in. SDM Vol. 3A. */
function unblockNmi(): void {
  store<i32>(CPU_BASE + NMI_BLOCKED, 0);
  if (load<i32>(CPU_BASE + NMI_WANTED) != 0) store<i32>(CPU_BASE + EXIT_REQUEST, EXIT_REQUESTED);
}

function finish(): i32 {
  unblockNmi();
  if (isCode64()) updateKeyCode64();
  else updateKey();
  return STATUS_MISS;
}

/** The bits of RFLAGS a return at `level` with this operand size may change, status flags aside. */
function flagMask(size: i32, level: i32): u64 {
  let mask = FLAG_TF | FLAG_DF | FLAG_NT;
  if (size != 2) mask |= FLAG_RF | FLAG_AC | FLAG_ID;
  if (level <= iopl()) mask |= FLAG_IF;
  if (level == 0) {
    mask |= FLAG_IOPL;
    if (size != 2) mask |= FLAG_VIF | FLAG_VIP;
  }
  return mask;
}

export function iret(size: i32): i32 {
  if (!isProtected()) return iretReal(size, FLAG_IF | FLAG_IOPL);
  if (isVm86()) {
    if (iopl() == 3) return iretReal(size, FLAG_IF);
    return hasVme() && size == 2 ? iretReal(size, FLAG_VIF) : raiseGp0();
  }
  if (systemFlags() & FLAG_NT) return isLong() ? raiseGp0() : returnFromTask(afterIret());
  return iretProtected(size);
}

/** The address after the IRET at RIP, where the old task will go on: behind its prefixes and the 0xCF. */
function afterIret(): u64 {
  let at = rip();
  for (let n = 0; n < 15; n++, at++) {
    const byte = readLinear(linear(baseOf(SEG_CS) + at), 1, mmuIndexOf(cpl()));
    if (status() != 0 || byte == 0xcf) break;
  }
  return at + 1;
}

/** Real and virtual-8086 mode; `extra` are the flags beyond TF DF NT that may change. */
function iretReal(size: i32, extra: u64): i32 {
  openCurrentStack(mmuIndexOf(cpl()), 0);
  const offset = peek(0, size);
  if (status() != 0) return status();
  const selector = peek(size, 2) as u32;
  if (status() != 0) return status();
  let image = peek(size * 2, size);
  if (status() != 0) return status();
  if (extra == FLAG_VIF) {
    const refused = checkVirtualImage(image, size);
    if (refused != 0) return refused;
    image = virtualFromImage(image);
  }
  if (offset > (limitOf(SEG_CS) as u64)) return raiseGp0();
  discard(size * 3);
  commitPointer();
  if (isProtected()) setVm86Segment(SEG_CS, selector);
  else setRealSegment(SEG_CS, selector);
  setRip(offset);
  loadFlags(image, FLAG_TF | FLAG_DF | FLAG_NT | extra | (size == 2 ? 0 : FLAG_RF | FLAG_AC | FLAG_ID));
  return finish();
}

/** Where the frame of 64-bit mode lies in linear memory, 0: to be read item by item. */
let frame: usize = 0;

/** The n-th item of the frame; STATUS is set where it cannot be read. */
// @ts-ignore: decorator
@inline function item(n: u32, size: i32): u64 {
  return frame != 0 ? load<u64>(frame + (n << 3)) : peek(n * (size as u32), size);
}

function iretProtected(size: i32): i32 {
  const now = cpl();
  const from64 = isCode64();
  const step = size as u32;
  const mmu = mmuIndexOf(now);
  frame = from64 && size == 8 ? knownForRead(gpr(RSP), 40, mmu) : 0;
  if (frame == 0) openCurrentStack(mmu, 0);
  const target = item(0, size);
  if (status() != 0) return status();
  const selector = (item(1, size) & 0xffff) as u32;
  if (status() != 0) return status();
  const image = item(2, size);
  if (status() != 0) return status();
  if (!isLong() && size == 4 && (image & FLAG_VM) != 0 && now == 0) return returnToVm86(target, selector, image);

  const code = selector & 0xfffc;
  const level = (selector & 3) as i32;
  if (code == 0) return raiseGp0();
  const fetched = fetchDescriptor(selector);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if (!isCode(attr) || level < now) return raiseError(GP, code);
  if (attr & ATTR_CONFORMING ? descriptorDpl() > level : descriptorDpl() != level) return raiseError(GP, code);
  if (hasReservedSize(attr)) return raiseError(GP, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  const csBase = descriptorBase();
  const csLimit = descriptorLimit();
  const csWhere = where;
  const csHigh = high;
  const mask = flagMask(size, now);

  if (level == now && !from64) {
    if (!isValidTarget(target, csLimit, attr)) return raiseGp0();
    const marked = markAt(csWhere, csHigh);
    if (marked != 0) return marked;
    discard(step * 3);
    commitPointer();
  } else {
    const rsp = item(3, size);
    if (status() != 0) return status();
    const ss = (item(4, size) & 0xffff) as u32;
    if (status() != 0) return status();
    const checked = fetchReturnStack(ss, level, attr);
    if (checked != 0) return checked;
    const ssBase = descriptorBase();
    const ssLimit = descriptorLimit();
    const ssAttributes = descriptorAttributes() | 1;
    if (!isValidTarget(target, csLimit, attr)) return raiseGp0();
    const markedStack = (ss & 0xfffc) == 0 ? 0 : markAccessed();
    if (markedStack != 0) return markedStack;
    const marked = markAt(csWhere, csHigh);
    if (marked != 0) return marked;
    const to64 = isLong() && (attr & ATTR_L) != 0;
    if ((ss & 0xfffc) == 0) setSegment(SEG_SS, ss, 0, 0, ATTR_UNUSABLE | ((level as u32) << 5));
    else setSegment(SEG_SS, ss, ssBase, ssLimit, ssAttributes);
    openStack(0, 0, ssAttributes, rsp, to64, 0, 0);
    commitPointer();
    if (level > now) dropPrivilegedSegments(level);
  }
  setCodeSegment(selector, csBase, csLimit, attr, level);
  setRip(target);
  loadFlags(image, mask);
  return finish();
}

/** Checks the SS a return to `level` pops; the descriptor is left fetched, to be marked. A null SS is good only in 64-bit code below CPL 3. */
export function fetchReturnStack(ss: u32, level: i32, codeAttributes: u32): i32 {
  const code = ss & 0xfffc;
  if (code == 0) {
    const to64 = isLong() && (codeAttributes & ATTR_L) != 0;
    return to64 && level != 3 && ((ss & 3) as i32) == level ? 0 : raiseGp0();
  }
  if (((ss & 3) as i32) != level) return raiseError(GP, code);
  const fetched = fetchDescriptor(ss);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if (!isWritableData(attr) || descriptorDpl() != level) return raiseError(GP, code);
  return (attr & ATTR_PRESENT) == 0 ? raiseError(SS, code) : 0;
}

function dropIfPrivileged(segment: i32, level: i32): void {
  const attr = attributes(segment);
  if (attr & ATTR_UNUSABLE) return;
  const isConforming = isCode(attr) && (attr & ATTR_CONFORMING) != 0;
  if (((attr >> 5) & 3) < (level as u32) && !isConforming) setNullSegment(segment, 0);
}

/** On a return to a lower privilege, data segments that it may not hold become null. */
export function dropPrivilegedSegments(level: i32): void {
  dropIfPrivileged(SEG_ES, level);
  dropIfPrivileged(SEG_FS, level);
  dropIfPrivileged(SEG_GS, level);
  dropIfPrivileged(SEG_DS, level);
}

/** SDM Vol. 3B, "Entering Virtual-8086 Mode". */
function returnToVm86(target: u64, selector: u32, image: u64): i32 {
  const rsp = peek(12, 4);
  if (status() != 0) return status();
  const ss = peek(16, 4) as u32;
  if (status() != 0) return status();
  const es = peek(20, 4) as u32;
  if (status() != 0) return status();
  const ds = peek(24, 4) as u32;
  if (status() != 0) return status();
  const fs = peek(28, 4) as u32;
  if (status() != 0) return status();
  const gs = peek(32, 4) as u32;
  if (status() != 0) return status();
  if (target > 0xffff) return raiseGp0();
  setVm86Segment(SEG_CS, selector);
  setVm86Segment(SEG_SS, ss);
  setVm86Segment(SEG_ES, es);
  setVm86Segment(SEG_DS, ds);
  setVm86Segment(SEG_FS, fs);
  setVm86Segment(SEG_GS, gs);
  setGpr(RSP, rsp);
  setRip(target);
  store<i32>(CPU_BASE + CPL, 3);
  loadFlags(
    image,
    FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID | FLAG_IF | FLAG_IOPL | FLAG_VM | FLAG_VIF | FLAG_VIP,
  );
  return finish();
}
