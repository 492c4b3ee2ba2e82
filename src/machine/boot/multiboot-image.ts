/**
 * What both Multiboot versions share: loading an image either by the addresses in its header (the "a.out kludge") or as
 * an ELF file, and the amounts of lower and upper memory. Multiboot Specification, "The address fields of Multiboot header".
 */
import type { ByteView } from '../../base/byte-view.js';
import { hex } from '../../base/byte-view.js';
import type { BootOptions } from './boot.js';
import { type Elf, elfExtent, isElf, loadElf, physicalEntry, readElf } from './elf.js';
import { type GuestWriter, outOfMemory } from './guest-writer.js';
import { alignUp, MEMORY_USABLE, ONE_MIB } from './ram-plan.js';

/** The header's address fields, all physical. */
export interface LoadAddresses {
  readonly headerOffset: number;
  readonly headerAddress: number;
  readonly loadAddress: number;
  /** One past the last byte from the file; 0: the rest of the file. */
  readonly loadEnd: number;
  /** One past the zeroed memory behind it; 0: none. */
  readonly bssEnd: number;
}

/** Multiboot 2's relocatable header tag. */
export interface Relocation {
  readonly min: number;
  /** Highest address of the image, inclusive. */
  readonly max: number;
  readonly align: number;
  readonly preferHigh: boolean;
}

export interface LoadedImage {
  readonly entry: number | undefined;
  /** Added to every address of the image. */
  readonly slide: number;
  readonly base: number;
  readonly elf: Elf | undefined;
}

/** Below 640 KiB: kernels use their a.out loading only from here on. */
const MIN_LOAD_ADDRESS = 0x1000;
const LOW_MEMORY_END = 0xa0000;

export function loadMultibootImage(
  image: ByteView,
  guest: GuestWriter,
  addresses: LoadAddresses | undefined,
  relocation: Relocation | undefined,
): LoadedImage {
  if (addresses !== undefined) return loadByAddresses(image, guest, addresses, relocation);
  if (!isElf(image)) {
    throw image.fail('its Multiboot header gives no load addresses and it is no ELF file; link it as ELF');
  }
  const elf = readElf(image);
  const { start, end } = elfExtent(image, elf);
  const base = relocation === undefined ? start : relocate(image, guest, start, end - start, relocation);
  const slide = base - start;
  loadElf(image, elf, guest, slide, relocation !== undefined);
  return { entry: checkedEntry(image, physicalEntry(elf) + slide), slide, base, elf };
}

function loadByAddresses(
  image: ByteView,
  guest: GuestWriter,
  at: LoadAddresses,
  relocation: Relocation | undefined,
): LoadedImage {
  const offset = at.headerOffset - (at.headerAddress - at.loadAddress);
  if (at.headerAddress < at.loadAddress || offset < 0) {
    throw image.fail('its Multiboot header is damaged: the header would be loaded below the load address');
  }
  const dataSize = at.loadEnd === 0 ? image.length - offset : at.loadEnd - at.loadAddress;
  const size = at.bssEnd === 0 ? dataSize : at.bssEnd - at.loadAddress;
  if (dataSize < 0 || size < dataSize) {
    throw image.fail('its Multiboot header is damaged: load_addr, load_end_addr and bss_end_addr are out of order');
  }
  const data = image.slice(offset, dataSize);
  let base = at.loadAddress;
  if (relocation !== undefined) base = relocate(image, guest, at.loadAddress, size, relocation);
  else if (base < MIN_LOAD_ADDRESS || !guest.plan.reserve(base, size)) throw misplaced(image, base, size, guest);
  guest.ram.set(data, base);
  guest.ram.fill(0, base + dataSize, base + size);
  return { entry: undefined, slide: base - at.loadAddress, base, elf: undefined };
}

/** Where it was linked if that is allowed and free, otherwise where the header prefers. */
function relocate(image: ByteView, guest: GuestWriter, linked: number, size: number, to: Relocation): number {
  if (to.align === 0 || (to.align & (to.align - 1)) !== 0) {
    throw image.fail(`its relocatable tag is damaged: alignment ${hex(to.align)} is not a power of two`);
  }
  const limit = to.max + 1;
  const linkedFits = !to.preferHigh && linked >= to.min && linked + size <= limit && linked % to.align === 0;
  if (linkedFits && guest.plan.reserve(linked, size)) return linked;
  const min = Math.max(to.min, ONE_MIB);
  const base = to.preferHigh
    ? guest.plan.allocateHigh(size, to.align, min, limit)
    : guest.plan.allocateLow(size, to.align, min, limit);
  if (base !== undefined) return base;
  const end = alignUp(min, to.align) + size;
  if (end > guest.ram.length && end <= limit) throw outOfMemory(image.name, size, end, guest.ram.length);
  throw image.fail(`its relocatable tag leaves no room: ${size} bytes between ${hex(to.min)} and ${hex(to.max)}`);
}

function misplaced(image: ByteView, base: number, size: number, guest: GuestWriter): Error {
  if (base >= ONE_MIB && base + size > guest.ram.length && base + size <= 0xc000_0000) {
    return outOfMemory(image.name, size, base + size, guest.ram.length);
  }
  return image.fail(`it wants to be loaded at ${hex(base)} to ${hex(base + size)}, which is not free RAM of a guest`);
}

export function checkedEntry(image: ByteView, entry: number): number {
  if (entry > 0xffffffff) throw image.fail(`its entry point ${hex(entry)} lies above 4 GiB; link it lower`);
  return entry;
}

/** KiB from 0, and KiB from 1 MiB up to the first hole. */
export function basicMemory(options: BootOptions): { lowerKib: number; upperKib: number } {
  const usable = options.memoryMap.filter((entry) => entry.type === MEMORY_USABLE);
  const low = usable.find((entry) => entry.base === 0);
  const high = usable.find((entry) => entry.base <= ONE_MIB && entry.base + entry.size > ONE_MIB);
  return {
    lowerKib: Math.floor(Math.min(low?.size ?? 0, LOW_MEMORY_END) / 1024),
    upperKib: high === undefined ? 0 : Math.floor((high.base + high.size - ONE_MIB) / 1024),
  };
}
