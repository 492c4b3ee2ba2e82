/** GDTR, IDTR, and the segment bases that FSGSBASE instructions reach. SDM Vol. 2, "LGDT/LIDT", "RDFSBASE", "WRFSBASE". */
import {
  CPU_BASE,
  GDTR_BASE,
  GDTR_LIMIT,
  IDTR_BASE,
  IDTR_LIMIT,
  SEGMENT,
  SEGMENT_BASE,
  SEGMENT_STRIDE,
} from '../../src/x86/state';
import { baseOf, cpl, hasCr4, isCanonical, isCode64 } from './cpu';
import { raise, raiseGp0, UD } from './raise';

const CR4_FSGSBASE: u64 = 0x10000;

function loadTable(limit: i32, base: u64, limitAt: i32, baseAt: i32): i32 {
  if (cpl() != 0) return raiseGp0();
  if (isCode64() && !isCanonical(base)) return raiseGp0();
  store<u32>(CPU_BASE + limitAt, (limit as u32) & 0xffff);
  store<u64>(CPU_BASE + baseAt, base);
  return 0;
}

/** LGDT: `base` already cut to 24 bits for a 16-bit operand. */
export function lgdt(limit: i32, base: u64): i32 {
  return loadTable(limit, base, GDTR_LIMIT, GDTR_BASE);
}

export function lidt(limit: i32, base: u64): i32 {
  return loadTable(limit, base, IDTR_LIMIT, IDTR_BASE);
}

/** #UD unless RDFSBASE and the others may run. */
export function checkFsgsbase(): i32 {
  return isCode64() && hasCr4(CR4_FSGSBASE) ? 0 : raise(UD);
}

/** RDFSBASE and RDGSBASE after `checkFsgsbase`: the base of segment `seg`. */
export function readSegmentBase(seg: i32): u64 {
  return baseOf(seg);
}

/** WRFSBASE and WRGSBASE: a 32-bit operand comes zero-extended. 0 or a status. */
export function writeSegmentBase(seg: i32, value: u64): i32 {
  const checked = checkFsgsbase();
  if (checked != 0) return checked;
  if (!isCanonical(value)) return raiseGp0();
  store<u64>(CPU_BASE + SEGMENT + seg * SEGMENT_STRIDE + SEGMENT_BASE, value);
  return 0;
}
