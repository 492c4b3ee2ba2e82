/**
 * The ACPI tables, written where firmware keeps its own (0xe0000-0xfffff), or laid out for a firmware that places them
 * itself (acpi-loader.ts). ACPI, "ACPI Software Programming Model".
 *
 *   RSDP (0xf0000) ─► RSDT, XSDT ─► FADT ─► DSDT, FACS
 *                                └► MADT, HPET
 */
import * as pm from '../../spec/acpi.js';
import { APIC_DEFAULT_BASE, IOAPIC_BASE } from '../../spec/apic.js';
import { HPET_BASE, HPET_ID } from '../../spec/hpet.js';
import { CMOS_CENTURY } from '../../spec/mc146818.js';
import { FIRMWARE_TABLES_BASE, LOW_MEMORY_END } from '../memory-layout.js';
import { dsdtBody } from './dsdt.js';

export interface AcpiOptions {
  readonly vcpus: number;
  readonly serialPorts: number;
  /** True when the machine has an HPET. */
  readonly hpet: boolean;
  /** Where the power management registers are; default where they are without firmware. */
  readonly pmBase?: number;
}

const RSDP_ADDRESS = 0xf0000;
const OEM_ID = 'TRAPEZ';
const OEM_TABLE_ID = 'TRAPEZE ';
const CREATOR_ID = 'TRPZ';
const HEADER_SIZE = 36;
const SPACE_MEMORY = 0;
const SPACE_IO = 1;

/** "MADT": interrupt controller structures. */
const MADT_LOCAL_APIC = 0;
const MADT_IO_APIC = 1;
const MADT_OVERRIDE = 2;
const MADT_LOCAL_APIC_NMI = 4;
const MADT_PCAT_COMPAT = 1;
/** MPS INTI flags: active high, level triggered. */
const ACTIVE_HIGH_LEVEL = 0x000d;

/** FADT fixed feature flags: WBINVD, C1 on all processors, no sleep button, reset register. */
const FADT_FLAGS = (1 << 0) | (1 << 2) | (1 << 5) | (1 << 10);
/** Legacy devices, 8042, no VGA. */
const BOOT_ARCHITECTURE = 0x0007;
/** More than 100 and 1000 microseconds: no C2, no C3. */
const NO_C_STATE = 0x0fff;

/** A little-endian table under construction. */
class TableWriter {
  readonly bytes: number[] = [];

  add(value: number, size: number): this {
    for (let i = 0; i < size; i++) this.bytes.push(Math.floor(value / 2 ** (8 * i)) & 0xff);
    return this;
  }

  text(value: string): this {
    for (const letter of value) this.bytes.push(letter.charCodeAt(0));
    return this;
  }

  /** "Generic Address Structure". */
  address(space: number, bitWidth: number, accessSize: number, address: number): this {
    return this.add(space, 1).add(bitWidth, 1).add(0, 1).add(accessSize, 1).add(address, 8);
  }
}

function checksum(bytes: readonly number[]): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

/** "System Description Table Header" and a body. */
function table(signature: string, revision: number, body: readonly number[]): number[] {
  const header = new TableWriter()
    .text(signature)
    .add(HEADER_SIZE + body.length, 4)
    .add(revision, 1)
    .add(0, 1)
    .text(OEM_ID)
    .text(OEM_TABLE_ID)
    .add(1, 4)
    .text(CREATOR_ID)
    .add(1, 4).bytes;
  const bytes = [...header, ...body];
  bytes[9] = checksum(bytes);
  return bytes;
}

/** A field that holds an address: where it stands and how wide it is. */
export interface AcpiPointer {
  readonly offset: number;
  readonly size: 4 | 8;
}

/** All tables but the RSDP in one piece, made for an address. */
export interface AcpiLayout {
  readonly bytes: Uint8Array;
  readonly pointers: readonly AcpiPointer[];
  /** Tables with a checksum: their start and length. */
  readonly tables: readonly { readonly offset: number; readonly length: number }[];
  /** Offsets. */
  readonly rsdt: number;
  readonly xsdt: number;
}

