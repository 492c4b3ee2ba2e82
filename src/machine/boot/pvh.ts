/**
 * PVH: an ELF image whose note names a 32-bit physical entry point, started with EBX = hvm_start_info.
 * Xen documentation, "x86/HVM direct boot ABI".
 */

import { type ByteView, hex } from '../../base/byte-view.js';
import {
  MEMMAP_ENTRY,
  MODLIST_ENTRY,
  START_INFO,
  START_MAGIC,
  START_VERSION,
  XEN_ELFNOTE_PHYS32_ENTRY,
  XEN_NOTE_NAME,
} from '../../spec/boot/pvh.js';
import type { BootOptions, InitialState } from './boot.js';
import { type Elf, loadElf } from './elf.js';
import type { GuestWriter } from './guest-writer.js';
import { GDT_SIZE, protectedModeState } from './initial-state.js';
import { alignUp } from './ram-plan.js';

const NOTE_HEADER_SIZE = 12;

/** The entry point a Xen note names; undefined when the image has no such note. */
export function pvhEntry(image: ByteView, elf: Elf): number | undefined {
  for (const note of elf.notes) {
    const end = note.offset + note.fileSize;
    if (!image.has(note.offset, note.fileSize)) continue;
    const align = note.align === 8 ? 8 : 4;
    let at = note.offset;
    while (at + NOTE_HEADER_SIZE <= end) {
      const nameSize = image.u32(at);
      const descriptorSize = image.u32(at + 4);
      const name = at + NOTE_HEADER_SIZE;
      const descriptor = alignUp(name + nameSize, align);
      if (descriptor + descriptorSize > end) break;
      if (image.u32(at + 8) === XEN_ELFNOTE_PHYS32_ENTRY && latin1(image, name, nameSize) === XEN_NOTE_NAME) {
        if (descriptorSize === 4) return image.u32(descriptor);
        if (descriptorSize === 8) return image.u64(descriptor);
      }
      at = alignUp(descriptor + descriptorSize, align);
    }
  }
  return undefined;
}

function latin1(image: ByteView, offset: number, size: number): string {
  return size > 16 ? '' : String.fromCharCode(...image.slice(offset, size));
}

export function loadPvh(
  image: ByteView,
  elf: Elf,
  entry: number,
  guest: GuestWriter,
  options: BootOptions,
): InitialState {
  if (!elf.loads.some((segment) => entry >= segment.paddr && entry < segment.paddr + segment.memorySize)) {
    throw image.fail(`the ELF file is damaged: its PVH entry point ${hex(entry)} lies outside of what it loads`);
  }
  loadElf(image, elf, guest);
  const info = writeStartInfo(guest, options);
  const gdt = guest.table(GDT_SIZE);
  return {
    protocol: 'pvh',
    cpu: protectedModeState(guest.ram, gdt, { rip: entry, rbx: info }),
  };
}

function writeStartInfo(guest: GuestWriter, options: BootOptions): number {
  const { view } = guest;
  const info = guest.table(START_INFO.SIZE);
  const modules = guest.modules(options);
  const moduleList = modules.length > 0 ? guest.table(modules.length * MODLIST_ENTRY.ENTRY_SIZE) : 0;
  const memoryMap = guest.table(options.memoryMap.length * MEMMAP_ENTRY.ENTRY_SIZE);

  modules.forEach((module, index) => {
    const entry = moduleList + index * MODLIST_ENTRY.ENTRY_SIZE;
    guest.u64(entry + MODLIST_ENTRY.PADDR, module.address);
    guest.u64(entry + MODLIST_ENTRY.SIZE, module.size);
    if (module.args !== '') guest.u64(entry + MODLIST_ENTRY.CMDLINE_PADDR, guest.string(module.args));
  });
  options.memoryMap.forEach((range, index) => {
    const entry = memoryMap + index * MEMMAP_ENTRY.ENTRY_SIZE;
    guest.u64(entry + MEMMAP_ENTRY.ADDR, range.base);
    guest.u64(entry + MEMMAP_ENTRY.SIZE, range.size);
    view.setUint32(entry + MEMMAP_ENTRY.TYPE, range.type, true);
  });

  view.setUint32(info + START_INFO.MAGIC, START_MAGIC, true);
  view.setUint32(info + START_INFO.VERSION, START_VERSION, true);
  view.setUint32(info + START_INFO.NR_MODULES, modules.length, true);
  guest.u64(info + START_INFO.MODLIST_PADDR, moduleList);
  guest.u64(info + START_INFO.CMDLINE_PADDR, guest.string(options.append));
  guest.u64(info + START_INFO.RSDP_PADDR, options.rsdp);
  guest.u64(info + START_INFO.MEMMAP_PADDR, memoryMap);
  view.setUint32(info + START_INFO.MEMMAP_ENTRIES, options.memoryMap.length, true);
  return info;
}
