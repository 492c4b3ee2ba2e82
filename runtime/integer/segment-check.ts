/** Limit and type checks of data accesses outside 64-bit mode. Intel SDM Vol. 3A, "Limit Checking" and "Type Checking". */
import { SEG_CS, SEG_SS } from '../../src/x86/state';
import { ATTR_CODE, ATTR_READ_WRITE, ATTR_UNUSABLE, attributes, isProtected, isVm86, limitOf } from '../system/cpu';
import { GP, raiseError, SS } from '../system/raise';
import { withinLimit } from '../system/stack';

/** Whether `size` bytes at `offset` may be accessed through the segment. Pure. */
export function isWithinSegment(seg: i32, offset: u64, size: i32): bool {
  const attr = attributes(seg);
  if ((attr & ATTR_UNUSABLE) != 0) return false;
  // Execute-only code can be neither read nor written.
  if ((attr & (ATTR_CODE | ATTR_READ_WRITE)) == ATTR_CODE) return false;
  return withinLimit(offset, size == 0 ? 1 : size, limitOf(seg), attr);
}

/** 0, or the status of #SS(0) (through SS) or #GP(0). */
export function segmentCheck(seg: i32, offset: u64, size: i32): i32 {
  if (isWithinSegment(seg, offset, size)) return 0;
  return raiseError(seg == SEG_SS ? SS : GP, 0);
}

/** 0, or the status of #GP(0): a near transfer to `offset` outside of the code segment. */
export function codeCheck(offset: u64): i32 {
  return offset > (limitOf(SEG_CS) as u64) ? raiseError(GP, 0) : 0;
}

/** Whether the segment may be written: writable data, and anything in real and virtual-8086 mode. */
export function isWritableSegment(seg: i32): bool {
  const attr = attributes(seg);
  return ((attr & ATTR_CODE) == 0x10 && (attr & ATTR_READ_WRITE) != 0) || isVm86() || !isProtected();
}

/** The same for a store, which needs a writable data segment. */
export function segmentCheckWrite(seg: i32, offset: u64, size: i32): i32 {
  if (isWritableSegment(seg) && isWithinSegment(seg, offset, size)) return 0;
  return raiseError(seg == SEG_SS ? SS : GP, 0);
}
