/** REP MOVS, REP STOS, REP LODS. Intel SDM Vol. 2, "MOVS", "STOS", "LODS". */
import { CPU_BASE, GPR, SEG_ES } from '../../src/x86/state';
import { hostForRead, hostForWrite, knownForRead, knownForWrite, readLinear, writeLinear } from '../mmu/access';
import { status } from '../system/cpu';
import {
  advance,
  backward,
  begin,
  check,
  checkWrite,
  completed,
  elementSize,
  get,
  inPage,
  inPageForWrite,
  isPlain,
  linearOf,
  lowest,
  mmu,
  oneByOne,
  RCX_OFFSET,
  RDI_OFFSET,
  RSI_OFFSET,
  set,
} from './cursor';

const RAX_OFFSET: usize = CPU_BASE + GPR;
const PAGE: u64 = 4096;

export function readElement(host: usize, size: i32): u64 {
  if (size == 1) return load<u8>(host) as u64;
  if (size == 2) return load<u16>(host) as u64;
  if (size == 4) return load<u32>(host) as u64;
  return load<u64>(host);
}

export function writeElement(host: usize, value: u64, size: i32): void {
  if (size == 1) store<u8>(host, value as u8);
  else if (size == 2) store<u16>(host, value as u16);
  else if (size == 4) store<u32>(host, value as u32);
  else store<u64>(host, value);
}

/** `count` elements between two pages of RAM, each at its address; overlaps repeat, as element by element. */
function copy(to: usize, from: usize, count: i32): void {
  const size = elementSize;
  const bytes: usize = count * size;
  if (!backward) {
    if (to <= from || to >= from + bytes) {
      memory.copy(to, from, bytes);
      return;
    }
    for (let i: usize = 0; i < bytes; i += size) writeElement(to + i, readElement(from + i, size), size);
    return;
  }
  // `to` and `from` are the highest elements: the ranges reach down.
  const down = bytes - size;
  if (to >= from || from >= to + bytes) {
    memory.copy(to - down, from - down, bytes);
    return;
  }
  for (let i: usize = 0; i < bytes; i += size) writeElement(to - i, readElement(from - i, size), size);
}

/** All at once, where both ranges lie in pages that the TLB knows: most are short. */
function moveAtOnce(seg: i32, count: u64): bool {
  if (!isPlain(seg) || count - 1 >= PAGE / (elementSize as u64)) return false;
  const bytes = (count as i32) * elementSize;
  const from = knownForRead(lowest(get(RSI_OFFSET), bytes), bytes, mmu);
  const to = knownForWrite(lowest(get(RDI_OFFSET), bytes), bytes, mmu);
  if (from == 0 || to == 0) return false;
  const last: usize = backward ? bytes - elementSize : 0;
  copy(to + last, from + last, count as i32);
  advance(RSI_OFFSET, count);
  advance(RDI_OFFSET, count);
  set(RCX_OFFSET, 0);
  return true;
}

/** `seg` is the source's segment. 0 when done, else a status with RIP at the instruction. */
export function repMovs(size: i32, addressSize: i32, seg: i32): i32 {
  begin(size, addressSize);
  let count = get(RCX_OFFSET);
  if (moveAtOnce(seg, count)) return 0;
  while (count != 0) {
    const source = get(RSI_OFFSET);
    const target = get(RDI_OFFSET);
    let n = oneByOne ? 0 : inPage(seg, source, inPageForWrite(SEG_ES, target, count));
    if (n != 0) {
      const from = hostForRead(linearOf(seg, source), mmu);
      if (status() != 0) return status();
      const to = hostForWrite(linearOf(SEG_ES, target), mmu);
      if (status() != 0) return status();
      if (from == 0 || to == 0) n = 0;
      else copy(to, from, n as i32);
    }
    let bytes = (n as i32) * size;
    if (n == 0) {
      const failed = moveElement(seg, source, target);
      if (failed != 0) return failed;
      n = 1;
      bytes = 0;
    }
    count -= n;
    advance(RSI_OFFSET, n);
    advance(RDI_OFFSET, n);
    set(RCX_OFFSET, count);
    const stop = completed(bytes, count);
    if (stop != 0) return stop;
  }
  return 0;
}

function moveElement(seg: i32, source: u64, target: u64): i32 {
  if (check(seg, source) != 0 || checkWrite(SEG_ES, target) != 0) return status();
  const value = readLinear(linearOf(seg, source), elementSize, mmu);
  if (status() != 0) return status();
  writeLinear(linearOf(SEG_ES, target), value, elementSize, mmu);
  return status();
}

/** `count` elements of `value`, up or down from `to`. */
function fillElements(to: usize, value: u64, count: i32): void {
  const size = elementSize;
  const bytes: usize = count * size;
  const low = backward ? to - bytes + size : to;
  const byte = value & 0xff;
  const repeated = byte * 0x0101010101010101;
  const unused: u64 = 64 - ((size as u64) << 3);
  if ((repeated ^ value) << unused == 0) {
    memory.fill(low, byte as u8, bytes);
    return;
  }
  for (let i: usize = 0; i < bytes; i += size) writeElement(low + i, value, size);
}

function fillAtOnce(value: u64, count: u64): bool {
  if (!isPlain(SEG_ES) || count - 1 >= PAGE / (elementSize as u64)) return false;
  const bytes = (count as i32) * elementSize;
  const to = knownForWrite(lowest(get(RDI_OFFSET), bytes), bytes, mmu);
  if (to == 0) return false;
  const last: usize = backward ? bytes - elementSize : 0;
  fillElements(to + last, value, count as i32);
  advance(RDI_OFFSET, count);
  set(RCX_OFFSET, 0);
  return true;
}

export function repStos(size: i32, addressSize: i32): i32 {
  begin(size, addressSize);
  const value = load<u64>(RAX_OFFSET);
  let count = get(RCX_OFFSET);
  if (fillAtOnce(value, count)) return 0;
  while (count != 0) {
    const target = get(RDI_OFFSET);
    let n = oneByOne ? 0 : inPageForWrite(SEG_ES, target, count);
    if (n != 0) {
      const to = hostForWrite(linearOf(SEG_ES, target), mmu);
      if (status() != 0) return status();
      if (to == 0) n = 0;
      else fillElements(to, value, n as i32);
    }
    let bytes = (n as i32) * size;
    if (n == 0) {
      if (checkWrite(SEG_ES, target) != 0) return status();
      writeLinear(linearOf(SEG_ES, target), value, size, mmu);
      if (status() != 0) return status();
      n = 1;
      bytes = 0;
    }
    count -= n;
    advance(RDI_OFFSET, n);
    set(RCX_OFFSET, count);
    const stop = completed(bytes, count);
    if (stop != 0) return stop;
  }
  return 0;
}

/** Every element is read, since each may fault or be a device; the last stays in the accumulator. */
export function repLods(size: i32, addressSize: i32, seg: i32): i32 {
  begin(size, addressSize);
  let count = get(RCX_OFFSET);
  while (count != 0) {
    const source = get(RSI_OFFSET);
    if (check(seg, source) != 0) return status();
    const value = readLinear(linearOf(seg, source), size, mmu);
    if (status() != 0) return status();
    if (size == 4) store<u64>(RAX_OFFSET, value);
    else writeElement(RAX_OFFSET, value, size);
    count -= 1;
    advance(RSI_OFFSET, 1);
    set(RCX_OFFSET, count);
    const stop = completed(0, count);
    if (stop != 0) return stop;
  }
  return 0;
}
