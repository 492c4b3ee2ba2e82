/** The engines over one VM's memory: which one runs, and the translating engine beside KVM for what KVM refuses. */
import { EngineSwitchError, TrapezeError } from './base/errors.js';
import { createVmMemory, DbtEngine, guestRam } from './engine/dbt/engine.js';
import type { Compiler } from './engine/dbt/translation.js';
import type { DbtVcpu } from './engine/dbt/vcpu.js';
import type { Engine, PhysicalMap, ShadowAccess, Vcpu } from './engine/engine.js';
import { type GuestView, missingUnderDbt, missingUnderKvm } from './engine/kvm/compatibility.js';
import { type IrqchipKind, KvmEngine } from './engine/kvm/engine.js';
import { type KvmProbe, probeKvm } from './engine/kvm/probe.js';
import type { System } from './engine/kvm/system.js';
import type { KvmVcpu } from './engine/kvm/vcpu.js';
import type { TranslationReport } from './machine/protocol.js';
import type { EngineWithMemory } from './machine/virtual-machine.js';
import { CPUID_FEATURES } from './spec/x86/cpuid.js';
import * as S from './x86/state.js';
import { type CpuidEntry, commonFeatures, cpuidEntries, DEFAULT_CPUID_OPTIONS } from './x86/system/cpuid-profile.js';

export type EngineName = Engine['name'];

/** Entries after which a block is translated. */
const HOT_THRESHOLD = 5000;
const DBT_TSC_HZ = 1e9;
const TSC = 0x10;
/** How far a time-stamp counter may jump ahead when the engine changes, and how long it is waited for one that is behind. */
const TSC_JUMP_S = 0.5;

export interface EnginesHost {
  /** Nanoseconds, monotonic. */
  now(): number;
  random(): number;
  /** The operating system for /dev/kvm; absent where there is none. Throws TrapezeError. */
  openSystem?: (() => System) | undefined;
  /** A thread that compiles regions; absent: the vCPU's own thread does. */
  startCompiler?: ((memory: WebAssembly.Memory) => Compiler) | undefined;
  /** Where what is taken from it is noted. */
  readonly lease?: SharedArrayBuffer | undefined;
}

export interface EnginesOptions {
  readonly name: EngineName;
  readonly ramBytes: number;
  /** A ROM of whole pages that ends at 4 GiB. */
  readonly firmware: Uint8Array | undefined;
  /** The TSC's frequency where the engine can choose it. */
  readonly tscHz?: number | undefined;
  /** Only what both engines have here is shown to the guest. */
  readonly switchable: boolean;
  /** Who is the local APIC under engine kvm. */
  readonly irqchip?: IrqchipKind | undefined;
  /** The compiler knows what was hot before. */
  readonly keepsTranslations: boolean;
  readonly runtime: WebAssembly.Module;
  /** Nanoseconds of the machine's own clock. */
  virtualNow(): number;
}

export class Engines implements EngineWithMemory {
  readonly ram: Uint8Array;
  readonly tscHz: number;
  private readonly options: EnginesOptions;
  private readonly host: EnginesHost;
  private readonly memory: WebAssembly.Memory;
  private readonly dbt: DbtEngine;
  private kvm: KvmEngine | undefined;
  private kvmVcpu: KvmVcpu | undefined;
  private translating: DbtVcpu | undefined;
  private current: EngineName;
  private probed: KvmProbe | undefined;
  /** What the chipset has said of memory, by address. */
  private readonly shadows = new Map<number, { readonly sizeBytes: number; readonly access: ShadowAccess }>();
  private isA20Open = true;

