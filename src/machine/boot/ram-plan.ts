/**
 * Who gets which part of guest RAM before the guest runs. Loaders first reserve what the image dictates, then allocate
 * what may lie anywhere; only usable ranges of the memory map are ever handed out, so the ACPI tables, the hole below
 * 1 MiB and device memory stay untouched, and no hostile image can make two things overlap.
 */

export interface MemoryMapEntry {
  readonly base: number;
  readonly size: number;
  /** E820 type: 1 usable, 2 reserved, 3 ACPI reclaimable, 4 ACPI NVS. */
  readonly type: number;
}

export const MEMORY_USABLE = 1;

interface Range {
  readonly start: number;
  readonly end: number;
}

/** The real-mode interrupt vectors and BIOS data area: kernels look there even without a BIOS. */
const FIRST_ALLOCATABLE = 0x1000;
export const ONE_MIB = 0x100000;
export const PAGE_SIZE = 0x1000;

export class RamPlan {
  readonly ramSize: number;
  /** Free ranges, ascending, never adjacent to page zero. */
  private free: Range[];
  /** End of the highest range handed out. */
  highestUsed = 0;

  constructor(ramSize: number, memoryMap: readonly MemoryMapEntry[]) {
    this.ramSize = ramSize;
    this.free = memoryMap
      .filter((entry) => entry.type === MEMORY_USABLE)
      .map((entry) => ({
        start: Math.max(entry.base, FIRST_ALLOCATABLE),
        end: Math.min(entry.base + entry.size, ramSize),
      }))
      .filter((range) => range.start < range.end)
      .sort((a, b) => a.start - b.start);
  }

  /** Takes exactly [start, start + size); false when any byte of it is not free. */
  reserve(start: number, size: number): boolean {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(size) || start < 0 || size < 0) return false;
    if (size === 0) return start <= this.ramSize;
    const end = start + size;
    const index = this.free.findIndex((range) => range.start <= start && end <= range.end);
    if (index < 0) return false;
    const range = this.free[index];
    const rest: Range[] = [];
    if (range.start < start) rest.push({ start: range.start, end: start });
    if (end < range.end) rest.push({ start: end, end: range.end });
    this.free.splice(index, 1, ...rest);
    this.highestUsed = Math.max(this.highestUsed, end);
    return true;
  }

  /** The lowest free place in [min, max) for `size` bytes, taken; undefined when there is none. */
  allocateLow(size: number, align: number, min = FIRST_ALLOCATABLE, max = this.ramSize): number | undefined {
    for (const range of this.free) {
      const start = alignUp(Math.max(range.start, min), align);
      if (start + size > Math.min(range.end, max)) continue;
      return this.reserve(start, size) ? start : undefined;
    }
    return undefined;
  }

  /** The highest free place in [min, max) for `size` bytes, taken; undefined when there is none. */
  allocateHigh(size: number, align: number, min = ONE_MIB, max = this.ramSize): number | undefined {
    for (let index = this.free.length - 1; index >= 0; index--) {
      const range = this.free[index];
      const start = alignDown(Math.min(range.end, max) - size, align);
      if (start < Math.max(range.start, min)) continue;
      return this.reserve(start, size) ? start : undefined;
    }
    return undefined;
  }
}

/** Not bit operations: addresses go to 3 GiB, alignments of hostile files anywhere. `align` is at least 1. */
export function alignUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

export function alignDown(value: number, align: number): number {
  return Math.floor(value / align) * align;
}
