/** Multiboot 1 images. Multiboot Specification 0.6.96, "OS image format", "Machine state", "Boot information format". */
import type { ByteView } from '../../base/byte-view.js';
import { hex } from '../../base/byte-view.js';
import { MBI, MULTIBOOT1 } from '../../spec/boot/multiboot.js';
import { BOOT_LOADER_NAME, type BootOptions, type InitialState } from './boot.js';
import { placeElfSections } from './elf-sections.js';
import { type GuestWriter, moduleName } from './guest-writer.js';
import { GDT_SIZE, protectedModeState } from './initial-state.js';
import { basicMemory, type LoadedImage, loadMultibootImage } from './multiboot-image.js';

export function findMultiboot1(image: ByteView): number | undefined {
  const end = Math.min(image.length, MULTIBOOT1.SEARCH_LIMIT) - MULTIBOOT1.HEADER_SIZE;
  for (let at = 0; at <= end; at += MULTIBOOT1.HEADER_ALIGN) {
    if (image.u32(at) !== MULTIBOOT1.HEADER_MAGIC) continue;
    if ((image.u32(at) + image.u32(at + 4) + image.u32(at + 8)) % 0x1_0000_0000 === 0) return at;
  }
  return undefined;
}

export function loadMultiboot1(
  image: ByteView,
  header: number,
  guest: GuestWriter,
  options: BootOptions,
): InitialState {
  const flags = image.u32(header + 4);
  refuseDemands(image, flags);
  const byAddress = (flags & MULTIBOOT1.FLAG_ADDRESSES) !== 0;
  const loaded = loadMultibootImage(
    image,
    guest,
    byAddress
      ? {
          headerOffset: header,
          headerAddress: image.u32(header + 12),
          loadAddress: image.u32(header + 16),
          loadEnd: image.u32(header + 20),
          bssEnd: image.u32(header + 24),
        }
      : undefined,
    undefined,
  );
  const rip = loaded.entry ?? image.u32(header + 28);
  const information = writeInformation(image, loaded, guest, options);
  const registers = { rip, rax: MULTIBOOT1.LOADER_MAGIC, rbx: information };
  return { protocol: 'multiboot1', cpu: protectedModeState(guest.ram, guest.table(GDT_SIZE), registers) };
}

function refuseDemands(image: ByteView, flags: number): void {
  if ((flags & MULTIBOOT1.FLAG_VIDEO_MODE) !== 0) {
    throw image.fail(
      'its Multiboot header demands a video mode, and this machine has no display; clear bit 2 of its flags',
    );
  }
  const known = MULTIBOOT1.FLAG_PAGE_ALIGN | MULTIBOOT1.FLAG_MEMORY_INFO;
  const unknown = flags & MULTIBOOT1.DEMAND_MASK & ~known;
  if (unknown !== 0) {
    throw image.fail(`its Multiboot header demands what no loader knows (flags ${hex(unknown)}); clear these bits`);
  }
}

function writeInformation(image: ByteView, loaded: LoadedImage, guest: GuestWriter, options: BootOptions): number {
  const { view } = guest;
  const info = guest.table(MBI.SIZE);
  const put = (offset: number, value: number): void => view.setUint32(info + offset, value, true);
  let flags = MBI.HAS_MEMORY | MBI.HAS_CMDLINE | MBI.HAS_MODULES | MBI.HAS_MMAP | MBI.HAS_LOADER_NAME;

  const { lowerKib, upperKib } = basicMemory(options);
  put(MBI.MEM_LOWER, lowerKib);
  put(MBI.MEM_UPPER, upperKib);
  // As every loader of this version does, the first word is the file's name.
  put(MBI.CMDLINE, guest.string(words(options.kernelName ?? 'kernel', options.append)));
  put(MBI.BOOT_LOADER_NAME, guest.string(BOOT_LOADER_NAME));

  const modules = guest.modules(options);
  const list = modules.length > 0 ? guest.table(modules.length * MBI.MODULE_SIZE) : 0;
  modules.forEach((module, index) => {
    const entry = list + index * MBI.MODULE_SIZE;
    view.setUint32(entry, module.address, true);
    view.setUint32(entry + 4, module.address + module.size, true);
    view.setUint32(entry + 8, guest.string(words(moduleName(module.name), module.args)), true);
  });
  put(MBI.MODS_COUNT, modules.length);
  put(MBI.MODS_ADDR, list);

  if (loaded.elf !== undefined) {
    const sections = placeElfSections(image, loaded.elf, guest, loaded.slide);
    if (sections !== undefined) {
      const table = guest.table(sections.table.length);
      guest.ram.set(sections.table, table);
      [sections.count, sections.entrySize, table, sections.stringIndex].forEach((value, index) => {
        put(MBI.SYMS + index * 4, value);
      });
      flags |= MBI.HAS_ELF_SECTIONS;
    }
  }

  const memoryMap = guest.table(options.memoryMap.length * MBI.MMAP_ENTRY_SIZE);
  options.memoryMap.forEach((range, index) => {
    const entry = memoryMap + index * MBI.MMAP_ENTRY_SIZE;
    // The size field does not count itself.
    view.setUint32(entry, MBI.MMAP_ENTRY_SIZE - 4, true);
    guest.u64(entry + 4, range.base);
    guest.u64(entry + 12, range.size);
    view.setUint32(entry + 20, range.type, true);
  });
  put(MBI.MMAP_LENGTH, options.memoryMap.length * MBI.MMAP_ENTRY_SIZE);
  put(MBI.MMAP_ADDR, memoryMap);
  put(MBI.FLAGS, flags);
  return info;
}

function words(first: string, rest: string): string {
  return rest === '' ? first : `${first} ${rest}`;
}
