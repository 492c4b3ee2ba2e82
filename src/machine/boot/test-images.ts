/** Small well-formed guest images for the loaders' tests; every field can then be damaged. */
import type { BootOptions, MemoryMapEntry } from './boot.js';

export const MIB = 1024 * 1024;

/** A PC's map: usable to 639 KiB, a hole, usable from 1 MiB. */
export function memoryMapOf(ramSize: number): MemoryMapEntry[] {
  return [
    { base: 0, size: 0x9fc00, type: 1 },
    { base: 0x9fc00, size: 0x400, type: 2 },
    { base: 0xe0000, size: 0x20000, type: 2 },
    { base: 0x100000, size: ramSize - 0x100000, type: 1 },
  ];
}

export function bootOptions(kernel: Uint8Array, ramSize: number, more: Partial<BootOptions> = {}): BootOptions {
  return {
    kernel,
    kernelName: 'test.img',
    modules: [],
    append: '',
    memoryMap: memoryMapOf(ramSize),
    rsdp: 0,
    ...more,
  };
}

export interface BzImageFields {
  readonly version?: number;
  readonly is64?: boolean;
  readonly relocatable?: boolean;
  readonly preferredAddress?: number;
  readonly initSize?: number;
  readonly alignment?: number;
  readonly codeSize?: number;
  readonly initrdAddressMax?: number;
}

/** Two setup sectors behind the boot sector; the code is bytes that tell their own offset. */
export function bzImage(fields: BzImageFields = {}): Uint8Array {
  const setupSectors = 2;
  const setupSize = (setupSectors + 1) * 512;
  const codeSize = fields.codeSize ?? 0x1000;
  const image = new Uint8Array(setupSize + codeSize);
  const view = new DataView(image.buffer);
  image[0x1f1] = setupSectors;
  view.setUint32(0x1f4, codeSize / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint16(0x200, 0x6aeb, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, fields.version ?? 0x020f, true);
  image[0x211] = 0x01;
  view.setUint32(0x22c, fields.initrdAddressMax ?? 0x7fffffff, true);
  view.setUint32(0x230, fields.alignment ?? 0x200000, true);
  image[0x234] = fields.relocatable === false ? 0 : 1;
  view.setUint16(0x236, fields.is64 === false ? 0 : 1, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x258, fields.preferredAddress ?? 0x1000000, true);
  view.setUint32(0x260, fields.initSize ?? 0x400000, true);
  for (let at = 0; at < codeSize; at++) image[setupSize + at] = at >> 4;
  return image;
}

export interface ElfFields {
  readonly bits: 32 | 64;
  readonly paddr?: number;
  readonly vaddr?: number;
  readonly entry?: number;
  readonly data?: Uint8Array;
  readonly memorySize?: number;
  /** Bytes of a PT_NOTE segment. */
  readonly note?: Uint8Array;
}

/** One PT_LOAD, one PT_NOTE; data at file offset 0x1000, the note at 0x400. */
export function elf(fields: ElfFields): Uint8Array {
  const wide = fields.bits === 64;
  const data = fields.data ?? Uint8Array.from({ length: 0x800 }, (_, index) => index & 0xff);
  const note = fields.note ?? new Uint8Array(0);
  const image = new Uint8Array(0x1000 + data.length);
  const view = new DataView(image.buffer);
  const paddr = fields.paddr ?? 0x200000;
  const vaddr = fields.vaddr ?? paddr;
  const word = (at: number, value: number): void => {
    view.setUint32(at, value % 2 ** 32, true);
    if (wide) view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  };
  image.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, wide ? 62 : 3, true);
  word(24, fields.entry ?? vaddr);
  const table = wide ? 64 : 52;
  word(wide ? 32 : 28, table);
  view.setUint16(wide ? 54 : 42, wide ? 56 : 32, true);
  view.setUint16(wide ? 56 : 44, 2, true);
  const segment = (
    at: number,
    type: number,
    offset: number,
    address: number,
    virtual: number,
    sizes: number[],
  ): void => {
    view.setUint32(at, type, true);
    const base = wide ? at + 8 : at + 4;
    const step = wide ? 8 : 4;
    [offset, virtual, address, ...sizes].forEach((value, index) => {
      word(base + index * step, value);
    });
  };
  segment(table, 1, 0x1000, paddr, vaddr, [data.length, fields.memorySize ?? data.length + 0x100]);
  segment(table + (wide ? 56 : 32), 4, 0x400, 0, 0, [note.length, note.length]);
  image.set(note, 0x400);
  image.set(data, 0x1000);
  return image;
}

/** Adds section headers for the loaded data and one string table that is not loaded, whose bytes are `text`. */
export function withSections(image: Uint8Array, address: number, text: string): Uint8Array {
  const strings = new TextEncoder().encode(text.padEnd(16, '\0'));
  const table = image.length + strings.length;
  const headers = words(
    ...new Array<number>(10).fill(0),
    ...[0, 1, 2, address, 0x1000, 0x100, 0, 0, 4, 0],
    ...[0, 3, 0, 0, image.length, strings.length, 0, 0, 1, 0],
  );
  const result = concatenate([image, strings, headers]);
  const view = new DataView(result.buffer);
  view.setUint32(32, table, true);
  [40, 3, 2].forEach((value, index) => {
    view.setUint16(46 + index * 2, value, true);
  });
  return result;
}

export function pvhNote(entry: number, bytes: 4 | 8 = 4): Uint8Array {
  return words(4, bytes, 18, 0x006e6558, entry, ...(bytes === 8 ? [0] : []));
}

/** A Multiboot 1 header with the right checksum, and the address fields if given. */
export function multiboot1Header(flags: number, ...addresses: readonly number[]): Uint8Array {
  return words(0x1badb002, flags, -(0x1badb002 + flags), ...addresses);
}

/** A Multiboot 2 header around `tags`, ended and checksummed. */
export function multiboot2Header(...tags: readonly Uint8Array[]): Uint8Array {
  const body = concatenate([...tags, words(0, 8)]);
  const length = 16 + body.length;
  return concatenate([words(0xe85250d6, 0, length, -(0xe85250d6 + length)), body]);
}

/** A tag of it, padded to 8. */
export function headerTag(type: number, flags: number, ...fields: readonly number[]): Uint8Array {
  const size = 8 + fields.length * 4;
  const bytes = new Uint8Array(Math.ceil(size / 8) * 8);
  bytes.set(words(type | (flags << 16), size, ...fields));
  return bytes;
}

export function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    view.setUint32(index * 4, value >>> 0, true);
  });
  return bytes;
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The zero-terminated string at an address. */
export function stringAt(ram: Uint8Array, address: number): string {
  return new TextDecoder().decode(ram.subarray(address, ram.indexOf(0, address)));
}
