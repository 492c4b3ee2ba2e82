/** Port accesses: privilege, and the machine's answer. SDM Vol. 1, "I/O Protection Mechanism". */
import {
  BLOCK_KEY,
  CLOCK_BUDGET,
  CLOCK_UNREAD,
  CPU_BASE,
  EXIT_PIO_IN,
  EXIT_PIO_OUT,
  KEY_DATA_BREAKPOINT,
  LAST_IN,
  SEG_TR,
  STATUS_EXIT,
} from '../../src/x86/state';
import { readLinear } from '../mmu/access';
import { attributes, baseOf, cpl, iopl, isProtected, isVm86, limitOf, status } from './cpu';
import { matchIoBreakpoint } from './breakpoint';
import { linear } from './descriptor';
import { portRead, portWrite } from './env';
import { answer, isDirect, request } from './exit';
import { mmuIndexImplicit } from './key';
import { raiseGp0 } from './raise';

/** Offset of the 16-bit I/O map base in a 32- or 64-bit TSS. */
const MAP_BASE: u32 = 102;

/** #GP(0) unless `size` bytes at `port` may be accessed at this privilege. */
export function checkIoPermission(port: i32, size: i32): i32 {
  if (!isProtected() || (cpl() <= iopl() && !isVm86())) return 0;
  const limit = limitOf(SEG_TR);
  if ((attributes(SEG_TR) & 0x1009d) != 0x89 || limit < MAP_BASE + 1) return raiseGp0();
  const base = baseOf(SEG_TR);
  const map = readLinear(linear(base + (MAP_BASE as u64)), 2, mmuIndexImplicit()) as u32;
  if (status() != 0) return status();
  // Two bytes are always read, so that any four ports are covered; both must lie within the limit.
  const offset = map + (((port & 0xffff) as u32) >> 3);
  if (offset + 1 > limit) return raiseGp0();
  const bits = readLinear(linear(base + (offset as u64)), 2, mmuIndexImplicit()) as u32;
  if (status() != 0) return status();
  const mask = ((1 as u32) << size) - 1;
  return (bits >> (port & 7)) & mask ? raiseGp0() : 0;
}

/** IN: 0 (then LAST_IN is the value), or a status. */
export function portIn(port: i32, size: i32): i32 {
  const refused = checkIoPermission(port, size);
  if (refused != 0) return refused;
  const number = port & 0xffff;
  const value = isDirect() ? portRead(number, size) : -1;
  if (value >= 0) {
    store<u32>(CPU_BASE + LAST_IN, value as u32);
    // It may have told the time: the TSC must not tell an earlier one.
    store<i32>(CPU_BASE + CLOCK_BUDGET, CLOCK_UNREAD);
  } else {
    if (request(EXIT_PIO_IN, number as u64, size, 0) == 0) return STATUS_EXIT;
    const bits: u64 = (size as u64) << 3;
    store<u32>(CPU_BASE + LAST_IN, (answer() & (((1 as u64) << bits) - 1)) as u32);
  }
  noteBreakpoint(port, size);
  return 0;
}

/** OUT: 0, or a status. */
export function portOut(port: i32, size: i32, value: u32): i32 {
  const refused = checkIoPermission(port, size);
  if (refused != 0) return refused;
  const number = port & 0xffff;
  const bits: u64 = (size as u64) << 3;
  const masked = (value as u64) & (((1 as u64) << bits) - 1);
  if (!isDirect() || portWrite(number, size, masked as u32) == 0) {
    if (request(EXIT_PIO_OUT, number as u64, size, masked) == 0) return STATUS_EXIT;
  }
  noteBreakpoint(port, size);
  return 0;
}

function noteBreakpoint(port: i32, size: i32): void {
  if (load<i32>(CPU_BASE + BLOCK_KEY) & KEY_DATA_BREAKPOINT) matchIoBreakpoint(port & 0xffff, size);
}
