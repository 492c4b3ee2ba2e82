/**
 * Far jumps, calls and returns, through code segments and call gates. SDM Vol. 2A, "JMP", "CALL"; Vol. 2B, "RET";
 * Vol. 3A, "Privilege Level Checking When Transferring Program Control Between Code Segments".
 * `size` is the operand size in bytes. On success RIP is set and STATUS_MISS returned.
 */
import { SEG_CS, SEG_SS, STATUS_MISS } from '../../src/x86/state';
import { readLinear } from '../mmu/access';
import {
  hasReservedSize,
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
  ATTR_S,
  ATTR_UNUSABLE,
  attributes,
  baseOf,
  cpl,
  gpr,
  isLong,
  isProtected,
  isVm86,
  limitOf,
  RSP,
  setRealSegment,
  setRip,
  setSegment,
  setVm86Segment,
  status,
} from './cpu';
import {
  descriptorAttributes,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  fetchDescriptor,
  fetchUpperHalf,
  high,
  linear,
  low,
  markAccessed,
  markAt,
  OUTSIDE,
  upper,
  upperType,
  where,
} from './descriptor';
import { dropPrivilegedSegments, fetchReturnStack } from './iret';
import { mmuIndexOf, updateKey } from './key';
import { GP, NP, raiseError, raiseGp0 } from './raise';
import { commitPointer, discard, openCurrentStack, openStack, peek, push, withinLimit } from './stack';
import { switchTask, TASK_CALL, TASK_JUMP } from './task';

/** The code segment a transfer goes to, checked. */
let targetSelector: u32 = 0;
let targetOffset: u64 = 0;
let targetBase: u64 = 0;
let targetLimit: u32 = 0;
let targetAttributes: u32 = 0;
let targetWhere: u64 = 0;
let targetHigh: u32 = 0;

function finish(level: i32): i32 {
  setCodeSegment(targetSelector, targetBase, targetLimit, targetAttributes, level);
  setRip(targetOffset);
  updateKey();
  return STATUS_MISS;
}

function offsetMask(size: i32): u64 {
  return size == 8 ? u64.MAX_VALUE : size == 4 ? 0xffffffff : 0xffff;
}

/** Takes over the code segment just fetched. It is marked as accessed (`markTarget`) when all checks are done. */
function noteTarget(selector: u32, offset: u64): void {
  targetWhere = where;
  targetHigh = high;
  targetSelector = selector;
  targetBase = descriptorBase();
  targetLimit = descriptorLimit();
  targetAttributes = descriptorAttributes();
  targetOffset = offset;
}

function checkOffset(): i32 {
  return isValidTarget(targetOffset, targetLimit, targetAttributes) ? 0 : raiseGp0();
}

function takeTarget(selector: u32, offset: u64): i32 {
  noteTarget(selector, offset);
  return checkOffset();
}

function markTarget(): i32 {
  return markAt(targetWhere, targetHigh);
}

/** A jump's end, once the target is checked. */
function jump(checked: i32): i32 {
  if (checked != 0) return checked;
  const marked = markTarget();
  return marked != 0 ? marked : finish(cpl());
}

