/** Switching CS, and the stack of an inner level from the TSS: shared by interrupt delivery and far transfers. */
import { CPL, CPU_BASE, SEG_CS, SEG_SS, SEG_TR, SEGMENT, SEGMENT_SELECTOR, SEGMENT_STRIDE } from '../../src/x86/state';
import { readLinear } from '../mmu/access';
import {
  ATTR_CODE,
  ATTR_DB,
  ATTR_L,
  ATTR_PRESENT,
  ATTR_UNUSABLE,
  attributes,
  baseOf,
  isCanonical,
  isLong,
  limitOf,
  selectorOf,
  setSegment,
  status,
} from './cpu';
import {
  descriptorAttributes,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  fetchDescriptor,
  linear,
  loadFromDescriptor,
  markAccessed,
  OUTSIDE,
} from './descriptor';
import { mmuIndexImplicit } from './key';
import { raiseError, SS, TS } from './raise';

/** The SS:RSP that `innerStack` found. */
export let stackSelector: u32 = 0;
export let stackPointer: u64 = 0;
export let stackBase: u64 = 0;
export let stackLimit: u32 = 0;
export let stackAttributes: u32 = 0;

/** Is the descriptor just fetched a code segment? */
export function isCode(attr: u32): boolean {
  return (attr & ATTR_CODE) == ATTR_CODE;
}

/** Writable data, as SS demands. */
export function isWritableData(attr: u32): boolean {
  return (attr & 0x1a) == 0x12;
}

/** In IA-32e mode a 64-bit code segment must not be a 32-bit one as well. */
export function hasReservedSize(attr: u32): boolean {
  return isLong() && (attr & (ATTR_L | ATTR_DB)) == (ATTR_L | ATTR_DB);
}

/** Commits the code segment just fetched: `newCpl` also becomes the selector's RPL. */
export function setCodeSegment(selector: u32, base: u64, limit: u32, attr: u32, newCpl: i32): void {
  setSegment(SEG_CS, (selector & 0xfffc) | (newCpl as u32), base, limit, attr | 1);
  store<i32>(CPU_BASE + CPL, newCpl);
}

/** May `offset` be fetched from a code segment with this limit and these attributes? */
export function isValidTarget(offset: u64, limit: u32, attr: u32): boolean {
  if (isLong() && (attr & ATTR_L) != 0) return isCanonical(offset);
  return offset <= (limit as u64);
}

function readTss(offset: u32, size: i32, external: u32): u64 {
  if (offset + (size as u32) - 1 > limitOf(SEG_TR)) {
    raiseError(TS, (selectorOf(SEG_TR) & 0xfffc) | external);
    return 0;
  }
  return readLinear(linear(baseOf(SEG_TR) + (offset as u64)), size, mmuIndexImplicit());
}

/**
 * The stack of privilege level `level` in IA-32e mode: RSPn, or an interrupt stack when `ist` is 1-7.
 * SDM Vol. 3A, "64-Bit Mode Stack Switching". SS becomes a null selector.
 */
export function innerStack64(level: i32, ist: u32, external: u32): i32 {
  const offset: u32 = ist != 0 ? 36 + (ist - 1) * 8 : 4 + (level as u32) * 8;
  const rsp = readTss(offset, 8, external);
  if (status() != 0) return status();
  if (!isCanonical(rsp)) return raiseError(SS, external);
  stackPointer = rsp;
  stackSelector = level as u32;
  return 0;
}

/** The null SS of an inner level in 64-bit mode; its DPL is the privilege level. */
export function setNullStack(level: i32): void {
  setSegment(SEG_SS, level as u32, 0, 0, ATTR_UNUSABLE | ((level as u32) << 5));
}

/** The stack of privilege level `level` from a 16- or 32-bit TSS, checked. SDM Vol. 3A, "Stack Switching". */
export function innerStack32(level: i32, external: u32): i32 {
  const wide = (attributes(SEG_TR) & 8) != 0;
  const offset: u32 = wide ? 4 + (level as u32) * 8 : 2 + (level as u32) * 4;
  const end: u32 = wide ? 5 : 3;
  if (offset + end > limitOf(SEG_TR)) return raiseError(TS, (selectorOf(SEG_TR) & 0xfffc) | external);
  stackPointer = readTss(offset, wide ? 4 : 2, external);
  if (status() != 0) return status();
  const selector = readTss(wide ? offset + 4 : offset + 2, 2, external) as u32;
  if (status() != 0) return status();
  const code = (selector & 0xfffc) | external;
  if ((selector & 0xfffc) == 0) return raiseError(TS, external);
  const fetched = fetchDescriptor(selector);
  if (fetched == OUTSIDE) return raiseError(TS, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if (((selector & 3) as i32) != level || descriptorDpl() != level || !isWritableData(attr))
    return raiseError(TS, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(SS, code);
  const marked = markAccessed();
  if (marked != 0) return marked;
  stackSelector = selector;
  stackBase = descriptorBase();
  stackLimit = descriptorLimit();
  stackAttributes = descriptorAttributes();
  return 0;
}

/** Commits the stack segment that `innerStack32` found. */
export function setInnerStackSegment(): void {
  setSegment(SEG_SS, stackSelector, stackBase, stackLimit, stackAttributes);
}

/** Loads SS from the descriptor just fetched and marked. */
export function setStackSegment(selector: u32): void {
  loadFromDescriptor(SEG_SS, selector);
}

/** The selector of `segment` as pushed in frames: zero-extended. */
export function pushedSelector(segment: i32): u64 {
  return load<u32>(CPU_BASE + SEGMENT + segment * SEGMENT_STRIDE + SEGMENT_SELECTOR) as u64;
}
