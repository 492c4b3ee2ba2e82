/**
 * Reading segment and gate descriptors from the GDT and LDT. SDM Vol. 3A, "Segment Descriptors".
 * The last descriptor read stays in `low`, `high` (its two dwords) and `where` (its linear address).
 */
import { CPU_BASE, GDTR_BASE, GDTR_LIMIT, SEG_LDTR } from '../../src/x86/state';
import { readQuad, writeLinear } from '../mmu/access';
import { ATTR_UNUSABLE, attributes, baseOf, isLong, limitOf, setSegment, status } from './cpu';
import { mmuIndexImplicit } from './key';

export let low: u32 = 0;
export let high: u32 = 0;
export let where: u64 = 0;

/** `fetchDescriptor`: the selector points outside its table (the caller knows which exception that is). */
export const OUTSIDE: i32 = -1;

/** Reads `selector`'s descriptor. 0 when done, OUTSIDE, or a status to pass on. */
export function fetchDescriptor(selector: u32): i32 {
  const offset = selector & 0xfff8;
  let base: u64;
  if (selector & 4) {
    if ((attributes(SEG_LDTR) & (ATTR_UNUSABLE | 0x80)) != 0x80 || offset + 7 > limitOf(SEG_LDTR)) return OUTSIDE;
    base = baseOf(SEG_LDTR);
  } else {
    if (offset + 7 > (load<u32>(CPU_BASE + GDTR_LIMIT) & 0xffff)) return OUTSIDE;
    base = load<u64>(CPU_BASE + GDTR_BASE);
  }
  where = linear(base + (offset as u64));
  const value = readQuad(where, mmuIndexImplicit());
  low = value as u32;
  high = (value >> 32) as u32;
  return status();
}

/** The upper half of a 16-byte system descriptor (the first half was just fetched): bits 63:32 of its base or offset. */
export function fetchUpperHalf(selector: u32): i32 {
  const limit = selector & 4 ? limitOf(SEG_LDTR) : load<u32>(CPU_BASE + GDTR_LIMIT) & 0xffff;
  if ((selector & 0xfff8) + 15 > limit) return OUTSIDE;
  const value = readQuad(where + 8, mmuIndexImplicit());
  upper = value as u32;
  upperType = ((value >> 40) & 0x1f) as u32;
  return status();
}

export let upper: u32 = 0;
/** Bits 12:8 of the last dword of a 16-byte descriptor, which must be zero. */
export let upperType: u32 = 0;

/** Outside IA-32e mode linear addresses have 32 bits. */
export function linear(address: u64): u64 {
  return isLong() ? address : address & 0xffffffff;
}

export function descriptorAttributes(): u32 {
  return (high >> 8) & 0xf0ff;
}

export function descriptorDpl(): i32 {
  return ((high >> 13) & 3) as i32;
}

export function descriptorBase(): u64 {
  return ((low >> 16) | ((high & 0xff) << 16) | (high & 0xff000000)) as u64;
}

export function descriptorLimit(): u32 {
  const limit = (high & 0xf0000) | (low & 0xffff);
  return high & 0x800000 ? (limit << 12) | 0xfff : limit;
}

/** Sets the accessed bit of the code or data descriptor just fetched, in memory too if it was clear. */
export function markAccessed(): i32 {
  const marked = markAt(where, high);
  if (marked == 0) high |= 0x100;
  return marked;
}

/** The same for a descriptor fetched earlier: `at` and `word` are what `where` and `high` were then. */
export function markAt(at: u64, word: u32): i32 {
  if (word & 0x100) return 0;
  writeLinear(at + 5, (((word >> 8) & 0xff) | 1) as u64, 1, mmuIndexImplicit());
  return status();
}

/** Loads the hidden part of `segment` from the descriptor just fetched. */
export function loadFromDescriptor(segment: i32, selector: u32): void {
  setSegment(segment, selector, descriptorBase(), descriptorLimit(), descriptorAttributes());
}
