/**
 * The contract of the boot loaders: what they are given, and what they leave behind. A loader writes the guest's image
 * into RAM and says in which state the first processor starts; it knows no device and no engine.
 */
import type { CpuState } from '../../engine/engine.js';
import type { MemoryMapEntry } from './ram-plan.js';

export type { MemoryMapEntry } from './ram-plan.js';

export interface BootModule {
  readonly data: Uint8Array;
  /** The text behind the file's name in `--initrd FILE ARGS`; Multiboot and PVH hand it to the kernel. */
  readonly args: string;
  /** File name, for messages and for Multiboot's module strings. */
  readonly name?: string;
}

export interface BootOptions {
  readonly kernel: Uint8Array;
  /** File name, for messages and as Multiboot 1's first word of the command line. */
  readonly kernelName?: string;
  readonly modules: readonly BootModule[];
  /** Command line. */
  readonly append: string;
  /** As the guest will be told; loaders only write into ranges of type 1. */
  readonly memoryMap: readonly MemoryMapEntry[];
  /** Guest-physical address of the ACPI RSDP, already in RAM; 0 when there is none. */
  readonly rsdp: number;
}

export type BootProtocol = 'linux-64' | 'linux-32' | 'pvh' | 'multiboot1' | 'multiboot2';

export interface InitialState {
  readonly protocol: BootProtocol;
  readonly cpu: CpuState;
}

/** Who we say we are, where a protocol has a field for it. */
export const BOOT_LOADER_NAME = 'trapeze';
