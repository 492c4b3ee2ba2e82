/** Multiboot 2 images: the header's tags. Multiboot2 Specification 2.0, "OS image format" and "I386 machine state". */
import type { ByteView } from '../../base/byte-view.js';
import { hex } from '../../base/byte-view.js';
import { CONSOLE_REQUIRED, HEADER_TAG, INFO_TAG, MULTIBOOT2, RELOCATE_PREFER_HIGH } from '../../spec/boot/multiboot.js';
import type { BootOptions, InitialState } from './boot.js';
import { placeElfSections } from './elf-sections.js';
import type { GuestWriter } from './guest-writer.js';
import { GDT_SIZE, protectedModeState } from './initial-state.js';
import { type LoadAddresses, loadMultibootImage, type Relocation } from './multiboot-image.js';
import { writeInformation } from './multiboot2-information.js';
import { alignUp } from './ram-plan.js';

interface Multiboot2Header {
  readonly addresses: LoadAddresses | undefined;
  readonly entry: number | undefined;
  readonly relocation: Relocation | undefined;
  /** Information tags the image cannot do without. */
  readonly required: readonly number[];
}

const TAG_HEADER_SIZE = 8;

/** What the information can hold on this machine. */
const OFFERED: ReadonlySet<number> = new Set([
  INFO_TAG.CMDLINE,
  INFO_TAG.BOOT_LOADER_NAME,
  INFO_TAG.MODULE,
  INFO_TAG.BASIC_MEMINFO,
  INFO_TAG.MMAP,
  INFO_TAG.ELF_SECTIONS,
  INFO_TAG.ACPI_OLD,
  INFO_TAG.ACPI_NEW,
  INFO_TAG.LOAD_BASE_ADDR,
]);

export function findMultiboot2(image: ByteView): number | undefined {
  const end = Math.min(image.length, MULTIBOOT2.SEARCH_LIMIT) - MULTIBOOT2.HEADER_SIZE;
  for (let at = 0; at <= end; at += MULTIBOOT2.HEADER_ALIGN) {
    if (image.u32(at) !== MULTIBOOT2.HEADER_MAGIC) continue;
    const sum = image.u32(at) + image.u32(at + 4) + image.u32(at + 8) + image.u32(at + 12);
    if (sum % 0x1_0000_0000 === 0) return at;
  }
  return undefined;
}

export function loadMultiboot2(image: ByteView, at: number, guest: GuestWriter, options: BootOptions): InitialState {
  const header = readHeader(image, at);
  const loaded = loadMultibootImage(image, guest, header.addresses, header.relocation);
  const entry = header.entry === undefined ? loaded.entry : header.entry + loaded.slide;
  if (entry === undefined) {
    throw image.fail('its Multiboot header has an address tag but no entry address tag; add one');
  }
  const sections = loaded.elf && placeElfSections(image, loaded.elf, guest, loaded.slide);
  const information = writeInformation(image, guest, options, {
    sections,
    loadBase: header.relocation === undefined ? undefined : loaded.base,
    required: header.required,
  });
  const registers = { rip: entry, rax: MULTIBOOT2.LOADER_MAGIC, rbx: information };
  return { protocol: 'multiboot2', cpu: protectedModeState(guest.ram, guest.table(GDT_SIZE), registers) };
}

function readHeader(image: ByteView, at: number): Multiboot2Header {
  const architecture = image.u32(at + 4);
  if (architecture !== MULTIBOOT2.ARCHITECTURE_I386) {
    throw image.fail(`its Multiboot header is for another architecture (${architecture}); use a kernel for x86`);
  }
  const end = at + image.u32(at + 8);
  let addresses: LoadAddresses | undefined;
  let entry: number | undefined;
  let relocation: Relocation | undefined;
  const required: number[] = [];

  let tag = at + MULTIBOOT2.HEADER_SIZE;
  for (;;) {
    if (tag + TAG_HEADER_SIZE > end) throw image.fail('its Multiboot header is damaged: the end tag is missing');
    const type = image.u16(tag);
    const optional = (image.u16(tag + 2) & MULTIBOOT2.TAG_OPTIONAL) !== 0;
    const size = image.u32(tag + 4);
    if (type === HEADER_TAG.END) break;
    if (size < TAG_HEADER_SIZE || tag + size > end)
      throw image.fail('its Multiboot header is damaged: a tag is cut off');
    const field = (index: number): number => image.u32(tag + TAG_HEADER_SIZE + index * 4);
    const need = (bytes: number): void => {
      if (size < bytes) throw image.fail(`its Multiboot header is damaged: a tag of type ${type} has ${size} bytes`);
    };
    switch (type) {
      case HEADER_TAG.INFORMATION_REQUEST:
        if (!optional) {
          for (let index = 0; index < (size - TAG_HEADER_SIZE) >> 2; index++) required.push(field(index));
        }
        break;
      case HEADER_TAG.ADDRESS:
        need(24);
        addresses = {
          headerOffset: at,
          headerAddress: field(0),
          loadAddress: field(1),
          loadEnd: field(2),
          bssEnd: field(3),
        };
        break;
      case HEADER_TAG.ENTRY_ADDRESS:
        need(12);
        entry = field(0);
        break;
      case HEADER_TAG.CONSOLE_FLAGS:
        need(12);
        if (!optional && (field(0) & CONSOLE_REQUIRED) !== 0) throw noDisplay(image, 'a console it knows');
        break;
      case HEADER_TAG.FRAMEBUFFER:
        if (!optional) throw noDisplay(image, 'a framebuffer');
        break;
      case HEADER_TAG.RELOCATABLE:
        need(24);
        relocation = { min: field(0), max: field(1), align: field(2), preferHigh: field(3) === RELOCATE_PREFER_HIGH };
        break;
      case HEADER_TAG.MODULE_ALIGN:
      // "This tag is taken into account only on EFI platforms": there is none here.
      case HEADER_TAG.EFI_BOOT_SERVICES:
      case HEADER_TAG.ENTRY_ADDRESS_EFI32:
      case HEADER_TAG.ENTRY_ADDRESS_EFI64:
        break;
      default:
        if (!optional) {
          throw image.fail(
            `its Multiboot header demands what this loader does not know (tag ${type}); make it optional`,
          );
        }
    }
    tag = alignUp(tag + size, MULTIBOOT2.HEADER_ALIGN);
  }
  const missing = required.find((wanted) => !OFFERED.has(wanted));
  if (missing !== undefined) {
    throw image.fail(
      `its Multiboot header demands information this machine does not have (tag ${hex(missing)}, such as EFI tables or a framebuffer); make the request optional`,
    );
  }
  return { addresses, entry, relocation, required };
}

function noDisplay(image: ByteView, what: string): Error {
  return image.fail(`its Multiboot header demands ${what}, and this machine has no display; make the tag optional`);
}
