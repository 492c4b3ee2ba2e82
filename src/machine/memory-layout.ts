/**
 * The physical memory map of the machine.
 *
 *   0x0000_0000  RAM to 0x9_fc00, then the extended BIOS data area
 *   0x000a_0000  VGA window
 *   0x000c_0000  option ROMs
 *   0x000e_0000  firmware's tables: ACPI (below), reserved
 *   0x0010_0000  RAM to its end, at most 3 GiB
 *   0xc000_0000  PCI hole: BARs
 *   0xfec0_0000  I/O APIC, HPET, local APIC
 */
export const EBDA_BASE = 0x9fc00;
export const VGA_WINDOW_BASE = 0xa0000;
export const VGA_WINDOW_END = 0xbffff;
export const FIRMWARE_TABLES_BASE = 0xe0000;
export const LOW_MEMORY_END = 0x100000;
export const PCI_HOLE_BASE = 0xc0000000;
export const PCI_HOLE_END = 0xfebfffff;
export const MAX_RAM_SIZE = PCI_HOLE_BASE;
export const MIN_RAM_SIZE = 2 << 20;
/** I/O ports for BARs. */
export const PCI_IO_BASE = 0xc000;
export const PCI_IO_END = 0xffff;
/** PCI interrupt wires: eight I/O APIC pins, and the ISA interrupts that PIRQ A-D use behind the 8259As. */
export const PCI_GSI_BASE = 16;
export const PIRQ_IRQS: readonly number[] = [10, 10, 11, 11];

/** ACPI, "Address Range Types". */
export const E820_RAM = 1;
export const E820_RESERVED = 2;
export const E820_ACPI = 3;

export interface E820Region {
  readonly base: number;
  readonly size: number;
  readonly type: number;
}

function region(base: number, end: number, type: number): E820Region {
  return { base, size: end - base, type };
}

/** What firmware's INT 15h, E820h would say. */
export function e820Map(ramSizeBytes: number): E820Region[] {
  return [
    region(0, EBDA_BASE, E820_RAM),
    region(EBDA_BASE, VGA_WINDOW_BASE, E820_RESERVED),
    region(FIRMWARE_TABLES_BASE, LOW_MEMORY_END, E820_RESERVED),
    region(LOW_MEMORY_END, ramSizeBytes, E820_RAM),
  ];
}

/** The few words of the BIOS data area that systems look at without asking: where the EBDA is, base memory size. */
export function writeBiosDataArea(ram: Uint8Array): void {
  const view = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
  // COM1 at 0x400.
  view.setUint16(0x400, 0x3f8, true);
  view.setUint16(0x40e, EBDA_BASE >> 4, true);
  view.setUint16(0x413, EBDA_BASE >> 10, true);
  // The first byte of the EBDA is its size in KiB.
  view.setUint8(EBDA_BASE, (VGA_WINDOW_BASE - EBDA_BASE) >> 10);
}
