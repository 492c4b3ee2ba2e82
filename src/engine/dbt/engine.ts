/** The translating engine: one shared linear memory per VM, the runtime instantiated over it. */
import * as S from '../../x86/state.js';
import {
  type CpuidEntry,
  cpuidEntries,
  DEFAULT_CPUID_OPTIONS,
  writeCpuidTable,
} from '../../x86/system/cpuid-profile.js';
import type { Engine } from '../engine.js';
import { DirectAnswers } from './direct-answers.js';
import { DirectCompiler } from './direct-compiler.js';
import { DbtPhysicalMap } from './physical-map.js';
import type { Compiler } from './translation.js';
import type { DbtOptions } from './translator.js';
import { DbtVcpu } from './vcpu.js';

const WASM_PAGE = 65536;
const PAGE = 4096;
const PHYSICAL_ADDRESS_BITS = 39;
/** IA32_MISC_ENABLE as firmware leaves it: fast strings on (bit 0), no branch trace store (11), no PEBS (12). SDM Vol. 4. */
const MISC_ENABLE_RESET = 0x1801n;
const VGA_WINDOW = { first: 0xa0000, last: 0xbffff };

export interface DbtHost {
  /** Nanoseconds, monotonic. */
  now(): number;
  /** TSC ticks of the virtual clock. */
  tsc(): number;
  /** The CPUID table; absent: the profile. */
  readonly cpuid?: readonly CpuidEntry[] | undefined;
  /** A uniformly random u32. */
  random(): number;
  /** A compiler in a thread of its own; absent: regions are compiled between two runs of the vCPU. */
  startCompiler?: ((memory: WebAssembly.Memory) => Compiler) | undefined;
}

/** Linear memory for a VM with `ramBytes` of guest RAM: control area, RAM and ROM, populated by the host on first touch. */
export function createVmMemory(ramBytes: number, romBytes = 0): WebAssembly.Memory {
  const pages = Math.ceil((S.RAM + ramBytes + romBytes) / WASM_PAGE);
  return new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true });
}

export function guestRam(memory: WebAssembly.Memory, ramBytes: number): Uint8Array {
  return new Uint8Array(memory.buffer, S.RAM, ramBytes);
}

export class DbtEngine implements Engine {
  readonly name = 'dbt';
  readonly memory: WebAssembly.Memory;
  readonly map: DbtPhysicalMap;
  /** What a guest is told to be. */
  readonly cpuid: readonly CpuidEntry[];
  private readonly runtime: WebAssembly.Module;
  private readonly options: DbtOptions;
  private readonly host: DbtHost;

  /** `rom` ends at 4 GiB: whole pages, and the memory has room for them behind RAM. */
  constructor(
    memory: WebAssembly.Memory,
    ramBytes: number,
    runtime: WebAssembly.Module,
    options: DbtOptions,
    host: DbtHost,
    rom?: Uint8Array,
  ) {
    this.memory = memory;
    this.runtime = runtime;
    this.options = options;
    this.host = host;
    const view = new DataView(memory.buffer);
    view.setUint32(S.CPU_BASE + S.RAM_SIZE, ramBytes, true);
    view.setUint32(S.CPU_BASE + S.PHYSICAL_BITS, PHYSICAL_ADDRESS_BITS, true);
    this.cpuid = host.cpuid ?? cpuidEntries();
    writeCpuidTable(view, DEFAULT_CPUID_OPTIONS, this.cpuid);
    view.setBigUint64(S.CPU_BASE + S.MISC_ENABLE, MISC_ENABLE_RESET, true);
    const attributes = new Uint8Array(memory.buffer, S.PAGE_ATTRIBUTES, ramBytes / PAGE);
    attributes.fill(S.PAGE_DEVICE, VGA_WINDOW.first / PAGE, Math.floor(VGA_WINDOW.last / PAGE) + 1);
    this.map = new DbtPhysicalMap(memory);
    if (rom !== undefined) this.map.loadRom(rom);
  }

  createVcpu(index: number): DbtVcpu {
    if (index !== 0) throw new RangeError('the translating engine has one vCPU so far');
    const answers = new DirectAnswers(this.memory);
    const env = {
      memory: this.memory,
      clock: () => this.host.tsc(),
      random: () => this.host.random(),
      ...answers.imports,
    };
    const instance = new WebAssembly.Instance(this.runtime, { env });
    const startCompiler = (): Compiler => this.host.startCompiler?.(this.memory) ?? new DirectCompiler(this.memory);
    const vcpu = new DbtVcpu(
      this.memory,
      instance.exports,
      this.options,
      startCompiler,
      () => this.host.now(),
      answers,
    );
    this.map.vcpu = vcpu;
    return vcpu;
  }

  startDirtyLog(): void {
    this.takeDirtyLog();
  }

  /** Pages are marked as their write views are filled: the views go with the marks. */
  takeDirtyLog(): Uint8Array {
    const frames = new DataView(this.memory.buffer).getUint32(S.CPU_BASE + S.RAM_SIZE, true) / PAGE;
    const attributes = new Uint8Array(this.memory.buffer, S.PAGE_ATTRIBUTES, frames);
    const log = new Uint8Array(Math.ceil(frames / 8));
    for (let frame = 0; frame < frames; frame++) {
      const attribute = attributes[frame] as number;
      if ((attribute & S.PAGE_DIRTY) === 0) continue;
      attributes[frame] = attribute & ~S.PAGE_DIRTY;
      log[frame >> 3] = (log[frame >> 3] as number) | (1 << (frame & 7));
    }
    this.map.vcpu?.flushTlb();
    return log;
  }

  close(): void {
    this.map.vcpu?.close();
  }
}
