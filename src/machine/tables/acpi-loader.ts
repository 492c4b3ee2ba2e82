/**
 * The ACPI tables for a firmware that places them: the tables and the RSDP as files of fw_cfg, and the script that says
 * where they go, which fields are addresses of others and which bytes are checksums. QEMU's table loader interface.
 */
import * as fw from '../../spec/fw-cfg.js';
import { ACPI_ALIGNMENT, ACPI_CHECKSUM_OFFSET, type AcpiOptions, buildRsdp, layOutAcpiTables } from './acpi.js';

export interface AcpiFiles {
  readonly tables: Uint8Array;
  readonly rsdp: Uint8Array;
  readonly loader: Uint8Array;
}

/** "Root System Description Pointer (RSDP) Structure". */
const RSDP_ALIGNMENT = 16;
const RSDP_RSDT = 16;
const RSDP_XSDT = 24;
const RSDP_CHECKSUMS = [
  { offset: 8, length: 20 },
  { offset: 32, length: 36 },
];

export function acpiFiles(options: AcpiOptions): AcpiFiles {
  const { bytes, pointers, tables, rsdt, xsdt } = layOutAcpiTables(options, 0);
  const rsdp = Uint8Array.from(buildRsdp(rsdt, xsdt));
  // Some firmware subtracts the sum from the field, some stores it there: zero suits both.
  for (const { offset } of tables) bytes[offset + ACPI_CHECKSUM_OFFSET] = 0;
  for (const { offset } of RSDP_CHECKSUMS) rsdp[offset] = 0;
  const script = new LoaderScript();
  script.allocate(fw.FILE_ACPI_RSDP, RSDP_ALIGNMENT, fw.LOADER_ZONE_FSEG);
  script.allocate(fw.FILE_ACPI_TABLES, ACPI_ALIGNMENT, fw.LOADER_ZONE_HIGH);
  for (const { offset, size } of pointers) script.pointer(fw.FILE_ACPI_TABLES, offset, size);
  for (const { offset, length } of tables) {
    script.checksum(fw.FILE_ACPI_TABLES, offset + ACPI_CHECKSUM_OFFSET, offset, length);
  }
  script.pointer(fw.FILE_ACPI_RSDP, RSDP_RSDT, 4);
  script.pointer(fw.FILE_ACPI_RSDP, RSDP_XSDT, 8);
  for (const { offset, length } of RSDP_CHECKSUMS) script.checksum(fw.FILE_ACPI_RSDP, offset, 0, length);
  return { tables: bytes, rsdp, loader: script.bytes() };
}

/** Entries: a command, then its operands; file names take 56 bytes. */
class LoaderScript {
  readonly #entries: Uint8Array[] = [];

  allocate(file: string, alignment: number, zone: number): void {
    const { entry, view } = this.#add(fw.LOADER_ALLOCATE, file);
    view.setUint32(60, alignment, true);
    entry[64] = zone;
  }

  /** The field holds an offset into the tables and becomes their address. */
  pointer(file: string, offset: number, size: 4 | 8): void {
    const { entry, view } = this.#add(fw.LOADER_ADD_POINTER, file, fw.FILE_ACPI_TABLES);
    view.setUint32(116, offset, true);
    entry[120] = size;
  }

  checksum(file: string, offset: number, start: number, length: number): void {
    const { view } = this.#add(fw.LOADER_ADD_CHECKSUM, file);
    view.setUint32(60, offset, true);
    view.setUint32(64, start, true);
    view.setUint32(68, length, true);
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.#entries.length * fw.LOADER_ENTRY_SIZE);
    for (const [i, entry] of this.#entries.entries()) all.set(entry, i * fw.LOADER_ENTRY_SIZE);
    return all;
  }

  #add(command: number, ...files: string[]): { entry: Uint8Array; view: DataView } {
    const entry = new Uint8Array(fw.LOADER_ENTRY_SIZE);
    const view = new DataView(entry.buffer);
    view.setUint32(0, command, true);
    for (const [i, file] of files.entries()) {
      entry.set(
        Uint8Array.from(file, (letter) => letter.charCodeAt(0)),
        4 + i * fw.FW_CFG_FILE_NAME_SIZE,
      );
    }
    this.#entries.push(entry);
    return { entry, view };
  }
}