/** Direct transfer to the code segment just fetched: privilege does not change. */
function checkDirect(selector: u32, offset: u64): i32 {
  const code = selector & 0xfffc;
  const attr = descriptorAttributes();
  const dpl = descriptorDpl();
  const now = cpl();
  if (hasReservedSize(attr)) return raiseError(GP, code);
  if (attr & ATTR_CONFORMING ? dpl > now : ((selector & 3) as i32) > now || dpl != now) return raiseError(GP, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  return takeTarget(selector, offset);
}

let gateSize: i32 = 0;
let gateParameters: u32 = 0;

/** Checks the call gate just fetched, then the code segment it names, which becomes the target. `isCall`: may go inward. */
function enterGate(selector: u32, isCall: boolean): i32 {
  const code = selector & 0xfffc;
  const attr = descriptorAttributes();
  const dpl = descriptorDpl();
  const now = cpl();
  if (dpl < now || dpl < ((selector & 3) as i32)) return raiseError(GP, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  const inner = low >> 16;
  let offset = ((low & 0xffff) | (high & 0xffff0000)) as u64;
  gateSize = (attr & 8) != 0 ? 4 : 2;
  gateParameters = high & 31;
  if (isLong()) {
    const fetched = fetchUpperHalf(selector);
    if (fetched == OUTSIDE) return raiseError(GP, code);
    if (fetched != 0) return fetched;
    if (upperType != 0) return raiseError(GP, code);
    offset |= (upper as u64) << 32;
    gateSize = 8;
    gateParameters = 0;
  } else if (gateSize == 2) {
    offset &= 0xffff;
  }
  const innerCode = inner & 0xfffc;
  if (innerCode == 0) return raiseGp0();
  const fetched = fetchDescriptor(inner);
  if (fetched == OUTSIDE) return raiseError(GP, innerCode);
  if (fetched != 0) return fetched;
  const target = descriptorAttributes();
  const targetDpl = descriptorDpl();
  if (!isCode(target) || targetDpl > now) return raiseError(GP, innerCode);
  if (!isCall && (target & ATTR_CONFORMING) == 0 && targetDpl != now) return raiseError(GP, innerCode);
  if (isLong() && (target & (ATTR_L | ATTR_DB)) != ATTR_L) return raiseError(GP, innerCode);
  if ((target & ATTR_PRESENT) == 0) return raiseError(NP, innerCode);
  return takeTarget(inner, offset);
}

const CALL_GATE_16: u32 = 4;
const TASK_GATE: u32 = 5;
const CALL_GATE: u32 = 12;

/** System descriptors: 1 call gate, 2 task, else #GP recorded. */
function isCallGate(type: u32): boolean {
  return type == CALL_GATE || (type == CALL_GATE_16 && !isLong());
}

function isTask(type: u32): boolean {
  return !isLong() && (type == TASK_GATE || type == 1 || type == 9);
}

/** Real and virtual-8086 mode: only the offset is checked. */
function enterReal(selector: u32, offset: u64): void {
  if (isProtected()) setVm86Segment(SEG_CS, selector);
  else setRealSegment(SEG_CS, selector);
  setRip(offset);
  updateKey();
}

export function farJump(selector: i32, offset: u64, size: i32, next: u64): i32 {
  const sel = (selector as u32) & 0xffff;
  const target = offset & offsetMask(size);
  if (!isProtected() || isVm86()) {
    if (target > (limitOf(SEG_CS) as u64)) return raiseGp0();
    enterReal(sel, target);
    return STATUS_MISS;
  }
  const code = sel & 0xfffc;
  if (code == 0) return raiseGp0();
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if (attr & ATTR_S) {
    if (!isCode(attr)) return raiseError(GP, code);
    return jump(checkDirect(sel, target));
  }
  const type = attr & 15;
  if (isCallGate(type)) {
    return jump(enterGate(sel, false));
  }
  return isTask(type) ? switchTask(sel, TASK_JUMP, next) : raiseError(GP, code);
}

export function farCall(selector: i32, offset: u64, size: i32, next: u64): i32 {
  const sel = (selector as u32) & 0xffff;
  const target = offset & offsetMask(size);
  if (!isProtected() || isVm86()) {
    openCurrentStack(mmuIndexOf(cpl()), 0);
    if (push(pushedSelector(SEG_CS), size) != 0) return status();
    if (push(next & offsetMask(size), size) != 0) return status();
    if (target > (limitOf(SEG_CS) as u64)) return raiseGp0();
    commitPointer();
    enterReal(sel, target);
    return STATUS_MISS;
  }
  const code = sel & 0xfffc;
  if (code == 0) return raiseGp0();
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if (attr & ATTR_S) {
    if (!isCode(attr)) return raiseError(GP, code);
    const checked = checkDirect(sel, target);
    return checked != 0 ? checked : callSameLevel(size, next);
  }
  const type = attr & 15;
  if (isCallGate(type)) return callGate(sel, next);
  return isTask(type) ? switchTask(sel, TASK_CALL, next) : raiseError(GP, code);
}

function callSameLevel(size: i32, next: u64): i32 {
  const marked = markTarget();
  if (marked != 0) return marked;
  openCurrentStack(mmuIndexOf(cpl()), 0);
  if (push(pushedSelector(SEG_CS), size) != 0) return status();
  if (push(next & offsetMask(size), size) != 0) return status();
  commitPointer();
  return finish(cpl());
}

function callGate(sel: u32, next: u64): i32 {
  const checked = enterGate(sel, true);
  if (checked != 0) return checked;
  const level = ((targetAttributes >> 5) & 3) as i32;
  const now = cpl();
  if ((targetAttributes & ATTR_CONFORMING) != 0 || level == now) return callSameLevel(gateSize, next);
  const oldBase = baseOf(SEG_SS);
  const oldLimit = limitOf(SEG_SS);
  const oldAttributes = attributes(SEG_SS);
  if (gateSize == 8) {
    const found = innerStack64(level, 0, 0);
    if (found != 0) return found;
    openStack(0, 0, 0, stackPointer, true, mmuIndexOf(level), 0);
  } else {
    const found = innerStack32(level, 0);
    if (found != 0) return found;
    openStack(stackBase, stackLimit, stackAttributes, stackPointer, false, mmuIndexOf(level), stackSelector & 0xfffc);
  }
  const marked = markTarget();
  if (marked != 0) return marked;
  if (push(pushedSelector(SEG_SS), gateSize) != 0) return status();
  if (push(gpr(RSP) & offsetMask(gateSize), gateSize) != 0) return status();
  // The caller's parameters, highest address first.
  for (let n = gateParameters; n > 0; n--) {
    const mask: u64 = oldAttributes & ATTR_DB ? 0xffffffff : 0xffff;
    const offset = (gpr(RSP) + ((n - 1) as u64) * (gateSize as u64)) & mask;
    if (!withinLimit(offset, gateSize, oldLimit, oldAttributes)) return raiseError(12, 0);
    const value = readLinear(linear(oldBase + offset), gateSize, mmuIndexOf(now));
    if (status() != 0) return status();
    if (push(value, gateSize) != 0) return status();
  }
  if (push(pushedSelector(SEG_CS), gateSize) != 0) return status();
  if (push(next & offsetMask(gateSize), gateSize) != 0) return status();
  commitPointer();
  if (gateSize == 8) setNullStack(level);
  else setInnerStackSegment();
  return finish(level);
}

/** RETF and RETF imm16: `release` bytes of parameters are dropped from both stacks. */
export function farReturn(size: i32, release: i32): i32 {
  const step = size as u32;
  const extra = (release as u32) & 0xffff;
  const now = cpl();
  openCurrentStack(mmuIndexOf(now), 0);
  const offset = peek(0, size);
  if (status() != 0) return status();
  const sel = (peek(step, size) & 0xffff) as u32;
  if (status() != 0) return status();
  if (!isProtected() || isVm86()) {
    if (offset > (limitOf(SEG_CS) as u64)) return raiseGp0();
    discard(step * 2 + extra);
    commitPointer();
    enterReal(sel, offset);
    return STATUS_MISS;
  }
  const code = sel & 0xfffc;
  const level = (sel & 3) as i32;
  if (code == 0) return raiseGp0();
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if (!isCode(attr) || level < now || hasReservedSize(attr)) return raiseError(GP, code);
  if (attr & ATTR_CONFORMING ? descriptorDpl() > level : descriptorDpl() != level) return raiseError(GP, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  noteTarget(sel, offset);
  if (level == now) {
    const valid = checkOffset();
    if (valid != 0) return valid;
    const marked = markTarget();
    if (marked != 0) return marked;
    discard(step * 2 + extra);
    commitPointer();
    return finish(now);
  }
  return returnOutward(step, extra, level);
}

function returnOutward(step: u32, extra: u32, level: i32): i32 {
  const size = step as i32;
  const rsp = peek(step * 2 + extra, size);
  if (status() != 0) return status();
  const ss = (peek(step * 3 + extra, size) & 0xffff) as u32;
  if (status() != 0) return status();
  const checked = fetchReturnStack(ss, level, targetAttributes);
  if (checked != 0) return checked;
  const valid = checkOffset();
  if (valid != 0) return valid;
  const isNull = (ss & 0xfffc) == 0;
  const markedStack = isNull ? 0 : markAccessed();
  if (markedStack != 0) return markedStack;
  const marked = markTarget();
  if (marked != 0) return marked;
  const attr = descriptorAttributes() | 1;
  if (isNull) setSegment(SEG_SS, ss, 0, 0, ATTR_UNUSABLE | ((level as u32) << 5));
  else setSegment(SEG_SS, ss, descriptorBase(), descriptorLimit(), attr);
  openStack(0, 0, attr, rsp, isLong() && (targetAttributes & ATTR_L) != 0, 0, 0);
  discard(extra);
  commitPointer();
  dropPrivilegedSegments(level);
  return finish(level);
}
