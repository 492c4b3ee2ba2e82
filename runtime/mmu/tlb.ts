// The software TLB: direct-mapped views for reads, writes (per MMU index) and fetches (per CPL class).
// Entry and hit rule: src/x86/state.ts, "TLBs".
import {
  COUNT_TLB_FLUSH,
  CPU_BASE,
  CR4,
  FETCH_TLB,
  FILL_LIST,
  FILL_LIST_CAPACITY,
  HUGE_CAPACITY,
  HUGE_LIST,
  LARGE_MANY,
  LARGE_MAP,
  LARGE_MAP_ENTRIES,
  LINK_GENERATION_SUPERVISOR,
  LINK_GENERATION_USER,
  LINKED_ASTRAY,
  LINKED_MAP,
  LINKED_MAP_SIZE,
  LINKED_NOT_GLOBAL,
  MMU_INDEXES,
  TLB,
  TLB_ENTRIES,
  TLB_FLAG_GLOBAL,
  TLB_SIZE,
  VICTIM_FREE,
  VICTIM_NEXT,
  VICTIMS,
  VICTIMS_OF_VIEW,
  VICTIMS_SIZE,
  VICTIMS_USED,
} from '../../src/x86/state';

const CR4_PAE: u64 = 0x20;

/** Number of arrays of TLB_SIZE bytes from TLB on: read and write view per index, two fetch views. */
const VIEWS: usize = MMU_INDEXES * 2 + 2;

// @ts-ignore: decorator
@inline export function slotOf(view: usize, gva: u64): usize {
  return view + ((<usize>(gva >> 12) & (TLB_ENTRIES - 1)) << 4);
}
// @ts-ignore: decorator
@inline export function readView(mmu: i32): usize {
  return TLB + <usize>mmu * (2 * TLB_SIZE);
}
// @ts-ignore: decorator
@inline export function writeView(mmu: i32): usize {
  return TLB + <usize>mmu * (2 * TLB_SIZE) + TLB_SIZE;
}
// @ts-ignore: decorator
@inline export function fetchView(user: bool): usize {
  return FETCH_TLB + (user ? TLB_SIZE : 0);
}

// The tag of an empty slot: a page that belongs neither into this slot nor into those beside it.
// @ts-ignore: decorator
@inline function clear(entry: usize): void {
  const slot = (entry >> 4) & (TLB_ENTRIES - 1);
  store<u64>(entry, ((slot + 1) & (TLB_ENTRIES - 1)) <= 2 ? 0x200000 : 0);
}
// Every slot of a view; all bytes are zero.
function clearView(view: usize): void {
  clear(view);
  clear(view + 16);
  clear(view + TLB_SIZE - 16);
}

// ---- entries that another page pushed out ----
// Two pages that are used by turns may share a slot, all the time that a kernel stays where it was loaded.
const DATA_VIEWS: usize = MMU_INDEXES * 2;

// @ts-ignore: decorator
@inline function numberOf(view: usize): usize {
  return (view - TLB) / TLB_SIZE;
}

function forgetVictims(): void {
  if (load<u32>(VICTIMS_USED) == 0) return;
  store<u32>(VICTIMS_USED, 0);
  const end: usize = VICTIMS + DATA_VIEWS * VICTIMS_SIZE;
  for (let at: usize = VICTIMS; at < end; at += 16) store<u64>(at, VICTIM_FREE);
}

function keepVictim(view: usize, entry: usize): void {
  const number = numberOf(view);
  if (number >= DATA_VIEWS) return;
  const next = VICTIM_NEXT + (number << 2);
  const n = <usize>load<u32>(next);
  store<u32>(next, <u32>((n + 1) & (VICTIMS_OF_VIEW - 1)));
  store<u32>(VICTIMS_USED, 1);
  v128.store(VICTIMS + number * VICTIMS_SIZE + (n << 4), v128.load(entry));
}

/** Brings the page of `gva` back into its slot of a read or write view, where it was pushed out: the slot, else 0. */
export function recall(view: usize, gva: u64): usize {
  const page = gva & ~0xfff;
  const first = VICTIMS + numberOf(view) * VICTIMS_SIZE;
  for (let at = first; at < first + VICTIMS_SIZE; at += 16) {
    if (load<u64>(at) != page) continue;
    const entry = slotOf(view, gva);
    const other = v128.load(entry);
    v128.store(entry, v128.load(at));
    if (isFilled(view, entry, <u64>v128.extract_lane<i64>(other, 0))) v128.store(at, other);
    else store<u64>(at, VICTIM_FREE);
    return entry;
  }
  return 0;
}
// @ts-ignore: decorator
@inline function isFilled(view: usize, entry: usize, tag: u64): bool {
  return slotOf(view, tag) == entry;
}

