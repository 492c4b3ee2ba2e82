/** What memory and fw_cfg hold when the processor starts, and its state: with firmware, or with a kernel in its place. */
import type { CpuState } from '../engine/engine.js';
import { resetState } from './boot/firmware.js';
import { loadGuest } from './boot/load-guest.js';
import type { Chipset } from './chipset.js';
import { offerToFirmware } from './firmware.js';
import type { MachineOptions } from './machine.js';
import { e820Map, writeBiosDataArea } from './memory-layout.js';
import { writeAcpiTables } from './tables/acpi.js';
import { writeSmbiosTables } from './tables/smbios.js';

export interface PowerOnFacts {
  readonly vcpus: number;
  readonly serialPorts: number;
}

/** Throws TrapezeError for what cannot be loaded. */
export function powerOn(ram: Uint8Array, chipset: Chipset, facts: PowerOnFacts, options: MachineOptions): CpuState {
  const { vcpus, serialPorts } = facts;
  const tables = { vcpus, serialPorts, hpet: true, ramSizeBytes: ram.length };
  if (options.firmware !== undefined) {
    offerToFirmware(chipset, tables, options);
    return resetState();
  }
  writeBiosDataArea(ram);
  const { rsdp } = writeAcpiTables(ram, tables);
  writeSmbiosTables(ram, tables);
  return loadGuest(ram, {
    kernel: options.kernel ?? new Uint8Array(0),
    kernelName: options.kernelName ?? 'kernel',
    modules: options.modules ?? [],
    append: options.append ?? '',
    memoryMap: e820Map(ram.length),
    rsdp,
  }).cpu;
}
