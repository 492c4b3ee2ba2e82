/**
 * A Linux bzImage for a firmware: its parts as fw_cfg offers them, with the setup header filled in as a boot loader does.
 * The real-mode entry is used, so the setup code asks the firmware for memory map and video mode. Linux documentation,
 * "The Linux/x86 Boot Protocol", "Loading The Rest of The Kernel", "Special Command Line Options".
 */
import { ByteView } from '../../base/byte-view.js';
import { BadImageError } from '../../base/errors.js';
import { LOADER_UNDEFINED, LOADFLAGS_CAN_USE_HEAP, SETUP, VID_MODE_NORMAL } from '../../spec/boot/linux.js';
import * as fw from '../../spec/fw-cfg.js';
import type { BootModule } from './boot.js';
import { outOfMemory } from './guest-writer.js';
import { isLinux, joinInitrd, readHeader } from './linux.js';
import { linuxOptionRom } from './option-rom.js';
import { alignUp, ONE_MIB } from './ram-plan.js';

/** Setup code with its heap and stack below it, then the command line; all in free low memory. */
const SETUP_ADDRESS = 0x10000;
const SETUP_MAX = 0x8000;
const HEAP_END = 0xf000;
const COMMAND_LINE_ADDRESS = 0x20000;
const COMMAND_LINE_MAX = 0x8000;
/** The heap's end as the header has it stands this much lower. */
const HEAP_END_BIAS = 0x200;
/** What firmware may keep for itself at the end of memory. */
const FIRMWARE_RESERVE = ONE_MIB;

export const LINUX_ROM_NAME = `${fw.FOLDER_OPTION_ROMS}trapeze-linux.rom`;

export interface FirmwareGuest {
  readonly kernel: Uint8Array;
  readonly kernelName: string;
  readonly modules: readonly BootModule[];
  readonly append: string;
  readonly ramSizeBytes: number;
}

/** fw_cfg items by key, and files by name. */
export interface FirmwareItems {
  readonly items: ReadonlyMap<number, Uint8Array>;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

export function linuxItems(guest: FirmwareGuest): FirmwareItems {
  const image = new ByteView(guest.kernel, guest.kernelName);
  if (!isLinux(image)) throw image.fail('firmware starts Linux bzImages only; give one, or leave --firmware out');
  if (guest.append.includes('\0')) throw new BadImageError('the command line holds a zero byte; remove it');
  const header = readHeader(image);
  if (header.setupSize > SETUP_MAX) {
    throw image.fail(`the header is damaged: ${header.setupSize} bytes of setup code, where 32 KiB are the most`);
  }
  const commandLine = new TextEncoder().encode(`${guest.append}\0`);
  const room = Math.min(header.commandLineSize, COMMAND_LINE_MAX);
  if (commandLine.length - 1 > room) {
    throw image.fail(
      `the command line has ${commandLine.length - 1} bytes and this kernel takes ${room}; shorten --append`,
    );
  }
  const initrd = joinInitrd(image, guest.modules);
  const kernel = image.slice(header.setupSize, header.codeSize);
  // It unpacks itself at its preferred address, or above it where that is not aligned.
  const start = header.relocatable ? alignUp(Math.max(ONE_MIB, header.preferredAddress), header.alignment) : ONE_MIB;
  const required = Math.max(ONE_MIB + kernel.length, start + header.initSize) + initrd.length + FIRMWARE_RESERVE;
  if (required > guest.ramSizeBytes) {
    throw outOfMemory(guest.kernelName, kernel.length + initrd.length, required, guest.ramSizeBytes);
  }

  const setup = image.slice(0, header.setupSize).slice();
  const view = new DataView(setup.buffer, setup.byteOffset, setup.byteLength);
  view.setUint16(SETUP.VID_MODE, VID_MODE_NORMAL, true);
  setup[SETUP.TYPE_OF_LOADER] = LOADER_UNDEFINED;
  setup[SETUP.LOADFLAGS] |= LOADFLAGS_CAN_USE_HEAP;
  view.setUint16(SETUP.HEAP_END_PTR, HEAP_END - HEAP_END_BIAS, true);
  view.setUint32(SETUP.CMD_LINE_PTR, COMMAND_LINE_ADDRESS, true);
  // The option ROM reads this field whatever the version.
  view.setUint32(SETUP.INITRD_ADDR_MAX, header.initrdAddressMax, true);

  const items = new Map<number, Uint8Array>();
  const part = (keys: { ADDRESS: number; SIZE: number; DATA: number }, address: number, data: Uint8Array): void => {
    items.set(keys.ADDRESS, dword(address));
    items.set(keys.SIZE, dword(data.length));
    items.set(keys.DATA, data);
  };
  part(fw.FW_CFG_SETUP, SETUP_ADDRESS, setup);
  part(fw.FW_CFG_KERNEL, ONE_MIB, kernel);
  part(fw.FW_CFG_COMMAND_LINE, COMMAND_LINE_ADDRESS, commandLine);
  part(fw.FW_CFG_INITRD, 0, initrd);
  return {
    items,
    files: new Map([
      [LINUX_ROM_NAME, linuxOptionRom()],
      [fw.FILE_BOOT_ORDER, new TextEncoder().encode(`${fw.BOOT_ORDER_ROM}${LINUX_ROM_NAME}\0`)],
    ]),
  };
}

function dword(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}
