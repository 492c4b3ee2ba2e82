/** Which breakpoints of DR0-DR3 an access meets. SDM Vol. 3B, "Debug Control Register (DR7)". */
import { CPU_BASE, DR, PENDING_DEBUG } from '../../src/x86/state';
import { hasCr4 } from './cpu';

const CR4_DE: u64 = 8;

export function dr(n: i32): u64 {
  return load<u64>(CPU_BASE + DR + (n << 3));
}

/** Length in bytes from DR7's LEN field: 1, 2, 8, 4. */
function lengthOf(field: u32): u64 {
  return field == 0 ? 1 : field == 1 ? 2 : field == 2 ? 8 : 4;
}

/**
 * B0-B3 of the breakpoints that an access of `size` bytes at `address` meets. `kinds` is a set of R/W values:
 * bit 0 execution, bit 1 writes, bit 2 I/O, bit 3 reads and writes. Addresses are aligned to the length.
 */
export function matchBreakpoints(address: u64, size: u64, kinds: u32): u32 {
  const dr7 = dr(7) as u32;
  let hits: u32 = 0;
  for (let n: u32 = 0; n < 4; n++) {
    if (((dr7 >> (n * 2)) & 3) == 0) continue;
    const control = dr7 >> (16 + n * 4);
    if (((kinds >> (control & 3)) & 1) == 0) continue;
    const length = lengthOf((control >> 2) & 3);
    const first = dr(n as i32) & ~(length - 1);
    if (address < first + length && first < address + size) hits |= 1 << n;
  }
  return hits;
}

/** A data access under KEY_DATA_BREAKPOINT: remembered until `debugTrap`. */
export function matchDataBreakpoint(gva: u64, size: i32, isWrite: i32): void {
  const hits = matchBreakpoints(gva, size as u64, isWrite != 0 ? 10 : 8);
  if (hits != 0) store<u32>(CPU_BASE + PENDING_DEBUG, load<u32>(CPU_BASE + PENDING_DEBUG) | hits);
}

export function matchIoBreakpoint(port: i32, size: i32): void {
  if (!hasCr4(CR4_DE)) return;
  const hits = matchBreakpoints(port as u64, size as u64, 4);
  if (hits != 0) store<u32>(CPU_BASE + PENDING_DEBUG, load<u32>(CPU_BASE + PENDING_DEBUG) | hits);
}
