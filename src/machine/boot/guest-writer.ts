/** Writing into guest RAM what every protocol needs: command lines, modules, tables; and the sentence when it does not fit. */
import { OutOfMemoryError } from '../../base/errors.js';
import type { BootOptions } from './boot.js';
import { ONE_MIB, PAGE_SIZE, RamPlan } from './ram-plan.js';

export interface PlacedModule {
  readonly address: number;
  readonly size: number;
  readonly args: string;
  readonly name: string | undefined;
}

/** Below 640 KiB: where structures go that every kernel can reach. */
const LOW_LIMIT = 0x9f000;
const MIB = 1024 * 1024;

export class GuestWriter {
  readonly ram: Uint8Array;
  readonly view: DataView;
  readonly plan: RamPlan;
  private readonly encoder = new TextEncoder();

  constructor(ram: Uint8Array, options: BootOptions) {
    this.ram = ram;
    this.view = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
    this.plan = new RamPlan(ram.length, options.memoryMap);
  }

  /** Zeroed room for a structure: below 640 KiB when it fits there, otherwise above 1 MiB. */
  table(size: number, align = 16): number {
    const address =
      this.plan.allocateLow(size, align, undefined, LOW_LIMIT) ?? this.plan.allocateLow(size, align, ONE_MIB);
    if (address === undefined) throw this.noRoomForTables(size);
    this.ram.fill(0, address, address + size);
    return address;
  }

  /** A zero-terminated string; its address. */
  string(text: string): number {
    const bytes = this.encoder.encode(text);
    const address = this.table(bytes.length + 1, 1);
    this.ram.set(bytes, address);
    return address;
  }

  /** Modules as high as they go, page-aligned, the first one highest. */
  modules(options: BootOptions): PlacedModule[] {
    const required = Math.max(this.plan.highestUsed, ONE_MIB) + totalSize(options.modules);
    return options.modules.map((module) => {
      const address = this.plan.allocateHigh(Math.max(module.data.length, 1), PAGE_SIZE);
      if (address === undefined) {
        throw outOfMemory(moduleName(module.name), module.data.length, required, this.ram.length);
      }
      this.ram.set(module.data, address);
      return {
        address,
        size: module.data.length,
        args: module.args,
        name: module.name,
      };
    });
  }

  u64(address: number, value: number): void {
    this.view.setUint32(address, value % 0x1_0000_0000, true);
    this.view.setUint32(address + 4, Math.floor(value / 0x1_0000_0000), true);
  }

  private noRoomForTables(size: number): OutOfMemoryError {
    const used = Math.max(this.plan.highestUsed, ONE_MIB);
    return outOfMemory('the boot information', size, used + size + PAGE_SIZE, this.ram.length);
  }
}

/** The one sentence; `required` is rounded up so that the advice really works. */
export function outOfMemory(what: string, size: number, required: number, ramSize: number): OutOfMemoryError {
  const advised = Math.max(Math.ceil((required + MIB) / (16 * MIB)) * 16, Math.ceil(ramSize / MIB) + 16);
  const largest = 3072;
  const remedy = advised <= largest ? `use --memory ${advised}M or more` : 'more than the largest guest (3 GiB) has';
  return new OutOfMemoryError(
    `${what} (${mib(size)}) does not fit into ${mib(ramSize)} of guest memory; ${remedy}`,
    advised <= largest ? advised * MIB : undefined,
  );
}

export function moduleName(name: string | undefined): string {
  return name ?? 'the initrd';
}

function totalSize(modules: BootOptions['modules']): number {
  return modules.reduce((sum, module) => sum + module.data.length + PAGE_SIZE, 0);
}

function mib(bytes: number): string {
  if (bytes < MIB) return `${Math.ceil(bytes / 1024)} KiB`;
  return `${Math.ceil(bytes / MIB)} MiB`;
}
