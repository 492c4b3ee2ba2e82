/**
 * Linux bzImage by the 64-bit or the 32-bit boot protocol. Linux documentation, "The Linux/x86 Boot Protocol".
 * The real-mode entry is not used here: the setup code would ask a BIOS. With a firmware it is (firmware-linux.ts).
 *
 *   file:  boot sector and setup, (setup_sects + 1) * 512 bytes | protected-mode code, syssize * 16 bytes | signature
 *   RAM:   low memory: boot_params, command line, GDT, page tables | kernel at pref_address | ... | initrd at the top
 */

import { type ByteView, hex } from '../../base/byte-view.js';
import {
  BOOT_FLAG,
  BOOT_FLAG_OFFSET,
  BOOT_SECTOR_SIZE,
  DEFAULT_CMDLINE_SIZE,
  DEFAULT_INITRD_ADDR_MAX,
  DEFAULT_LOAD_ADDRESS,
  E820_ENTRY_SIZE,
  E820_MAX_ENTRIES,
  ENTRY_64_OFFSET,
  HEADER_MAGIC,
  HEADER_MAGIC_OFFSET,
  LOADER_UNDEFINED,
  LOADFLAGS_CAN_USE_HEAP,
  LOADFLAGS_LOADED_HIGH,
  SETUP,
  VID_MODE_NORMAL,
  XLF_KERNEL_64,
  ZERO_PAGE,
} from '../../spec/boot/linux.js';
import type { BootModule, BootOptions, InitialState } from './boot.js';
import { type GuestWriter, outOfMemory } from './guest-writer.js';
import { GDT_SIZE, longModeState, PAGE_TABLES_SIZE, protectedModeState } from './initial-state.js';
import { alignUp, ONE_MIB, PAGE_SIZE } from './ram-plan.js';

/** What the setup header says, checked. */
export interface LinuxHeader {
  readonly version: number;
  readonly setupSize: number;
  /** Bytes of protected-mode code in the file. */
  readonly codeSize: number;
  /** Bytes the kernel needs from its load address on before it looks at the memory map. */
  readonly initSize: number;
  readonly relocatable: boolean;
  readonly alignment: number;
  readonly preferredAddress: number;
  readonly initrdAddressMax: number;
  readonly commandLineSize: number;
  readonly is64: boolean;
}

const VERSION_CMD_LINE_PTR = 0x0202;
const VERSION_INITRD_ADDR_MAX = 0x0203;
const VERSION_SYSSIZE_32 = 0x0204;
const VERSION_RELOCATABLE = 0x0205;
const VERSION_CMDLINE_SIZE = 0x0206;
const VERSION_INIT_SIZE = 0x020a;
const VERSION_XLOADFLAGS = 0x020c;
const VERSION_ACPI_RSDP = 0x020e;

export function isLinux(image: ByteView): boolean {
  return (
    image.has(HEADER_MAGIC_OFFSET, 4) &&
    image.u16(BOOT_FLAG_OFFSET) === BOOT_FLAG &&
    image.u32(HEADER_MAGIC_OFFSET) === HEADER_MAGIC
  );
}

export function loadLinux(image: ByteView, guest: GuestWriter, options: BootOptions): InitialState {
  const header = readHeader(image);
  const commandLineBytes = new TextEncoder().encode(options.append).length;
  if (commandLineBytes > header.commandLineSize) {
    throw image.fail(
      `the command line has ${commandLineBytes} bytes and this kernel takes ${header.commandLineSize}; shorten --append`,
    );
  }

  const kernelAddress = placeKernel(image, header, guest);
  // The rest of init_size is the kernel's to clear; what is not written costs the host no memory.
  guest.ram.set(image.slice(header.setupSize, header.codeSize), kernelAddress);

  const bootParams = guest.table(ZERO_PAGE.SIZE, PAGE_SIZE);
  const gdt = guest.table(GDT_SIZE);
  const pageTables = header.is64 ? guest.table(PAGE_TABLES_SIZE, PAGE_SIZE) : 0;
  const commandLine = guest.string(options.append);
  const initrd = placeInitrd(image, header, guest, options);
  writeBootParams(image, header, guest, options, {
    bootParams,
    kernelAddress,
    commandLine,
    initrd,
  });

  if (header.is64) {
    const entry = { rip: kernelAddress + ENTRY_64_OFFSET, rsi: bootParams };
    return {
      protocol: 'linux-64',
      cpu: longModeState(guest.ram, gdt, pageTables, entry),
    };
  }
  return {
    protocol: 'linux-32',
    cpu: protectedModeState(guest.ram, gdt, {
      rip: kernelAddress,
      rsi: bootParams,
    }),
  };
}

