/**
 * The section header table for kernels that read their own symbols: a copy in RAM in which sections the program headers
 * did not load got a place and an address. Multiboot 1 "Boot information format" (syms) and Multiboot 2 "ELF-Symbols".
 */
import type { ByteView } from '../../base/byte-view.js';
import { SHF_ALLOC, SHT_NOBITS, SHT_NULL } from '../../spec/boot/elf.js';
import type { Elf } from './elf.js';
import type { GuestWriter } from './guest-writer.js';
import { ONE_MIB } from './ram-plan.js';

export interface ElfSections {
  readonly count: number;
  readonly entrySize: number;
  readonly stringIndex: number;
  /** The table's bytes, addresses filled in. */
  readonly table: Uint8Array;
}

/** undefined when the image has no usable section headers: they are optional, so a damaged table is no error. */
export function placeElfSections(
  image: ByteView,
  elf: Elf,
  guest: GuestWriter,
  slide: number,
): ElfSections | undefined {
  const { layout } = elf;
  const count = image.u16(layout.shnum);
  const entrySize = image.u16(layout.shentsize);
  const offset = image.word(layout.shoff, layout.word);
  if (count === 0 || entrySize < layout.sectionHeaderSize || !image.has(offset, count * entrySize)) return undefined;
  const table = image.slice(offset, count * entrySize).slice();
  const view = new DataView(table.buffer);

  // Sections of an honest file do not share bytes; a hostile one would make us copy the same megabytes 65,535 times.
  let budget = image.length;
  for (let index = 0; index < count; index++) {
    const header = offset + index * entrySize;
    const type = image.u32(header + 4);
    const size = image.word(header + layout.shSize, layout.word);
    const fileOffset = image.word(header + layout.shOffset, layout.word);
    const loaded = (image.word(header + layout.shFlags, layout.word) & SHF_ALLOC) !== 0;
    const at = index * entrySize + layout.shAddr;
    if (loaded) {
      writeWord(view, at, layout.word, image.word(header + layout.shAddr, layout.word) + slide);
      continue;
    }
    if (type === SHT_NULL || type === SHT_NOBITS || size === 0) continue;
    budget -= size;
    if (budget < 0 || !image.has(fileOffset, size)) return undefined;
    const address = guest.plan.allocateLow(size, 16, ONE_MIB);
    if (address === undefined) return undefined;
    guest.ram.set(image.slice(fileOffset, size), address);
    writeWord(view, at, layout.word, address);
  }
  return { count, entrySize, stringIndex: image.u16(layout.shstrndx), table };
}

function writeWord(view: DataView, at: number, size: 4 | 8, value: number): void {
  view.setUint32(at, value % 0x1_0000_0000, true);
  if (size === 8) view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}
