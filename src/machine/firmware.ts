/** What the machine tells its firmware through fw_cfg: memory, tables, boot order, and a kernel to start. */
import { PM_BASE } from '../spec/acpi.js';
import * as fw from '../spec/fw-cfg.js';
import { COM_PORTS } from '../spec/uart-16550.js';
import { linuxItems } from './boot/firmware-linux.js';
import type { Chipset } from './chipset.js';
import type { MachineOptions } from './machine.js';
import { E820_RAM } from './memory-layout.js';
import { type AcpiFiles, acpiFiles } from './tables/acpi-loader.js';
import { smbiosTables } from './tables/smbios.js';

export interface FirmwareFacts {
  readonly ramSizeBytes: number;
  readonly vcpus: number;
  readonly serialPorts: number;
  readonly hpet: boolean;
}

const E820_ENTRY_SIZE = 20;

/** Throws TrapezeError for a kernel or initrd that firmware cannot start. */
export function offerToFirmware(chipset: Chipset, facts: FirmwareFacts, options: MachineOptions): void {
  const { fwCfg } = chipset;
  const { ramSizeBytes, vcpus } = facts;
  fwCfg.addItem(fw.FW_CFG_RAM_SIZE, number(ramSizeBytes, 8));
  fwCfg.addItem(fw.FW_CFG_NO_GRAPHIC, number(1, 2));
  fwCfg.addItem(fw.FW_CFG_NB_CPUS, number(vcpus, 2));
  fwCfg.addItem(fw.FW_CFG_MAX_CPUS, number(vcpus, 2));
  fwCfg.addItem(fw.FW_CFG_BOOT_MENU, number(0, 2));

  fwCfg.addFile(fw.FILE_E820, e820Entry(0, ramSizeBytes, E820_RAM));
  // Read after the firmware has moved the power management registers where it wants them.
  const acpi = (): AcpiFiles => acpiFiles({ ...facts, pmBase: chipset.pmBase || PM_BASE });
  fwCfg.addLiveFile(fw.FILE_ACPI_TABLES, () => acpi().tables);
  fwCfg.addFile(fw.FILE_ACPI_RSDP, acpi().rsdp);
  fwCfg.addFile(fw.FILE_TABLE_LOADER, acpi().loader);
  const smbios = smbiosTables({ vcpus, ramSizeBytes }, 0);
  fwCfg.addFile(fw.FILE_SMBIOS_ANCHOR, smbios.anchor);
  fwCfg.addFile(fw.FILE_SMBIOS_TABLES, smbios.tables);
  fwCfg.addFile(fw.FILE_BOOT_FAIL_WAIT, number(0xffffffff, 4));
  // There is no display: the firmware's own text goes to the first serial port.
  if (facts.serialPorts > 0) fwCfg.addFile(fw.FILE_SERCON_PORT, number(COM_PORTS[0].port, 2));

  const { kernel } = options;
  if (kernel === undefined) return;
  const { items, files } = linuxItems({
    kernel,
    kernelName: options.kernelName ?? 'the kernel',
    modules: options.modules ?? [],
    append: options.append ?? '',
    ramSizeBytes,
  });
  for (const [key, data] of items) fwCfg.addItem(key, data);
  for (const [name, data] of files) fwCfg.addFile(name, data);
}

/** Base, length, type. */
function e820Entry(base: number, size: number, type: number): Uint8Array {
  const entry = new Uint8Array(E820_ENTRY_SIZE);
  entry.set(number(base, 8));
  entry.set(number(size, 8), 8);
  entry.set(number(type, 4), 16);
  return entry;
}

function number(value: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff);
}