export function readHeader(image: ByteView): LinuxHeader {
  const version = image.u16(SETUP.VERSION);
  const from = <T>(since: number, read: () => T, before: T): T => (version >= since ? read() : before);
  if (version < VERSION_CMD_LINE_PTR) {
    throw image.fail(`boot protocol ${versionText(version)} is too old; use a kernel of Linux 2.4 or later`);
  }
  if ((image.u8(SETUP.LOADFLAGS) & LOADFLAGS_LOADED_HIGH) === 0) {
    throw image.fail('this is a zImage, which loads below 1 MiB; use a bzImage');
  }

  // "If setup_sects contains 0, the real value is 4."
  const setupSize = ((image.u8(SETUP.SETUP_SECTS) || 4) + 1) * BOOT_SECTOR_SIZE;
  const rest = image.length - setupSize;
  const declared = from(VERSION_SYSSIZE_32, () => image.u32(SETUP.SYSSIZE) * 16, rest);
  // syssize counts paragraphs, so the file may end up to 15 bytes earlier.
  if (rest <= 0 || declared - rest > 15) {
    throw image.fail(
      `the kernel is truncated: it has ${image.length} bytes and its header promises ${setupSize + declared}; get a complete copy of it`,
    );
  }
  const codeSize = Math.min(declared, rest);
  const is64 = (from(VERSION_XLOADFLAGS, () => image.u16(SETUP.XLOADFLAGS), 0) & XLF_KERNEL_64) !== 0;
  if (codeSize <= (is64 ? ENTRY_64_OFFSET : 0)) {
    throw image.fail('the kernel holds no code behind its setup; get a complete copy of it');
  }

  const alignment = from(VERSION_RELOCATABLE, () => image.u32(SETUP.KERNEL_ALIGNMENT), 0);
  const relocatable = from(VERSION_RELOCATABLE, () => image.u8(SETUP.RELOCATABLE_KERNEL), 0) !== 0;
  if (relocatable && (alignment === 0 || (alignment & (alignment - 1)) !== 0)) {
    throw image.fail(`the header is damaged: kernel_alignment ${hex(alignment)} is not a power of two`);
  }
  return {
    version,
    setupSize,
    codeSize,
    initSize: Math.max(
      codeSize,
      from(VERSION_INIT_SIZE, () => image.u32(SETUP.INIT_SIZE), 0),
    ),
    relocatable,
    alignment: Math.max(alignment, PAGE_SIZE),
    preferredAddress: from(VERSION_INIT_SIZE, () => image.u64(SETUP.PREF_ADDRESS), DEFAULT_LOAD_ADDRESS),
    initrdAddressMax: from(
      VERSION_INITRD_ADDR_MAX,
      () => image.u32(SETUP.INITRD_ADDR_MAX) || DEFAULT_INITRD_ADDR_MAX,
      DEFAULT_INITRD_ADDR_MAX,
    ),
    commandLineSize: from(
      VERSION_CMDLINE_SIZE,
      () => image.u32(SETUP.CMDLINE_SIZE) || DEFAULT_CMDLINE_SIZE,
      DEFAULT_CMDLINE_SIZE,
    ),
    is64,
  };
}

/** At its preferred address when that is free, otherwise anywhere aligned if it is relocatable. */
function placeKernel(image: ByteView, header: LinuxHeader, guest: GuestWriter): number {
  const { plan } = guest;
  // A kernel that is not relocatable runs at pref_address whatever it was loaded at; before 2.10 that is 1 MiB.
  const preferred = header.preferredAddress;
  const aligned = !header.relocatable || preferred % header.alignment === 0;
  if (preferred >= ONE_MIB && aligned && plan.reserve(preferred, header.initSize)) return preferred;
  if (header.relocatable) {
    const address = plan.allocateLow(header.initSize, header.alignment, ONE_MIB);
    if (address !== undefined) return address;
  }
  const start = header.relocatable ? alignUp(ONE_MIB, header.alignment) : preferred;
  if (preferred < ONE_MIB || header.initSize > 0x8000_0000 || start > 0x8000_0000) {
    throw image.fail(
      `the header is damaged: the kernel wants ${hex(header.initSize)} bytes at address ${hex(start)}, which no guest has`,
    );
  }
  throw outOfMemory(image.name, header.initSize, start + header.initSize, guest.ram.length);
}

