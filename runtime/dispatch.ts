// Finding the next block: RIP -> jump cache -> block header, believed only if the fetch view of the TLB still maps the
// page the block was decoded from. Record layout: src/engine/dbt/record.ts.
import { HEADER_KEY, HEADER_LENGTH, HEADER_PAGE, HEADER_SECOND_PAGE } from '../src/engine/dbt/record';
import {
  BLOCK_KEY,
  BUDGET,
  COUNT_LOOKUP,
  COUNT_LOOKUP_MISS,
  CPU_BASE,
  EXIT_REQUEST,
  INTERRUPT_SHADOW,
  INTERRUPT_WANTED,
  JUMP_CACHE,
  JUMP_CACHE_ENTRIES,
  KEY_CODE64,
  KEY_CODE_BREAKPOINT,
  KEY_CPL_MASK,
  KEY_DATA_BREAKPOINT,
  KEY_FLAT,
  KEY_TRAP,
  LINKED_NOT_GLOBAL,
  LINK_GENERATION_SUPERVISOR,
  LINK_GENERATION_USER,
  LOG_COUNT,
  LOG_CURSOR,
  NOT_CANONICAL,
  RFLAGS,
  RIP,
  RIP_BASE,
  SEGMENT,
  SEGMENT_LIMIT,
  SEGMENT_STRIDE,
  SEG_CS,
  STATUS,
  STATUS_BUDGET,
  STATUS_FAULT,
  STATUS_MISS,
  STATUS_SHUTDOWN,
  STATUS_STEPPED,
  STEP,
  TLB_FLAG_GLOBAL,
} from '../src/x86/state';
import { fetchHost } from './mmu/access';
import { fetchView, markLinked, slotOf } from './mmu/tlb';
import { deliverException } from './system/exception';

const IF: u64 = 0x200;
const KEY_TRACED: i32 = KEY_TRAP | KEY_CODE_BREAKPOINT | KEY_DATA_BREAKPOINT;

function stop(status: i32): usize {
  store<i32>(CPU_BASE + STATUS, status);
  return 0;
}

// Host page of a linear address in the fetch view, 0 if it is not there.
// @ts-ignore: decorator
@inline function fetchPage(view: usize, linear: u64): u32 {
  const entry = slotOf(view, linear);
  return linear - load<u64>(entry) < 4096 ? load<u32>(entry + 8) : 0;
}

function linkPages(link: usize, header: usize, linear: u64, fetchEntry: usize, key: i32): void {
  const user = (key & KEY_CPL_MASK) == KEY_CPL_MASK;
  if (!user && (load<u32>(fetchEntry + 12) & TLB_FLAG_GLOBAL) == 0) store<u32>(CPU_BASE + LINKED_NOT_GLOBAL, 1);
  markLinked(linear, user);
  store<u32>(link, <u32>header);
  store<u32>(link + 4, load<u32>(CPU_BASE + (user ? LINK_GENERATION_USER : LINK_GENERATION_SUPERVISOR)));
}

export function linearRip(): u64 {
  const rip = load<u64>(CPU_BASE + RIP);
  if ((load<i32>(CPU_BASE + BLOCK_KEY) & KEY_CODE64) != 0) return rip;
  return (rip + load<u64>(CPU_BASE + SEGMENT + SEG_CS * SEGMENT_STRIDE)) & 0xffffffff;
}

/**
 * Bytes from RIP to the end of the code segment: an instruction that needs more raises #GP(0). SDM Vol. 3A, "Limit Checking".
 */
export function codeRoom(): u32 {
  if ((load<i32>(CPU_BASE + BLOCK_KEY) & (KEY_CODE64 | KEY_FLAT)) != 0) return u32.MAX_VALUE;
  const limit = <u64>load<u32>(CPU_BASE + SEGMENT + SEG_CS * SEGMENT_STRIDE + SEGMENT_LIMIT);
  const rip = load<u64>(CPU_BASE + RIP);
  return rip > limit ? 0 : <u32>min(limit - rip + 1, u32.MAX_VALUE);
}

