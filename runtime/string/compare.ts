/**
 * REPE/REPNE CMPS and SCAS. Intel SDM Vol. 2, "CMPS", "SCAS". Flags are written once, by the comparison that ends the
 * instruction: "If a fault occurs … the EFLAGS value is restored to the state prior to the execution".
 */
import { CC_DST, CC_OP, CC_SRC, CC_SUB, CPU_BASE, GPR, SEG_ES } from '../../src/x86/state';
import { hostForRead, readLinear } from '../mmu/access';
import { status } from '../system/cpu';
import {
  advance,
  backward,
  begin,
  check,
  completed,
  elementSize,
  get,
  inPage,
  linearOf,
  mmu,
  oneByOne,
  RCX_OFFSET,
  RDI_OFFSET,
  RSI_OFFSET,
  set,
} from './cursor';
import { readElement } from './move';

let first: u64 = 0;
let second: u64 = 0;

function elementMask(): u64 {
  return u64.MAX_VALUE >> (64 - ((elementSize as u64) << 3));
}

/** Flags of first - second. */
function setComparison(): void {
  const width = ctz(elementSize);
  store<i32>(CPU_BASE + CC_OP, CC_SUB * 4 + width);
  store<u64>(CPU_BASE + CC_DST, (first - second) & elementMask());
  store<u64>(CPU_BASE + CC_SRC, second);
}

/** Compares up to `count` elements of RAM; gives how many were compared, the last of them in `first` and `second`. */
function compareRun(x: usize, y: usize, count: i32, whileEqual: bool): i32 {
  const size = elementSize;
  const step: isize = backward ? -size : size;
  for (let i = 0; i < count; i++) {
    first = readElement(x + i * step, size);
    second = readElement(y + i * step, size);
    if ((first == second) != whileEqual) return i + 1;
  }
  return count;
}

/** `whileEqual`: REPE (1) or REPNE (0). Compares [rSI] with [rDI]. */
export function repCmps(size: i32, addressSize: i32, seg: i32, whileEqual: i32): i32 {
  begin(size, addressSize);
  const wanted = whileEqual != 0;
  let count = get(RCX_OFFSET);
  if (count == 0) return 0;
  while (true) {
    const source = get(RSI_OFFSET);
    const target = get(RDI_OFFSET);
    let n = oneByOne ? 0 : inPage(seg, source, inPage(SEG_ES, target, count));
    if (n != 0) {
      const x = hostForRead(linearOf(seg, source), mmu);
      if (status() != 0) return status();
      const y = hostForRead(linearOf(SEG_ES, target), mmu);
      if (status() != 0) return status();
      if (x == 0 || y == 0) n = 0;
      else n = compareRun(x, y, n as i32, wanted) as u64;
    }
    let bytes = (n as i32) * size;
    if (n == 0) {
      if (check(seg, source) != 0 || check(SEG_ES, target) != 0) return status();
      first = readLinear(linearOf(seg, source), size, mmu);
      if (status() != 0) return status();
      second = readLinear(linearOf(SEG_ES, target), size, mmu);
      if (status() != 0) return status();
      n = 1;
      bytes = 0;
    }
    count -= n;
    advance(RSI_OFFSET, n);
    advance(RDI_OFFSET, n);
    set(RCX_OFFSET, count);
    if (count == 0 || (first == second) != wanted) break;
    const stop = completed(bytes, count);
    if (stop != 0) return stop;
  }
  completed(0, 0);
  setComparison();
  return 0;
}

/** Compares the accumulator with [rDI]. */
export function repScas(size: i32, addressSize: i32, whileEqual: i32): i32 {
  begin(size, addressSize);
  const wanted = whileEqual != 0;
  let count = get(RCX_OFFSET);
  if (count == 0) return 0;
  const accumulator = load<u64>(CPU_BASE + GPR) & elementMask();
  while (true) {
    const target = get(RDI_OFFSET);
    let n = oneByOne ? 0 : inPage(SEG_ES, target, count);
    if (n != 0) {
      const at = hostForRead(linearOf(SEG_ES, target), mmu);
      if (status() != 0) return status();
      n = at == 0 ? 0 : (scanRun(at, accumulator, n as i32, wanted) as u64);
    }
    let bytes = (n as i32) * size;
    if (n == 0) {
      if (check(SEG_ES, target) != 0) return status();
      second = readLinear(linearOf(SEG_ES, target), size, mmu);
      if (status() != 0) return status();
      n = 1;
      bytes = 0;
    }
    count -= n;
    advance(RDI_OFFSET, n);
    set(RCX_OFFSET, count);
    if (count == 0 || (accumulator == second) != wanted) break;
    const stop = completed(bytes, count);
    if (stop != 0) return stop;
  }
  completed(0, 0);
  first = accumulator;
  setComparison();
  return 0;
}

/** As `compareRun`, of a constant with memory. */
function scanRun(at: usize, value: u64, count: i32, whileEqual: bool): i32 {
  const size = elementSize;
  const step: isize = backward ? -size : size;
  for (let i = 0; i < count; i++) {
    second = readElement(at + i * step, size);
    if ((value == second) != whileEqual) return i + 1;
  }
  return count;
}