export function fill(view: usize, gva: u64, host: usize, global: bool, shift: u32): void {
  const entry = slotOf(view, gva);
  const before = load<u64>(entry);
  if (before != (gva & ~0xfff) && isFilled(view, entry, before)) keepVictim(view, entry);
  store<u64>(entry, gva & ~0xfff);
  store<u32>(entry + 8, <u32>(host & ~0xfff));
  store<u32>(entry + 12, global ? TLB_FLAG_GLOBAL : 0);
  if (!global) {
    const count = load<u32>(FILL_LIST);
    if (<i32>count < FILL_LIST_CAPACITY) store<u32>(FILL_LIST + 4 + ((<usize>count) << 2), <u32>entry);
    store<u32>(FILL_LIST, count + 1);
  }
  if (shift == 30) noteHuge(gva);
  else if (shift > 12) noteLarge(gva);
}

// log2 of what a large page of the second level covers: 4 MiB under 32-bit paging. Changing CR4.PAE flushes.
// @ts-ignore: decorator
@inline function largeShift(): u64 {
  return (load<u64>(CPU_BASE + CR4) & CR4_PAE) != 0 ? 21 : 22;
}
// @ts-ignore: decorator
@inline function largeEntry(region: u64, gva: u64): usize {
  const half = LARGE_MAP_ENTRIES / 2;
  return LARGE_MAP + (((<usize>region & (half - 1)) + upperHalf(gva, half)) << 2);
}
// @ts-ignore: decorator
@inline function largeNumber(region: u64): u32 {
  return (<u32>region & 0x7ffffff) + 1;
}

function noteLarge(gva: u64): void {
  const region = gva >> largeShift();
  const entry = largeEntry(region, gva);
  const known = load<u32>(entry);
  const number = largeNumber(region);
  if (known != number) store<u32>(entry, known == 0 ? number : LARGE_MANY);
}

function noteHuge(gva: u64): void {
  if (isHuge(gva)) return;
  const count = load<u32>(HUGE_LIST);
  if (count < <u32>HUGE_CAPACITY) store<u64>(HUGE_LIST + 8 + ((<usize>count) << 3), gva >> 30);
  store<u32>(HUGE_LIST, count + 1);
}
// Whether entries may come from the 1-GiB page around an address.
function isHuge(gva: u64): bool {
  const count = load<u32>(HUGE_LIST);
  if (count > <u32>HUGE_CAPACITY) return true;
  for (let n: usize = 0; n < <usize>count; n++) {
    if (load<u64>(HUGE_LIST + 8 + (n << 3)) == gva >> 30) return true;
  }
  return false;
}

// Maps are split by the half of the address space, so that programs do not disturb what is known of the kernel.
// @ts-ignore: decorator
@inline function upperHalf(gva: u64, size: usize): usize {
  return <usize>(gva >> 63) * size;
}

// @ts-ignore: decorator
@inline function linkedMark(gva: u64, user: bool): usize {
  return LINKED_MAP + (user ? LINKED_MAP_SIZE / 2 : 0) + (<usize>(gva >> 12) & (LINKED_MAP_SIZE / 2 - 1));
}
/** A link of this privilege level leads to a page now. */
// @ts-ignore: decorator
@inline export function markLinked(gva: u64, user: bool): void {
  store<u8>(linkedMark(gva, user), 1);
  if (user == <bool>(gva >> 63)) store<u32>(LINKED_ASTRAY, 1);
}

// No generation is 0: that is what links hold that lead nowhere yet.
function staleLinks(offset: usize): void {
  const next = load<u32>(CPU_BASE + offset) + 1;
  store<u32>(CPU_BASE + offset, next == 0 ? 1 : next);
}
function linksStale(user: bool): void {
  staleLinks(user ? LINK_GENERATION_USER : LINK_GENERATION_SUPERVISOR);
  memory.fill(linkedMark(0, user), 0, LINKED_MAP_SIZE / 2);
}
// Those that lead anywhere into a large page: which, is not known.
function linksIntoLargeStale(gva: u64): void {
  const upper = <bool>(gva >> 63);
  linksStale(!upper);
  if (load<u32>(LINKED_ASTRAY) != 0) linksStale(upper);
}
function allLinksStale(): void {
  staleLinks(LINK_GENERATION_SUPERVISOR);
  staleLinks(LINK_GENERATION_USER);
  store<u32>(CPU_BASE + LINKED_NOT_GLOBAL, 0);
  store<u32>(LINKED_ASTRAY, 0);
  memory.fill(LINKED_MAP, 0, LINKED_MAP_SIZE);
}

