/**
 * SMBIOS tables: who made this machine and what is in it, for `dmidecode` and drivers' quirk lists.
 * DMTF DSP0134 "System Management BIOS Reference Specification" 2.8, "Structure Definitions".
 */
import { LOW_MEMORY_END } from '../memory-layout.js';

export interface SmbiosOptions {
  readonly vcpus: number;
  readonly ramSizeBytes: number;
  /** Product version, as in package.json. */
  readonly version?: string;
  /** 16 bytes as RFC 4122 prints them; all zero: "not settable". */
  readonly uuid?: Uint8Array;
}

/** The entry point is found on a 16-byte boundary in 0xf0000-0xfffff, behind the ACPI RSDP. */
const ENTRY_ADDRESS = 0xf0040;
const TABLE_ADDRESS = 0xf0080;
const ENTRY_SIZE = 31;
const MANUFACTURER = 'Trapeze';
const PRODUCT = 'Trapeze Virtual Machine';
const RELEASE_DATE = '01/01/2026';
const NO_HANDLE = 0xfffe;
const NO_CACHE = 0xffff;
const MEMORY_ARRAY_HANDLE = 0x1000;

/** One structure: header, fields, then its strings. */
class Structure {
  readonly #type: number;
  readonly #handle: number;
  readonly #fields: number[] = [];
  readonly #strings: string[] = [];

  constructor(type: number, handle: number) {
    this.#type = type;
    this.#handle = handle;
  }

  add(size: number, ...values: number[]): this {
    for (const value of values) {
      for (let i = 0; i < size; i++) this.#fields.push(Math.floor(value / 2 ** (8 * i)) & 0xff);
    }
    return this;
  }

  /** A string field holds the number of the string behind the structure. */
  text(...values: string[]): this {
    for (const value of values) this.#fields.push(this.#strings.push(value));
    return this;
  }

  bytes(): number[] {
    const ascii = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0) & 0x7f);
    const strings = this.#strings.flatMap((text) => [...ascii(text), 0]);
    const header = [this.#type, 4 + this.#fields.length, this.#handle & 0xff, this.#handle >> 8];
    // Without strings two zeroes end the structure, with strings one more.
    return [...header, ...this.#fields, ...(strings.length > 0 ? strings : [0]), 0];
  }
}

/** The entry point, made for tables at `tableAddress`, and the tables. */
export function smbiosTables(options: SmbiosOptions, tableAddress: number): { anchor: Uint8Array; tables: Uint8Array } {
  const structures = build(options).map((structure) => structure.bytes());
  const tables = Uint8Array.from(structures.flat());
  return { anchor: entryPoint(structures, tables.length, tableAddress), tables };
}

/** Writes the entry point and the structures into RAM (GPA 0 first). */
export function writeSmbiosTables(ram: Uint8Array, options: SmbiosOptions): void {
  const { anchor, tables } = smbiosTables(options, TABLE_ADDRESS);
  if (TABLE_ADDRESS + tables.length > LOW_MEMORY_END || ram.length < LOW_MEMORY_END) {
    throw new RangeError('no room for the SMBIOS tables');
  }
  ram.set(tables, TABLE_ADDRESS);
  ram.set(anchor, ENTRY_ADDRESS);
}

/** "SMBIOS 2.1 (32-bit) Entry Point": the whole and its second half each sum to zero. */
function entryPoint(structures: readonly number[][], tableLength: number, tableAddress: number): Uint8Array {
  const entry = new Uint8Array(ENTRY_SIZE);
  const view = new DataView(entry.buffer);
  entry.set([...'_SM_'].map((letter) => letter.charCodeAt(0)));
  entry[5] = ENTRY_SIZE;
  entry[6] = 2;
  entry[7] = 8;
  view.setUint16(8, Math.max(...structures.map((bytes) => bytes.length)), true);
  entry.set(
    [...'_DMI_'].map((letter) => letter.charCodeAt(0)),
    16,
  );
  view.setUint16(22, tableLength, true);
  view.setUint32(24, tableAddress, true);
  view.setUint16(28, structures.length, true);
  entry[30] = 0x28;
  const sum = (from: number): number => entry.subarray(from).reduce((total, byte) => total + byte, 0);
  entry[21] = -sum(16) & 0xff;
  entry[4] = -sum(0) & 0xff;
  return entry;
}

function build(options: SmbiosOptions): Structure[] {
  const version = options.version ?? 'unknown';
  const ramMib = Math.floor(options.ramSizeBytes / 2 ** 20);
  const ramKib = ramMib * 1024;
  return [
    // BIOS information. Characteristics: none listed; extension: targeted content, virtual machine.
    new Structure(0, 0)
      .text(MANUFACTURER, version)
      .add(2, 0xe000)
      .text(RELEASE_DATE)
      .add(1, 0)
      .add(8, 0x08)
      .add(1, 0, 0x14, 0, 0, 0xff, 0xff),
    // System: UUID with its first three fields little-endian, wake-up by power switch.
    new Structure(1, 0x100)
      .text(MANUFACTURER, PRODUCT, version)
      .add(1, 0)
      .add(1, ...wireUuid(options.uuid ?? new Uint8Array(16)))
      .add(1, 6, 0, 0),
    // Chassis: other; states safe, no security.
    new Structure(3, 0x300).text(MANUFACTURER).add(1, 1, 0, 0, 0, 3, 3, 3, 2).add(4, 0).add(1, 0, 0, 0, 0, 0),
    ...Array.from({ length: options.vcpus }, (_, i) => processor(i)),
    // Memory array: system board, system memory, no error correction.
    new Structure(16, MEMORY_ARRAY_HANDLE).add(1, 3, 3, 3).add(4, ramKib).add(2, NO_HANDLE, 1).add(8, 0),
    // Memory device: DIMM of RAM, size in MiB.
    new Structure(17, 0x1100)
      .add(2, MEMORY_ARRAY_HANDLE, NO_HANDLE, 64, 64, ramMib)
      .add(1, 9, 0)
      .text('DIMM 0')
      .add(1, 0, 7)
      .add(2, 2, 0)
      .text(MANUFACTURER)
      .add(1, 0, 0, 0, 0)
      .add(4, 0)
      .add(2, 0, 0, 0, 0),
    new Structure(19, 0x1300)
      .add(4, 0, ramKib - 1)
      .add(2, MEMORY_ARRAY_HANDLE)
      .add(1, 1)
      .add(8, 0, 0),
    // Boot status: no errors.
    new Structure(32, 0x2000).add(6, 0).add(1, 0),
    new Structure(127, 0x7f00),
  ];
}

/** A socket with one enabled single-core central processor. */
function processor(index: number): Structure {
  return new Structure(4, 0x400 + index)
    .text(`CPU ${index}`)
    .add(1, 3, 1)
    .text(MANUFACTURER)
    .add(8, 0)
    .text('virtual')
    .add(1, 0)
    .add(2, 0, 1000, 1000)
    .add(1, 0x41, 1)
    .add(2, NO_CACHE, NO_CACHE, NO_CACHE)
    .add(1, 0, 0, 0, 1, 1, 1)
    .add(2, 2, 1);
}

/** "System - UUID": time-low, time-mid and time-high are little-endian. */
function wireUuid(uuid: Uint8Array): number[] {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return order.map((i) => uuid[i] ?? 0);
}