const FADT_FACS: AcpiPointer = { offset: 36, size: 4 };
const FADT_DSDT: AcpiPointer = { offset: 40, size: 4 };
const FADT_X_DSDT: AcpiPointer = { offset: 140, size: 8 };
export const ACPI_CHECKSUM_OFFSET = 9;
export const ACPI_ALIGNMENT = 64;

export function layOutAcpiTables(options: AcpiOptions, base: number): AcpiLayout {
  const blob: number[] = [];
  const pointers: AcpiPointer[] = [];
  const checksummed: { offset: number; length: number }[] = [];
  const place = (bytes: readonly number[], fields: readonly AcpiPointer[] = [], alignment = 16): number => {
    while (blob.length % alignment !== 0) blob.push(0);
    const offset = blob.length;
    for (const byte of bytes) blob.push(byte);
    for (const field of fields) pointers.push({ ...field, offset: offset + field.offset });
    return offset;
  };
  const placeTable = (bytes: readonly number[], fields?: readonly AcpiPointer[]): number => {
    const offset = place(bytes, fields);
    checksummed.push({ offset, length: bytes.length });
    return offset;
  };
  const facs = place(buildFacs(), [], ACPI_ALIGNMENT);
  const dsdt = placeTable(table('DSDT', 2, dsdtBody(options)));
  const fadt = placeTable(buildFadt(base + facs, base + dsdt, options.pmBase), [FADT_FACS, FADT_DSDT, FADT_X_DSDT]);
  const tables = [fadt, placeTable(buildMadt(options.vcpus))];
  if (options.hpet) tables.push(placeTable(buildHpet()));
  const index = (signature: string, size: 4 | 8): number => {
    const body = tables.flatMap((at) => new TableWriter().add(base + at, size).bytes);
    return placeTable(
      table(signature, 1, body),
      tables.map((_, i) => ({ offset: HEADER_SIZE + i * size, size })),
    );
  };
  const rsdt = index('RSDT', 4);
  const xsdt = index('XSDT', 8);
  return { bytes: Uint8Array.from(blob), pointers, tables: checksummed, rsdt, xsdt };
}

/** Writes all tables into RAM (GPA 0 first) and says where the RSDP is. */
export function writeAcpiTables(ram: Uint8Array, options: AcpiOptions): { rsdp: number } {
  const { bytes, rsdt, xsdt } = layOutAcpiTables(options, FIRMWARE_TABLES_BASE);
  if (FIRMWARE_TABLES_BASE + bytes.length > RSDP_ADDRESS || LOW_MEMORY_END > ram.length) {
    throw new RangeError('no room for the ACPI tables');
  }
  ram.set(bytes, FIRMWARE_TABLES_BASE);
  ram.set(buildRsdp(FIRMWARE_TABLES_BASE + rsdt, FIRMWARE_TABLES_BASE + xsdt), RSDP_ADDRESS);
  return { rsdp: RSDP_ADDRESS };
}

export function buildRsdp(rsdt: number, xsdt: number): number[] {
  const bytes = new TableWriter()
    .text('RSD PTR ')
    .add(0, 1)
    .text(OEM_ID)
    .add(2, 1)
    .add(rsdt, 4)
    .add(36, 4)
    .add(xsdt, 8)
    .add(0, 4).bytes;
  bytes[8] = checksum(bytes.slice(0, 20));
  bytes[32] = checksum(bytes);
  return bytes;
}

/** "Firmware ACPI Control Structure": no header, no checksum. */
function buildFacs(): number[] {
  const facs = new TableWriter().text('FACS').add(64, 4).add(0, 24).add(1, 1);
  return facs.add(0, 64 - facs.bytes.length).bytes;
}