// First entry of the set.
// @ts-ignore: decorator
@inline function jumpCacheSet(linear: u64): usize {
  const hash = <u32>((linear * 0x9e3779b97f4a7c15) >> 40);
  return JUMP_CACHE + ((<usize>hash & (JUMP_CACHE_ENTRIES / 2 - 1)) << 5);
}

// Header the jump cache holds for an address in the present mode, 0 if none.
function cached(linear: u64, key: i32): usize {
  const set = jumpCacheSet(linear);
  const first = <usize>load<u32>(set + 8);
  if (load<u64>(set) == linear && first != 0 && load<i32>(first + HEADER_KEY) == key) return first;
  const second = <usize>load<u32>(set + 24);
  if (load<u64>(set + 16) == linear && second != 0 && load<i32>(second + HEADER_KEY) == key) return second;
  return 0;
}

/** `lookup` where nearly all of them end: RIP is a linear address, the newer entry of the jump cache, a page in the TLB. */
// @ts-ignore: decorator
@inline function lookupQuick(slot: usize, key: i32): usize {
  const rip = load<u64>(CPU_BASE + RIP);
  const set = jumpCacheSet(rip);
  const header = <usize>load<u32>(set + 8);
  if (load<u64>(set) != rip || header == 0) return 0;
  if (load<i32>(header + HEADER_KEY) != key || load<u32>(header + HEADER_SECOND_PAGE) != 0) return 0;
  const entry = slotOf(fetchView((key & KEY_CPL_MASK) == KEY_CPL_MASK), rip);
  const base = rip & ~0xfff;
  if (load<u64>(entry) != base || load<u32>(entry + 8) != load<u32>(header + HEADER_PAGE)) return 0;
  if (slot != 0) {
    if ((slot & 1) != 0) {
      const link = slot & ~3;
      if ((slot & 2) != 0) store<u64>(link + 8, rip);
      linkPages(link, header, rip, entry, key);
    } else if (base == load<u64>(CPU_BASE + RIP_BASE)) store<u32>(slot, <u32>header);
  }
  store<u64>(CPU_BASE + RIP_BASE, base);
  return header;
}

/**
 * Header of the block at RIP, or 0 with STATUS saying why. `slot` is the link that led here (0: none). A plain link is
 * one word, filled in when the block lies in the page the jump came from. With bit 0 set it is a link between pages,
 * header and generation, filled in for any page; with bit 1 set as well, that of an indirect jump, which holds the RIP it is
 * good for in the next eight bytes.
 */
export function lookup(slot: usize): usize {
  if (load<i32>(CPU_BASE + STEP) != 0) return stop(STATUS_STEPPED);
  store<u64>(CPU_BASE + COUNT_LOOKUP, load<u64>(CPU_BASE + COUNT_LOOKUP) + 1);
  const key = load<i32>(CPU_BASE + BLOCK_KEY);
  if ((key & KEY_TRACED) == 0 && (key & (KEY_CODE64 | KEY_FLAT)) != 0) {
    const header = lookupQuick(slot, key);
    if (header != 0) return header;
  }
  const linear = linearRip();
  // What is traced goes through the run loop, one instruction at a time.
  if ((key & KEY_TRACED) != 0) return stop(STATUS_BUDGET);
  const header = cached(linear, key);
  if (header != 0 && codeRoom() >= <u32>load<u16>(header + HEADER_LENGTH)) {
    const view = fetchView((key & KEY_CPL_MASK) == KEY_CPL_MASK);
    let page = fetchPage(view, linear);
    if (page == 0) {
      // The mapping fell out of the TLB: a walk brings it back, or faults.
      const host = fetchHost(linear);
      if (host == 0) return 0;
      page = host & ~0xfff;
    }
    if (page == load<u32>(header + HEADER_PAGE)) {
      const second = load<u32>(header + HEADER_SECOND_PAGE);
      if (second == 0 || fetchPage(view, (linear & ~0xfff) + 4096) == second) {
        const base = load<u64>(CPU_BASE + RIP) - (linear & 0xfff);
        if (slot != 0 && second == 0) {
          if ((slot & 1) != 0) {
            const link = slot & ~3;
            if ((slot & 2) != 0) store<u64>(link + 8, load<u64>(CPU_BASE + RIP));
            linkPages(link, header, linear, slotOf(view, linear), key);
          } else if (base == load<u64>(CPU_BASE + RIP_BASE)) store<u32>(slot, <u32>header);
        }
        store<u64>(CPU_BASE + RIP_BASE, base);
        return header;
      }
    }
  }
  store<u64>(CPU_BASE + COUNT_LOOKUP_MISS, load<u64>(CPU_BASE + COUNT_LOOKUP_MISS) + 1);
  return stop(STATUS_MISS);
}