export function flushAll(): void {
  allLinksStale();
  store<u64>(CPU_BASE + COUNT_TLB_FLUSH, load<u64>(CPU_BASE + COUNT_TLB_FLUSH) + 1);
  memory.fill(TLB, 0, VIEWS * TLB_SIZE);
  for (let v: usize = 0; v < VIEWS; v++) clearView(TLB + v * TLB_SIZE);
  store<u32>(VICTIMS_USED, 1);
  forgetVictims();
  memory.fill(LARGE_MAP, 0, LARGE_MAP_ENTRIES << 2);
  store<u32>(HUGE_LIST, 0);
  store<u32>(FILL_LIST, 0);
}

// The list of fills overflowed: look at every entry.
function sweepLocal(): void {
  const end: usize = TLB + VIEWS * TLB_SIZE;
  for (let entry: usize = TLB; entry < end; entry += 16) {
    if ((load<u32>(entry + 12) & TLB_FLAG_GLOBAL) == 0) clear(entry);
  }
}

/** MOV CR3 and its kin: `global` nonzero drops global entries too. */
export function flushTlb(global: i32): void {
  if (global != 0) {
    flushAll();
    return;
  }
  store<u64>(CPU_BASE + COUNT_TLB_FLUSH, load<u64>(CPU_BASE + COUNT_TLB_FLUSH) + 1);
  forgetVictims();
  staleLinks(LINK_GENERATION_USER);
  if (load<u32>(CPU_BASE + LINKED_NOT_GLOBAL) != 0) {
    staleLinks(LINK_GENERATION_SUPERVISOR);
    store<u32>(CPU_BASE + LINKED_NOT_GLOBAL, 0);
  }
  const count = load<u32>(FILL_LIST);
  if (<i32>count > FILL_LIST_CAPACITY) sweepLocal();
  else {
    for (let i: usize = 0; i < <usize>count; i++) {
      const entry = <usize>load<u32>(FILL_LIST + 4 + (i << 2));
      if ((load<u32>(entry + 12) & TLB_FLAG_GLOBAL) == 0) clear(entry);
    }
  }
  store<u32>(FILL_LIST, 0);
}

/** INVLPG: the page of `gva` in every view, with all pieces of a large one. */
export function flushPage(gva: u64): void {
  if (isHuge(gva)) {
    flushAll();
    return;
  }
  forgetVictims();
  if (load<u8>(linkedMark(gva, false)) != 0) linksStale(false);
  if (load<u8>(linkedMark(gva, true)) != 0) linksStale(true);
  const shift = largeShift();
  const region = gva >> shift;
  const large = largeEntry(region, gva);
  const known = load<u32>(large);
  if (known != 0 && (known == LARGE_MANY || known == largeNumber(region))) {
    linksIntoLargeStale(gva);
    dropRegion(region, shift);
    if (known != LARGE_MANY) store<u32>(large, 0);
    return;
  }
  for (let v: usize = 0; v < VIEWS; v++) {
    const entry = slotOf(TLB + v * TLB_SIZE, gva);
    if (load<u64>(entry) == (gva & ~0xfff)) clear(entry);
  }
}

// A region's pages have slots of their own, all in a row.
function dropRegion(region: u64, shift: u64): void {
  const first = slotOf(0, region << shift);
  const size = (<usize>1) << (<usize>(shift - 8));
  for (let v: usize = 0; v < VIEWS; v++) {
    const start = TLB + v * TLB_SIZE + first;
    for (let entry = start; entry < start + size; entry += 16) {
      if (load<u64>(entry) >> shift == region) clear(entry);
    }
  }
}

/** Drops every write view entry of one guest page frame (host address of the page): it got code, or its dirty bit was read. */
export function dropWrites(host: u32): void {
  forgetVictims();
  for (let m = 0; m < MMU_INDEXES; m++) {
    const view = writeView(m);
    for (let i: usize = 0; i < <usize>TLB_ENTRIES; i++) {
      const entry = view + (i << 4);
      if (load<u32>(entry + 8) == host) clear(entry);
    }
  }
}
