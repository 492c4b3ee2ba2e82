/** The information a Multiboot 2 image finds at EBX: tags, each 8-aligned. Multiboot2 Specification, "Boot information". */
import type { ByteView } from '../../base/byte-view.js';
import { INFO_TAG } from '../../spec/boot/multiboot.js';
import { BOOT_LOADER_NAME, type BootOptions } from './boot.js';
import type { ElfSections } from './elf-sections.js';
import type { GuestWriter } from './guest-writer.js';
import { basicMemory } from './multiboot-image.js';
import { alignUp } from './ram-plan.js';

interface Extras {
  readonly sections: ElfSections | undefined;
  readonly loadBase: number | undefined;
  readonly required: readonly number[];
}

const TAG_ALIGN = 8;
const FIXED_SIZE = 8;
const MMAP_ENTRY_SIZE = 24;
const RSDP_V1_SIZE = 20;
const RSDP_V2_SIZE = 36;

export function writeInformation(image: ByteView, guest: GuestWriter, options: BootOptions, extras: Extras): number {
  const tags: Uint8Array[] = [];
  const { lowerKib, upperKib } = basicMemory(options);
  tags.push(tag(INFO_TAG.CMDLINE, text(options.append)));
  tags.push(tag(INFO_TAG.BOOT_LOADER_NAME, text(BOOT_LOADER_NAME)));
  tags.push(tag(INFO_TAG.BASIC_MEMINFO, words(lowerKib, upperKib)));
  for (const module of guest.modules(options)) {
    tags.push(tag(INFO_TAG.MODULE, words(module.address, module.address + module.size), text(module.args)));
  }
  tags.push(memoryMapTag(options));
  if (extras.sections !== undefined) {
    // 32-bit fields as in the specification's multiboot2.h and in every loader; its prose draws them with 16 bits.
    const { count, entrySize, stringIndex, table } = extras.sections;
    tags.push(tag(INFO_TAG.ELF_SECTIONS, words(count, entrySize, stringIndex), table));
  }
  tags.push(...acpiTags(guest.ram, options.rsdp));
  if (extras.loadBase !== undefined) tags.push(tag(INFO_TAG.LOAD_BASE_ADDR, words(extras.loadBase)));

  const present = new Set(tags.map((bytes) => new DataView(bytes.buffer).getUint32(0, true)));
  // Modules may be none; everything else that was demanded must really be there.
  const missing = extras.required.find((type) => type !== INFO_TAG.MODULE && !present.has(type));
  if (missing !== undefined) {
    throw image.fail(`its Multiboot header demands information that is not there (tag ${missing}); make it optional`);
  }
  tags.push(tag(INFO_TAG.END));
  return place(guest, tags);
}

function place(guest: GuestWriter, tags: readonly Uint8Array[]): number {
  const size = tags.reduce((sum, bytes) => sum + alignUp(bytes.length, TAG_ALIGN), FIXED_SIZE);
  const address = guest.table(size, TAG_ALIGN);
  guest.view.setUint32(address, size, true);
  let at = address + FIXED_SIZE;
  for (const bytes of tags) {
    guest.ram.set(bytes, at);
    at += alignUp(bytes.length, TAG_ALIGN);
  }
  return address;
}

function tag(type: number, ...payload: readonly Uint8Array[]): Uint8Array {
  const size = payload.reduce((sum, bytes) => sum + bytes.length, 8);
  const bytes = new Uint8Array(size);
  bytes.set(words(type, size));
  let at = 8;
  for (const part of payload) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    view.setUint32(index * 4, value, true);
  });
  return bytes;
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

function memoryMapTag(options: BootOptions): Uint8Array {
  const entries = options.memoryMap.map(({ base, size, type }) =>
    words(base, Math.floor(base / 2 ** 32), size, Math.floor(size / 2 ** 32), type, 0),
  );
  return tag(INFO_TAG.MMAP, words(MMAP_ENTRY_SIZE, 0), ...entries);
}

/** Copies of the RSDP the machine put into RAM. ACPI 6, "Root System Description Pointer (RSDP) Structure". */
function acpiTags(ram: Uint8Array, rsdp: number): Uint8Array[] {
  if (rsdp === 0 || rsdp + RSDP_V2_SIZE > ram.length) return [];
  if (new TextDecoder('latin1').decode(ram.slice(rsdp, rsdp + 8)) !== 'RSD PTR ') return [];
  const tags = [tag(INFO_TAG.ACPI_OLD, ram.slice(rsdp, rsdp + RSDP_V1_SIZE))];
  if (ram[rsdp + 15] >= 2) tags.push(tag(INFO_TAG.ACPI_NEW, ram.slice(rsdp, rsdp + RSDP_V2_SIZE)));
  return tags;
}