interface Placed {
  readonly address: number;
  readonly size: number;
}

/** Several files become one initrd: the kernel unpacks concatenated archives, each starting at a multiple of 4. */
export function joinInitrd(image: ByteView, modules: readonly BootModule[]): Uint8Array {
  let size = 0;
  for (const module of modules) {
    if (module.args !== '') {
      const args = module.args.length > 60 ? `${module.args.slice(0, 57)}...` : module.args;
      throw image.fail(
        `a Linux initrd takes no arguments, but "${args}" was given with ${module.name ?? 'it'}; use --append for the kernel's`,
      );
    }
    size = alignUp(size, 4) + module.data.length;
  }
  const first = modules[0];
  if (first !== undefined && modules.length === 1) return first.data;
  const joined = new Uint8Array(size);
  let offset = 0;
  for (const module of modules) {
    offset = alignUp(offset, 4);
    joined.set(module.data, offset);
    offset += module.data.length;
  }
  return joined;
}

function placeInitrd(image: ByteView, header: LinuxHeader, guest: GuestWriter, options: BootOptions): Placed {
  const initrd = joinInitrd(image, options.modules);
  const size = initrd.length;
  if (size === 0) return { address: 0, size: 0 };
  const limit = header.initrdAddressMax + 1;
  const address = guest.plan.allocateHigh(size, PAGE_SIZE, ONE_MIB, limit);
  const first = options.modules[0]?.name ?? 'the initrd';
  if (address === undefined) {
    const required = guest.plan.highestUsed + size + PAGE_SIZE;
    if (required > limit) {
      throw image.fail(
        `this kernel takes an initrd only below ${hex(limit)}, and ${first} (${size} bytes) does not fit`,
      );
    }
    throw outOfMemory(first, size, required, guest.ram.length);
  }
  guest.ram.set(initrd, address);
  return { address, size };
}

interface Addresses {
  readonly bootParams: number;
  readonly kernelAddress: number;
  readonly commandLine: number;
  readonly initrd: Placed;
}

function writeBootParams(
  image: ByteView,
  header: LinuxHeader,
  guest: GuestWriter,
  options: BootOptions,
  at: Addresses,
): void {
  const { ram, view } = guest;
  const base = at.bootParams;
  // The setup header travels along; its length is a byte of the file, so it is cut where boot_params has other fields.
  const end = Math.min(HEADER_MAGIC_OFFSET + image.u8(SETUP.HEADER_END), ZERO_PAGE.SETUP_HEADER_LIMIT, image.length);
  ram.set(image.slice(ZERO_PAGE.SETUP_HEADER, end - ZERO_PAGE.SETUP_HEADER), base + ZERO_PAGE.SETUP_HEADER);

  view.setUint16(base + SETUP.VID_MODE, VID_MODE_NORMAL, true);
  view.setUint8(base + SETUP.TYPE_OF_LOADER, LOADER_UNDEFINED);
  view.setUint8(base + SETUP.LOADFLAGS, image.u8(SETUP.LOADFLAGS) & ~LOADFLAGS_CAN_USE_HEAP);
  view.setUint32(base + SETUP.CODE32_START, at.kernelAddress, true);
  view.setUint32(base + SETUP.RAMDISK_IMAGE, at.initrd.address, true);
  view.setUint32(base + SETUP.RAMDISK_SIZE, at.initrd.size, true);
  view.setUint32(base + SETUP.CMD_LINE_PTR, at.commandLine, true);
  if (header.version >= VERSION_ACPI_RSDP) guest.u64(base + ZERO_PAGE.ACPI_RSDP_ADDR, options.rsdp);

  const extendedKib = Math.floor((ram.length - ONE_MIB) / 1024);
  view.setUint16(base + ZERO_PAGE.EXT_MEM_K, Math.min(extendedKib, 0xffff), true);
  view.setUint32(base + ZERO_PAGE.ALT_MEM_K, extendedKib, true);
  const entries = options.memoryMap.slice(0, E820_MAX_ENTRIES);
  view.setUint8(base + ZERO_PAGE.E820_ENTRIES, entries.length);
  entries.forEach((entry, index) => {
    const address = base + ZERO_PAGE.E820_TABLE + index * E820_ENTRY_SIZE;
    guest.u64(address, entry.base);
    guest.u64(address + 8, entry.size);
    view.setUint32(address + 16, entry.type, true);
  });
}

function versionText(version: number): string {
  return `${version >> 8}.${(version & 0xff).toString().padStart(2, '0')}`;
}
