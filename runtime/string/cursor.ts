/**
 * What all string instructions share: count and index registers at the address size, addresses, how much of a page can
 * be done in one go, and when to stop. Intel SDM Vol. 2, "REP/REPE/REPZ/REPNE/REPNZ".
 *
 * Registers are written after every completed part, so that a fault or an interruption finds the exact restart state:
 * RIP at the instruction, rCX and the indexes at the next element.
 */
import {
  BLOCK_KEY,
  CLOCK_BUDGET,
  CLOCK_UNREAD,
  CPU_BASE,
  EXIT_REQUEST,
  GPR,
  KEY_CODE64,
  KEY_ALIGN,
  KEY_DATA_BREAKPOINT,
  KEY_FLAT,
  KEY_MMU_MASK,
  KEY_MMU_SHIFT,
  KEY_TRAP,
  LOG_COUNT,
  LOG_CURSOR,
  RFLAGS,
  SEG_FS,
  SEGMENT,
  SEGMENT_BASE,
  SEGMENT_STRIDE,
  STATUS_BUDGET,
  LONG_WORK,
} from '../../src/x86/state';
import { isWithinSegment, isWritableSegment, segmentCheck, segmentCheckWrite } from '../integer/segment-check';
import { status } from '../system/cpu';
import { raiseDebug } from '../system/raise';

const RFLAGS_DF: u32 = 0x400;
/** DR6.BS. */
const SINGLE_STEP: u32 = 0x4000;
/** Bytes one call works through before it lets the run loop look around. */
const CHUNK: i32 = 0x10000;
/** What an element through the slow path counts as. */
const SLOW_COST: i32 = 64;

export const RCX_OFFSET: usize = CPU_BASE + GPR + 8;
export const RSI_OFFSET: usize = CPU_BASE + GPR + 48;
export const RDI_OFFSET: usize = CPU_BASE + GPR + 56;

// One string instruction runs at a time: its shape.
let addressSize: i32 = 0;
let key: i32 = 0;
let left: i32 = 0;
export let elementSize: i32 = 0;
export let mmu: i32 = 0;
export let backward: bool = false;
/** One element at a time: single step, or data breakpoints that the slow path looks for. */
export let oneByOne: bool = false;

export function begin(size: i32, addressBytes: i32): void {
  addressSize = addressBytes;
  elementSize = size;
  key = load<i32>(CPU_BASE + BLOCK_KEY);
  mmu = (key & KEY_MMU_MASK) >> KEY_MMU_SHIFT;
  backward = (load<u32>(CPU_BASE + RFLAGS) & RFLAGS_DF) != 0;
  oneByOne = (key & (KEY_TRAP | KEY_DATA_BREAKPOINT | KEY_ALIGN)) != 0;
  left = CHUNK;
  // It counts as one instruction: who estimates time by instructions is told that it is more.
  store<i32>(CPU_BASE + CLOCK_BUDGET, CLOCK_UNREAD);
  store<i32>(CPU_BASE + LONG_WORK, load<i32>(CPU_BASE + LONG_WORK) + 100);
}

function mask(): u64 {
  return addressSize == 8 ? u64.MAX_VALUE : addressSize == 4 ? 0xffffffff : 0xffff;
}

/** A count or index register at the address size. */
export function get(register: usize): u64 {
  return load<u64>(register) & mask();
}

export function set(register: usize, value: u64): void {
  if (addressSize == 2) store<u16>(register, value as u16);
  else store<u64>(register, value & mask());
}

/** Moves an index past `count` elements. */
export function advance(register: usize, count: u64): void {
  const bytes = count * (elementSize as u64);
  set(register, backward ? load<u64>(register) - bytes : load<u64>(register) + bytes);
}

/** Linear address of `offset` in a segment, without the limit check. */
export function linearOf(segment: i32, offset: u64): u64 {
  if ((key & KEY_CODE64) != 0 && segment < SEG_FS) return offset;
  const at = load<u64>(CPU_BASE + SEGMENT + segment * SEGMENT_STRIDE + SEGMENT_BASE) + offset;
  return (key & KEY_CODE64) != 0 ? at : at & 0xffffffff;
}

function hasLimit(segment: i32): bool {
  return (key & KEY_CODE64) == 0 && ((key & KEY_FLAT) == 0 || segment >= SEG_FS);
}

/** Offsets in the segment are linear addresses, and none is looked at by itself. */
export function isPlain(segment: i32): bool {
  return !oneByOne && (key & (KEY_CODE64 | KEY_FLAT)) != 0 && segment < SEG_FS;
}
/** Lowest address of `bytes` bytes of which the first element done is at `offset`. */
export function lowest(offset: u64, bytes: i32): u64 {
  return backward ? offset - <u64>(bytes - elementSize) : offset;
}

/** 0, or the status of the fault that one element at `offset` raises by its segment. */
export function check(segment: i32, offset: u64): i32 {
  return hasLimit(segment) ? segmentCheck(segment, offset, elementSize) : 0;
}

/** The same for an element that is written. */
export function checkWrite(segment: i32, offset: u64): i32 {
  return hasLimit(segment) ? segmentCheckWrite(segment, offset, elementSize) : 0;
}

/** As `inPage`, for elements that are written. */
export function inPageForWrite(segment: i32, offset: u64, count: u64): u64 {
  return hasLimit(segment) && !isWritableSegment(segment) ? 0 : inPage(segment, offset, count);
}

/**
 * Of `count` elements from `offset` on, how many lie in one page, in the segment and before the offset wraps; 0 when
 * the first must take the slow path.
 */
export function inPage(segment: i32, offset: u64, count: u64): u64 {
  const size = elementSize as u64;
  const inside = linearOf(segment, offset) & 4095;
  if (inside + size > 4096) return 0;
  let n = backward ? inside / size + 1 : (4096 - inside) / size;
  // Bytes up to the end of the offsets, without overflow for 8-byte addresses.
  const room = backward ? offset : mask() - offset;
  if (room / size + 1 < n) n = room / size;
  if (count < n) n = count;
  if (hasLimit(segment)) {
    const bytes = n * size;
    const low = backward ? offset - bytes + size : offset;
    if (n == 0 || !isWithinSegment(segment, low, bytes as i32)) return 0;
  }
  return n;
}

/**
 * After a completed part of `bytes` bytes (0: one element by the slow path), with registers written and `remaining`
 * iterations to go: 0 to go on, else the status to return. The answers of the machine belong to that part: forgotten.
 */
export function completed(bytes: i32, remaining: u64): i32 {
  if (bytes == 0) {
    store<i32>(CPU_BASE + LOG_COUNT, 0);
    store<i32>(CPU_BASE + LOG_CURSOR, 0);
  }
  if (remaining == 0) return 0;
  // A single step stops after every iteration, with RIP still here.
  if ((key & KEY_TRAP) != 0) return raiseDebug(SINGLE_STEP);
  left -= bytes == 0 ? SLOW_COST : bytes;
  return left <= 0 || atomic.load<i32>(CPU_BASE + EXIT_REQUEST) != 0 ? STATUS_BUDGET : 0;
}

/** What a probe of the fast path left behind: a fault that the slow path would meet as well. */
export function probed(): i32 {
  return status();
}
