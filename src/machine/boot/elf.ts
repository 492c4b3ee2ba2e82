/** Reading and loading ELF executables, 32- and 64-bit, by physical address. System V ABI, "Program Header". */

import { type ByteView, hex } from '../../base/byte-view.js';
import {
  EI_CLASS,
  EI_DATA,
  ELF_MAGIC,
  ELF32_LAYOUT,
  ELF64_LAYOUT,
  ELFCLASS32,
  ELFCLASS64,
  ELFDATA2LSB,
  type ElfLayout,
  EM_386,
  EM_X86_64,
  ET_DYN,
  ET_EXEC,
  PT_LOAD,
  PT_NOTE,
} from '../../spec/boot/elf.js';
import { type GuestWriter, outOfMemory } from './guest-writer.js';

export interface ElfSegment {
  readonly type: number;
  readonly offset: number;
  readonly vaddr: number;
  readonly paddr: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly align: number;
}

export interface Elf {
  readonly layout: ElfLayout;
  readonly entry: number;
  readonly loads: readonly ElfSegment[];
  readonly notes: readonly ElfSegment[];
}

/** Real kernels have fewer than ten; the bound keeps a hostile table from costing time. */
const MAX_PROGRAM_HEADERS = 256;
const MAX_GUEST_ADDRESS = 0xc000_0000;

export function isElf(image: ByteView): boolean {
  return image.has(0, 4) && image.u32(0) === ELF_MAGIC;
}

export function readElf(image: ByteView): Elf {
  const layout = elfLayout(image);
  const machine = image.u16(18);
  if (machine !== EM_386 && machine !== EM_X86_64) {
    throw image.fail(`this ELF file is for another processor (machine ${machine}); use a kernel for x86-64 or i386`);
  }
  const type = image.u16(16);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw image.fail(`this ELF file is not an executable (type ${type}); use the linked kernel`);
  }
  const count = image.u16(layout.phnum);
  if (count > MAX_PROGRAM_HEADERS) {
    throw image.fail(`the ELF file is damaged: it claims ${count} program headers`);
  }
  const stride = image.u16(layout.phentsize);
  if (count > 0 && stride < layout.programHeaderSize) {
    throw image.fail(`the ELF file is damaged: program headers of ${stride} bytes`);
  }
  const offset = image.word(layout.phoff, layout.word);
  const segments = Array.from({ length: count }, (_, index) => readSegment(image, layout, offset + index * stride));
  return {
    layout,
    entry: image.word(layout.entry, layout.word),
    loads: segments.filter((segment) => segment.type === PT_LOAD && segment.memorySize > 0),
    notes: segments.filter((segment) => segment.type === PT_NOTE),
  };
}

function elfLayout(image: ByteView): ElfLayout {
  const elfClass = image.u8(EI_CLASS);
  if (image.u8(EI_DATA) !== ELFDATA2LSB || (elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64)) {
    throw image.fail('this ELF file is not a little-endian 32- or 64-bit one; use a kernel for x86');
  }
  return elfClass === ELFCLASS64 ? ELF64_LAYOUT : ELF32_LAYOUT;
}

function readSegment(image: ByteView, layout: ElfLayout, at: number): ElfSegment {
  const word = (offset: number): number => image.word(at + offset, layout.word);
  return {
    type: image.u32(at),
    offset: word(layout.pOffset),
    vaddr: word(layout.pVaddr),
    paddr: word(layout.pPaddr),
    fileSize: word(layout.pFilesz),
    memorySize: word(layout.pMemsz),
    align: word(layout.pAlign),
  };
}

/** Where the loadable segments lie before any relocation: lowest and one past the highest physical address. */
export function elfExtent(image: ByteView, elf: Elf): { start: number; end: number } {
  let start = Number.MAX_SAFE_INTEGER;
  let end = 0;
  for (const segment of elf.loads) {
    start = Math.min(start, segment.paddr);
    end = Math.max(end, segment.paddr + segment.memorySize);
  }
  if (elf.loads.length === 0) throw image.fail('the ELF file has nothing to load; use the linked kernel');
  return { start, end };
}

/** Copies every loadable segment to its physical address plus `slide`; `reserved` says the range is already ours. */
export function loadElf(image: ByteView, elf: Elf, guest: GuestWriter, slide = 0, reserved = false): void {
  elfExtent(image, elf);
  for (const segment of elf.loads) {
    if (segment.fileSize > segment.memorySize) {
      throw image.fail(`the ELF file is damaged: a segment has more bytes in the file than in memory`);
    }
    const data = image.slice(segment.offset, segment.fileSize);
    const address = segment.paddr + slide;
    if (!reserved && !guest.plan.reserve(address, segment.memorySize)) {
      throw misplaced(image, segment, address, guest.ram.length);
    }
    guest.ram.set(data, address);
    guest.ram.fill(0, address + segment.fileSize, address + segment.memorySize);
  }
}

function misplaced(image: ByteView, segment: ElfSegment, address: number, ramSize: number): Error {
  const end = address + segment.memorySize;
  if (end > MAX_GUEST_ADDRESS) {
    return image.fail(`it wants to be loaded at ${hex(address)} to ${hex(end)}, which no guest has (3 GiB at most)`);
  }
  if (end > ramSize) return outOfMemory(image.name, segment.memorySize, end, ramSize);
  return image.fail(
    `it wants to be loaded at ${hex(address)} to ${hex(end)}, which overlaps another of its segments or memory that is not RAM`,
  );
}

/** The entry point as a physical address: linkers store it as a virtual one of the segment that holds it, or physical. */
export function physicalEntry(elf: Elf): number {
  const inside = elf.loads.find(
    (segment) => elf.entry >= segment.vaddr && elf.entry < segment.vaddr + segment.memorySize,
  );
  return inside === undefined ? elf.entry : elf.entry - inside.vaddr + inside.paddr;
}
