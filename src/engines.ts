/** The engines over one VM's memory: which one runs, and the translating engine beside KVM for what KVM refuses. */
import { TrapezeError } from './base/errors.js';
import { createVmMemory, DbtEngine, guestRam } from './engine/dbt/engine.js';
import type { DbtVcpu } from './engine/dbt/vcpu.js';
import type { Engine, PhysicalMap, Vcpu } from './engine/engine.js';
import { KvmEngine } from './engine/kvm/engine.js';
import type { System } from './engine/kvm/system.js';
import type { TranslationReport } from './machine/protocol.js';
import type { EngineWithMemory } from './machine/virtual-machine.js';
import * as S from './x86/state.js';

export type EngineName = Engine['name'];

/** Entries after which a block is translated. */
const HOT_THRESHOLD = 300;
const DBT_TSC_HZ = 1e9;

export interface EnginesHost {
  /** Nanoseconds, monotonic. */
  now(): number;
  random(): number;
  /** The operating system for /dev/kvm; absent where there is none. Throws TrapezeError. */
  openSystem?: (() => System) | undefined;
  /** Where what is taken from it is noted. */
  readonly lease?: SharedArrayBuffer | undefined;
}

export class Engines implements EngineWithMemory {
  readonly ram: Uint8Array;
  tscHz = DBT_TSC_HZ;
  private readonly memory: WebAssembly.Memory;
  private readonly host: EnginesHost;
  private readonly virtualNow: () => number;
  private readonly dbt: DbtEngine;
  private readonly kvm: KvmEngine | undefined;
  private translating: DbtVcpu | undefined;
  private running: Vcpu | undefined;

  /** `firmware` is a ROM of whole pages that ends at 4 GiB. `virtualNow`: nanoseconds of the machine's own clock. */
  constructor(
    name: EngineName,
    ramBytes: number,
    firmware: Uint8Array | undefined,
    runtime: WebAssembly.Module,
    host: EnginesHost,
    virtualNow: () => number,
  ) {
    this.host = host;
    this.virtualNow = virtualNow;
    this.memory = createVmMemory(ramBytes, firmware?.length);
    this.ram = guestRam(this.memory, ramBytes);
    const options = { hotThreshold: HOT_THRESHOLD };
    const dbtHost = { now: () => host.now(), tsc: () => this.tsc(), random: () => host.random() };
    this.dbt = new DbtEngine(this.memory, ramBytes, runtime, options, dbtHost, firmware);
    if (name === 'kvm') {
      if (firmware !== undefined) {
        throw new TrapezeError('host-unsupported', 'the kvm engine runs no firmware yet; use engine dbt with it');
      }
      this.kvm = this.openKvm(ramBytes);
      this.tscHz = this.kvm.tscHz;
    }
  }

  get engine(): Engine {
    const { kvm } = this;
    return {
      name: kvm === undefined ? 'dbt' : 'kvm',
      createVcpu: (index) => {
        this.running = kvm === undefined ? this.translatingVcpu(index) : kvm.createVcpu(index);
        return this.running;
      },
      startDirtyLog: () => (kvm ?? this.dbt).startDirtyLog(),
      takeDirtyLog: () => (kvm ?? this.dbt).takeDirtyLog(),
      close: () => kvm?.close(),
    };
  }

  get map(): PhysicalMap {
    return this.dbt.map;
  }

  /** A device wrote guest RAM. */
  written(gpa: number, sizeBytes: number): void {
    this.translating?.written(gpa, sizeBytes);
  }

  inspect(linear: bigint, executed: boolean): TranslationReport | undefined {
    return this.translating?.inspect(linear, executed);
  }

  peek(linear: bigint, length: number): Uint8Array {
    const { running } = this;
    if (running === undefined) return new Uint8Array(0);
    const vcpu = this.translatingVcpu(0);
    if (vcpu !== running) vcpu.load(running.save());
    return vcpu.peek(linear, length);
  }

  /** Ticks of the virtual clock. */
  private tsc(): number {
    return (this.virtualNow() * this.tscHz) / 1e9;
  }

  private translatingVcpu(index: number): DbtVcpu {
    this.translating ??= this.dbt.createVcpu(index);
    return this.translating;
  }

  private openKvm(ramBytes: number): KvmEngine {
    const { host } = this;
    if (host.openSystem === undefined) {
      throw new TrapezeError('host-unsupported', 'the kvm engine runs on Linux under Node only; use engine dbt');
    }
    return new KvmEngine(this.memory, S.RAM, ramBytes, {
      system: host.openSystem(),
      now: () => host.now(),
      lease: host.lease,
      tscHz: DBT_TSC_HZ,
      stepper: (index) => this.translatingVcpu(index),
    });
  }
}