/** The same after an instruction that may have opened the interrupt window. */
export function lookupChecked(): usize {
  if (load<i32>(CPU_BASE + STEP) != 0) return stop(STATUS_STEPPED);
  if (load<i32>(CPU_BASE + EXIT_REQUEST) != 0 || load<i32>(CPU_BASE + BUDGET) < 0) return stop(STATUS_BUDGET);
  if (load<i32>(CPU_BASE + INTERRUPT_WANTED) != 0 && (load<u64>(CPU_BASE + RFLAGS) & IF) != 0)
    return stop(STATUS_BUDGET);
  return lookup(0);
}

/** Header of the block at RIP, or of what was there a while ago; 0 where none is remembered. */
export function remembered(): usize {
  return cached(linearRip(), load<i32>(CPU_BASE + BLOCK_KEY));
}

/**
 * Compiled code has returned STATUS_FAULT: delivers the exception and finds its handler's header, or 0 with STATUS saying
 * why. STATUS_FAULT: the run loop delivers it, because it must look at the instruction, step, or answer first.
 */
export function deliverFault(): usize {
  if (load<i32>(CPU_BASE + STEP) != 0 || load<u64>(CPU_BASE + NOT_CANONICAL) != 0) return stop(STATUS_FAULT);
  store<i32>(CPU_BASE + LOG_COUNT, 0);
  store<i32>(CPU_BASE + LOG_CURSOR, 0);
  store<i32>(CPU_BASE + INTERRUPT_SHADOW, 0);
  // A handler that cannot be fetched must not fault for ever.
  store<i32>(CPU_BASE + BUDGET, load<i32>(CPU_BASE + BUDGET) - 1);
  const status = deliverException();
  if (status == STATUS_MISS) return lookupChecked();
  return stop(status == STATUS_SHUTDOWN ? status : STATUS_FAULT);
}

/** Control arrives at RIP in the block of `header`: remembers it in the jump cache and sets RIP_BASE. */
export function arrive(header: u32): void {
  const linear = linearRip();
  const set = jumpCacheSet(linear);
  if (
    load<u64>(set) != linear ||
    load<i32>(<usize>load<u32>(set + 8) + HEADER_KEY) != load<i32>(<usize>header + HEADER_KEY)
  ) {
    store<u64>(set + 16, load<u64>(set));
    store<u32>(set + 24, load<u32>(set + 8));
  }
  store<u64>(set, linear);
  store<u32>(set + 8, header);
  store<u64>(CPU_BASE + RIP_BASE, load<u64>(CPU_BASE + RIP) - (linear & 0xfff));
}

/** Host address of the byte at RIP (see fetchHost), and of the first byte of the page after it. */
export function fetchHere(): u32 {
  return fetchHost(linearRip());
}
export function fetchNextPage(): u32 {
  return fetchHost((linearRip() & ~0xfff) + 4096);
}
