/** Limit and type checks of data accesses outside 64-bit mode. Intel SDM Vol. 3A, "Limit Checking" and "Type Checking". */
import { SEG_SS } from '../../src/x86/state';
import { ATTR_CODE, ATTR_READ_WRITE, ATTR_UNUSABLE, attributes, limitOf } from '../system/cpu';
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

/** The same for a store, which needs a writable data segment. */
export function segmentCheckWrite(seg: i32, offset: u64, size: i32): i32 {
  const attr = attributes(seg);
  const isWritable = (attr & ATTR_CODE) == 0x10 && (attr & ATTR_READ_WRITE) != 0;
  if (isWritable && isWithinSegment(seg, offset, size)) return 0;
  return raiseError(seg == SEG_SS ? SS : GP, 0);
}