  constructor(options: EnginesOptions, host: EnginesHost) {
    const { name, ramBytes, firmware, runtime, switchable } = options;
    this.options = options;
    this.host = host;
    this.current = name;
    this.memory = createVmMemory(ramBytes, firmware?.length);
    this.ram = guestRam(this.memory, ramBytes);
    const needsKvm = name === 'kvm' || switchable;
    this.kvm = needsKvm ? this.openKvm() : undefined;
    this.tscHz = this.kvm?.tscHz ?? options.tscHz ?? DBT_TSC_HZ;
    const profile = cpuidEntries({ ...DEFAULT_CPUID_OPTIONS, tscHz: this.tscHz });
    const offered = switchable ? commonFeatures(profile, this.visible()) : profile;
    this.dbt = new DbtEngine(
      this.memory,
      ramBytes,
      runtime,
      { hotThreshold: HOT_THRESHOLD, startsAhead: options.keepsTranslations },
      {
        now: () => host.now(),
        tsc: () => this.ticks(),
        random: () => host.random(),
        cpuid: offered,
        startCompiler: host.startCompiler,
      },
      firmware,
    );
    if (this.kvm !== undefined) {
      this.kvmVcpu = this.kvm.createVcpu(0);
      // The guest's counter starts where KVM's is.
      const offset = this.kvmVcpu.readTsc() - BigInt(Math.floor(this.ticks()));
      new DataView(this.memory.buffer).setBigInt64(S.CPU_BASE + S.TSC_OFFSET, offset, true);
    }
  }

  get engine(): Engine {
    const running = (): Engine => (this.current === 'kvm' && this.kvm !== undefined ? this.kvm : this.dbt);
    return {
      name: this.current,
      createVcpu: () => this.vcpu(),
      startDirtyLog: () => running().startDirtyLog(),
      takeDirtyLog: () => running().takeDirtyLog(),
      close: () => {
        this.dbt.close();
        this.kvm?.close();
      },
    };
  }

  get features(): readonly string[] {
    return CPUID_FEATURES.filter(({ leaf, subleaf, register, bit }) => {
      const entry = this.seen.find((e) => e.leaf === leaf && (e.subleaf ?? 0) === subleaf);
      return entry !== undefined && ((entry[register] >>> bit) & 1) !== 0;
    }).map(({ name }) => name);
  }

  /** Every engine that there is follows; one that comes later is told what has changed before. */
  get map(): PhysicalMap {
    return {
      shadow: (base, sizeBytes, access) => {
        this.shadows.set(base, { sizeBytes, access });
        this.dbt.map.shadow(base, sizeBytes, access);
        this.kvm?.map.shadow(base, sizeBytes, access);
      },
      a20: (isOpen) => {
        this.isA20Open = isOpen;
        this.dbt.map.a20(isOpen);
        this.kvm?.map.a20(isOpen);
      },
    };
  }

  /** A device wrote guest RAM. */
  written(gpa: number, sizeBytes: number): void {
    this.translating?.written(gpa, sizeBytes);
  }

  inspect(linear: bigint, executed: boolean): TranslationReport | undefined {
    return this.translating?.inspect(linear, executed);
  }

  peek(linear: bigint, length: number): Uint8Array {
    const vcpu = this.translatingVcpu();
    if (this.current === 'kvm' && this.kvmVcpu !== undefined) vcpu.load(this.kvmVcpu.save());
    return vcpu.peek(linear, length);
  }

  statistics(): Record<string, Record<string, number>> {
    return { ...this.translating?.statistics(), ...this.kvmVcpu?.statistics() };
  }

  /**
   * The guest goes on under another engine. Nothing may be owed to the vCPU. Throws EngineSwitchError, and then the guest
   * is where it was.
   */
  switchTo(name: EngineName): Vcpu {
    if (name === this.current) return this.vcpu();
    const state = this.vcpu().save();
    const guest: GuestView = { state, seen: this.seen, peek: (linear, length) => this.peek(linear, length) };
    if (name === 'kvm') {
      this.enterKvm(guest);
    } else {
      refuse(name, missingUnderDbt(guest, this.dbt.cpuid));
      const vcpu = this.translatingVcpu();
      vcpu.forget();
      vcpu.load(state);
    }
    this.current = name;
    return this.vcpu();
  }