/** "Fixed ACPI Description Table", revision 3. */
function buildFadt(facs: number, dsdt: number, pmBase: number = pm.PM_BASE): number[] {
  const pm1Event = pmBase + pm.PM1_STATUS_OFFSET;
  const pm1Control = pmBase + pm.PM1_CONTROL_OFFSET;
  const pmTimer = pmBase + pm.PM_TIMER_OFFSET;
  const body = new TableWriter()
    .add(facs, 4)
    .add(dsdt, 4)
    .add(0, 1)
    .add(0, 1) // preferred profile: unspecified
    .add(pm.SCI_IRQ, 2)
    .add(pm.SMI_COMMAND_PORT, 4)
    .add(pm.SMI_ACPI_ENABLE, 1)
    .add(pm.SMI_ACPI_DISABLE, 1)
    .add(0, 2) // S4BIOS, P-state control
    .add(pm1Event, 4)
    .add(0, 4)
    .add(pm1Control, 4)
    .add(0, 4)
    .add(0, 4) // PM2
    .add(pmTimer, 4)
    .add(pm.GPE0_PORT, 4)
    .add(0, 4)
    .add(4, 1) // lengths: PM1 event, PM1 control, PM2, timer, GPE0, GPE1
    .add(2, 1)
    .add(0, 1)
    .add(4, 1)
    .add(pm.GPE0_SIZE, 1)
    .add(0, 1)
    .add(0, 1) // GPE1 base
    .add(0, 1) // C-state control
    .add(NO_C_STATE, 2)
    .add(NO_C_STATE, 2)
    .add(0, 4) // flush size and stride
    .add(0, 2) // duty offset and width
    .add(0, 2) // day and month alarm
    .add(CMOS_CENTURY, 1)
    .add(BOOT_ARCHITECTURE, 2)
    .add(0, 1)
    .add(FADT_FLAGS, 4)
    .address(SPACE_IO, 8, 1, pm.RESET_PORT)
    .add(pm.RESET_VALUE, 1)
    .add(0, 3)
    .add(0, 8) // 64-bit FACS address: the 32-bit one is used
    .add(dsdt, 8)
    .address(SPACE_IO, 32, 0, pm1Event)
    .address(0, 0, 0, 0)
    .address(SPACE_IO, 16, 0, pm1Control)
    .address(0, 0, 0, 0)
    .address(0, 0, 0, 0)
    .address(SPACE_IO, 32, 0, pmTimer)
    .address(SPACE_IO, pm.GPE0_SIZE * 8, 0, pm.GPE0_PORT)
    .address(0, 0, 0, 0);
  return table('FACP', 3, body.bytes);
}

/** "Multiple APIC Description Table". */
function buildMadt(vcpus: number): number[] {
  const body = new TableWriter().add(APIC_DEFAULT_BASE, 4).add(MADT_PCAT_COMPAT, 4);
  for (let i = 0; i < vcpus; i++) body.add(MADT_LOCAL_APIC, 1).add(8, 1).add(i, 1).add(i, 1).add(1, 4);
  body.add(MADT_IO_APIC, 1).add(12, 1).add(0, 1).add(0, 1).add(IOAPIC_BASE, 4).add(0, 4);
  const override = (irq: number, gsi: number, flags: number): void => {
    body.add(MADT_OVERRIDE, 1).add(10, 1).add(0, 1).add(irq, 1).add(gsi, 4).add(flags, 2);
  };
  override(0, 2, 0);
  override(pm.SCI_IRQ, pm.SCI_IRQ, ACTIVE_HIGH_LEVEL);
  // LINT1 of every processor is NMI.
  body.add(MADT_LOCAL_APIC_NMI, 1).add(6, 1).add(0xff, 1).add(0, 2).add(1, 1);
  return table('APIC', 3, body.bytes);
}

/** IA-PC HPET Specification, "The ACPI 2.0 HPET Description Table". */
function buildHpet(): number[] {
  const body = new TableWriter()
    .add(HPET_ID, 4)
    .address(SPACE_MEMORY, 64, 0, HPET_BASE)
    .add(0, 1)
    .add(100, 2)
    .add(0, 1);
  return table('HPET', 1, body.bytes);
}
