/**
 * INS and OUTS, with and without REP. Intel SDM Vol. 2, "INS", "OUTS". Each element asks the machine once; the answers
 * are forgotten when its iteration has completed.
 */
import { CPU_BASE, EXIT_PIO_IN, EXIT_PIO_OUT, GPR, SEG_ES } from '../../src/x86/state';
import { probeWrite, readLinear, writeLinear } from '../mmu/access';
import { status } from '../system/cpu';
import { answer, request } from '../system/exit';
import { checkIoPermission } from '../system/io';
import {
  advance,
  begin,
  check,
  checkWrite,
  completed,
  get,
  linearOf,
  mmu,
  RCX_OFFSET,
  RDI_OFFSET,
  RSI_OFFSET,
  set,
} from './cursor';

const RDX_OFFSET: usize = CPU_BASE + GPR + 16;

/** `repeat`: count in rCX, else one element. */
export function stringIn(size: i32, addressSize: i32, repeat: i32): i32 {
  begin(size, addressSize);
  let count: u64 = repeat != 0 ? get(RCX_OFFSET) : 1;
  if (count == 0) return 0;
  const port = load<u16>(RDX_OFFSET) as i32;
  const refused = checkIoPermission(port, size);
  if (refused != 0) return refused;
  while (count != 0) {
    const target = get(RDI_OFFSET);
    if (checkWrite(SEG_ES, target) != 0) return status();
    const gva = linearOf(SEG_ES, target);
    // Reading a port may have effects: memory must take the value for certain.
    probeWrite(gva, size, mmu);
    if (status() != 0) return status();
    if (request(EXIT_PIO_IN, port as u64, size, 0) == 0) return status();
    writeLinear(gva, answer(), size, mmu);
    if (status() != 0) return status();
    count -= 1;
    advance(RDI_OFFSET, 1);
    if (repeat != 0) set(RCX_OFFSET, count);
    const stop = completed(0, count);
    if (stop != 0) return stop;
  }
  return 0;
}

export function stringOut(size: i32, addressSize: i32, seg: i32, repeat: i32): i32 {
  begin(size, addressSize);
  let count: u64 = repeat != 0 ? get(RCX_OFFSET) : 1;
  if (count == 0) return 0;
  const port = load<u16>(RDX_OFFSET) as i32;
  const refused = checkIoPermission(port, size);
  if (refused != 0) return refused;
  while (count != 0) {
    const source = get(RSI_OFFSET);
    if (check(seg, source) != 0) return status();
    const value = readLinear(linearOf(seg, source), size, mmu);
    if (status() != 0) return status();
    if (request(EXIT_PIO_OUT, port as u64, size, value) == 0) return status();
    count -= 1;
    advance(RSI_OFFSET, 1);
    if (repeat != 0) set(RCX_OFFSET, count);
    const stop = completed(0, count);
    if (stop != 0) return stop;
  }
  return 0;
}