  /** CPUID as the guest has seen it where it started. */
  private get seen(): readonly CpuidEntry[] {
    return this.options.name === 'kvm' ? this.visible() : this.dbt.cpuid;
  }

  private enterKvm(guest: GuestView): void {
    const found = this.probe();
    if (!found.usable) throw new EngineSwitchError('kvm', [found.problem.replace(/; use --engine dbt$/, '')]);
    const missing = missingUnderKvm(guest, found.capabilities, found.cpuid);
    this.kvm ??= this.openKvm();
    if (this.kvm.tscHz !== this.tscHz) missing.push(`a time-stamp counter of ${this.tscHz / 1e6} MHz`);
    refuse('kvm', missing);
    this.kvmVcpu ??= this.kvm.createVcpu(0);
    this.kvmVcpu.load(guest.state);
    refuse('kvm', this.waitForTsc(this.kvmVcpu, Number(guest.state.msrs.get(TSC) ?? 0n)));
  }

  /** Where KVM cannot set the counter, it must be about where the guest's is: it never runs backwards. */
  private waitForTsc(vcpu: KvmVcpu, wanted: number): string[] {
    const limit = TSC_JUMP_S * this.tscHz;
    let ahead = Number(vcpu.readTsc()) - wanted;
    if (Math.abs(ahead) > limit) return ["a time-stamp counter that goes on from the guest's"];
    while (ahead < 0) ahead = Number(vcpu.readTsc()) - wanted;
    return [];
  }

  private vcpu(): Vcpu {
    return this.current === 'kvm' && this.kvmVcpu !== undefined ? this.kvmVcpu : this.translatingVcpu();
  }

  private translatingVcpu(): DbtVcpu {
    this.translating ??= this.dbt.createVcpu(0);
    return this.translating;
  }

  /** Ticks of the virtual clock. */
  private ticks(): number {
    return (this.options.virtualNow() * this.tscHz) / 1e9;
  }

  private probe(): KvmProbe {
    const { openSystem } = this.host;
    if (openSystem === undefined) return { usable: false, problem: 'the kvm engine runs on Linux under Node only' };
    this.probed ??= probeKvm(openSystem, () => this.host.now(), this.kvm === undefined ? this.host.lease : undefined);
    return this.probed;
  }

  /** This host's SYSCALL is broken, and our vCPU mends it. */
  private get repairsSyscall(): boolean {
    const found = this.probe();
    return found.usable && !found.capabilities.syscall;
  }

  private get isRing0Emulated(): boolean {
    const found = this.probe();
    return found.usable && !found.capabilities.ring0Native;
  }

  /** CPUID as a guest reads it under this host's KVM. */
  private visible(): readonly CpuidEntry[] {
    const found = this.probe();
    if (!found.usable) throw unsupported(found.problem);
    return found.cpuid;
  }

  private openKvm(): KvmEngine {
    const { host, options } = this;
    if (host.openSystem === undefined) throw unsupported('the kvm engine runs on Linux under Node only');
    const kvm = new KvmEngine(this.memory, S.RAM, options.ramBytes, {
      system: host.openSystem(),
      now: () => host.now(),
      lease: host.lease,
      tscHz: this.options.tscHz ?? DBT_TSC_HZ,
      virtualNow: () => options.virtualNow(),
      irqchip: options.irqchip,
      stepper: () => this.translatingVcpu(),
      romBytes: options.firmware?.length,
      repairSyscall: this.repairsSyscall,
      pacesInterrupts: this.isRing0Emulated,
    });
    for (const [base, { sizeBytes, access }] of this.shadows) kvm.map.shadow(base, sizeBytes, access);
    if (!this.isA20Open) kvm.map.a20(false);
    return kvm;
  }
}

function unsupported(what: string): TrapezeError {
  return new TrapezeError('host-unsupported', `${what.replace(/; use --engine dbt$/, '')}; use --engine dbt`);
}

function refuse(engine: EngineName, missing: readonly string[]): void {
  if (missing.length > 0) throw new EngineSwitchError(engine, missing);
}
