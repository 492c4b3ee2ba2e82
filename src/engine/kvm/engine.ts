/**
 * The engine on Linux's /dev/kvm. Guest RAM is a part of the VM's shared linear memory, the same bytes that the
 * translating engine works on; interrupt controllers and timers are the machine's, KVM is told to leave them alone.
 */
import { TrapezeError } from '../../base/errors.js';
import { type CpuidEntry, cpuidEntries, DEFAULT_CPUID_OPTIONS } from '../../x86/system/cpuid-profile.js';
import type { Engine, SteppingVcpu } from '../engine.js';
import * as K from './abi.js';
import type { AsideTimes } from './aside.js';
import { KvmChips } from './chips.js';
import { kvmCpuid, readCpuidTable, writeCpuidTable } from './cpuid.js';
import { needed } from './errors.js';
import { InterruptPace } from './interrupt-pace.js';
import { createIrqchip, type InsideKind, KvmLapic, missingFor } from './lapic.js';
import * as L from './layout.js';
import { Lease } from './lease.js';
import { KvmMemory } from './memory.js';
import { SYSCALL_MSRS, SyscallRepair } from './syscall-repair.js';
import { EACCES, EBUSY, ENOENT, EPERM, type System } from './system.js';
import { KvmVcpu } from './vcpu.js';

const DEVICE = '/dev/kvm';
const MAX_CPUID_ENTRIES = 256;

export interface KvmEngineOptions {
  readonly system: System;
  /** Nanoseconds, monotonic. */
  now(): number;
  /** Nanoseconds of the machine's clock; default: `now`. */
  virtualNow?(): number;
  /** Where to note what has been taken from the operating system. */
  readonly lease?: SharedArrayBuffer | undefined;
  /** Runs the instructions that KVM refuses; without it they end the guest. */
  readonly stepper?: ((index: number) => SteppingVcpu) | undefined;
  /** The TSC's frequency where this host's KVM can choose it. */
  readonly tscHz?: number | undefined;
  /** Whose interrupt controllers: the machine's (the default), KVM's local APIC with the others outside, or all KVM's and its 8254. */
  readonly irqchip?: IrqchipKind | undefined;
  /** This host's SYSCALL does not arrive in ring 0: see to it that it does. */
  readonly repairSyscall?: boolean | undefined;
  /** Ring 0 is emulated, and slow: interrupts must leave the guest time. */
  readonly pacesInterrupts?: boolean | undefined;
  /** Bytes of a firmware's ROM behind RAM; it ends at 4 GiB. */
  readonly romBytes?: number | undefined;
  /** Default: the profile of the translating engine. */
  readonly profile?: readonly CpuidEntry[];
}

export type IrqchipKind = 'machine' | InsideKind;

export class KvmEngine implements Engine {
  readonly name = 'kvm';
  /** The TSC's frequency as the guest sees it. */
  readonly tscHz: number;
  private readonly options: KvmEngineOptions;
  private readonly lease: Lease;
  private readonly kvm: number;
  private readonly vm: number;
  /** Guest-physical memory, and what the chipset decides about it. */
  readonly map: KvmMemory;
  /** What a guest is told to be. */
  readonly cpuid: readonly CpuidEntry[];

  /** RAM is `ramBytes` of `memory` from `ramOffset` on, ROM what is behind it. Throws TrapezeError where /dev/kvm cannot be used. */
  constructor(memory: WebAssembly.Memory, ramOffset: number, ramBytes: number, options: KvmEngineOptions) {
    const { system } = options;
    this.options = options;
    this.lease = new Lease(system, options.lease);
    this.kvm = openKvm(system);
    this.lease.kvm = this.kvm;
    try {
      this.vm = this.need(system.ioctl(this.kvm, K.IOCTL.CREATE_VM, 0), 'KVM_CREATE_VM');
      this.lease.vm = this.vm;
      const identity = new Uint8Array(new BigUint64Array([BigInt(K.IDENTITY_MAP_ADDRESS)]).buffer);
      this.need(system.ioctlData(this.vm, K.IOCTL.SET_IDENTITY_MAP_ADDR, identity), 'KVM_SET_IDENTITY_MAP_ADDR');
      this.need(system.ioctl(this.vm, K.IOCTL.SET_TSS_ADDR, K.TSS_ADDRESS), 'KVM_SET_TSS_ADDR');
      const { romBytes = 0 } = options;
      if (romBytes > 0 && !this.has('READONLY_MEM')) throw lacksRom();
      this.map = new KvmMemory(system, this.vm, { memory, ramOffset, ramBytes, romBytes });
      if (this.inside !== undefined) this.createIrqchip(this.inside);
      this.leaveMsrsToMachine();
      this.tscHz = this.chooseTsc(options.tscHz);
      const profile = options.profile ?? cpuidEntries({ ...DEFAULT_CPUID_OPTIONS, tscHz: this.tscHz });
      this.cpuid = kvmCpuid(this.supportedCpuid(), profile);
    } catch (error) {
      this.lease.release();
      throw error;
    }
  }

  /** KVM has interrupt controllers. */
  private get inside(): InsideKind | undefined {
    const { irqchip } = this.options;
    return irqchip === 'machine' ? undefined : irqchip;
  }

  createVcpu(index: number): KvmVcpu {
    if (index !== 0) throw new RangeError('the kvm engine has one vCPU so far');
    const { system, stepper, now } = this.options;
    const fd = this.need(system.ioctl(this.vm, K.IOCTL.CREATE_VCPU, index), 'KVM_CREATE_VCPU');
    this.lease.vcpu = fd;
    this.need(system.ioctlData(fd, K.IOCTL.SET_CPUID2, writeCpuidTable(this.cpuid)), 'KVM_SET_CPUID2');
    if (this.has('TSC_CONTROL')) system.ioctl(fd, K.IOCTL.SET_TSC_KHZ, Math.round(this.tscHz / 1000));
    const size = this.need(system.ioctl(this.kvm, K.IOCTL.GET_VCPU_MMAP_SIZE, 0), 'KVM_GET_VCPU_MMAP_SIZE');
    const { address, buffer } = system.map(fd, size);
    this.lease.mapped(address, size);
    this.lease.thread = system.threadId();
    const virtualNow = this.options.virtualNow ?? now;
    const ticks = (): number => (virtualNow() * this.tscHz) / 1e9;
    const vcpu = new KvmVcpu(fd, buffer, system, now, ticks, stepper && (() => stepper(index)));
    vcpu.absorb = (gpa, bytes, value) => this.map.absorb(gpa, bytes, value);
    if (this.options.repairSyscall === true) vcpu.syscall = new SyscallRepair(system, fd, vcpu.view, this.map.ram);
    if (this.options.pacesInterrupts === true && this.inside === undefined)
      vcpu.pace = new InterruptPace(() => system.threadCpuTime());
    if (this.inside !== undefined) vcpu.lapic = this.createLapic(vcpu, virtualNow);
    this.lease.timer = vcpu.timerId;
    return vcpu;
  }

  private createLapic(vcpu: KvmVcpu, virtualNow: () => number): KvmLapic {
    const { system, now } = this.options;
    const lapic = new KvmLapic(system, this.vm, vcpu);
    if (this.inside === 'kernel') {
      const runAside = (code: readonly number[]): AsideTimes =>
        lapic.keepTaskPriority(() => vcpu.runAside(code, this.map.ram, now));
      lapic.chips = new KvmChips(system, this.vm, { runAside }, { now, virtualNow });
    }
    return lapic;
  }

  has(name: K.CapabilityName): boolean {
    return this.options.system.ioctl(this.kvm, K.IOCTL.CHECK_EXTENSION, K.CAP[name]) > 0;
  }

  /** Frees everything. The engine and its vCPU must not be used after it. */
  close(): void {
    this.lease.release();
  }

  startDirtyLog(): void {
    this.map.startDirtyLog();
  }

  takeDirtyLog(): Uint8Array {
    return this.map.takeDirtyLog();
  }

  /** MSRs that KVM does not know, and those that belong to the machine's local APIC, become exits. */
  private leaveMsrsToMachine(): void {
    const { system } = this.options;
    if (!this.has('X86_USER_SPACE_MSR')) return;
    const capability = new BigUint64Array(L.ENABLE_CAP_SIZE / 8);
    capability[0] = BigInt(K.CAP.X86_USER_SPACE_MSR);
    capability[1] = BigInt(K.MSR_EXIT_UNKNOWN_FILTERED);
    this.need(system.ioctlData(this.vm, K.IOCTL.ENABLE_CAP, new Uint8Array(capability.buffer)), 'KVM_ENABLE_CAP');
    if (!this.has('X86_MSR_FILTER')) return;
    const ranges = [
      ...(this.inside !== undefined ? [] : K.MACHINE_MSRS.map((range) => [...range, K.MSR_FILTER_READ_WRITE] as const)),
      ...(this.options.repairSyscall === true ? [[...SYSCALL_MSRS, K.MSR_FILTER_WRITE] as const] : []),
    ];
    if (ranges.length === 0) return;
    const filter = new Uint8Array(L.MSR_FILTER_SIZE);
    const view = new DataView(filter.buffer);
    // A clear bit filters the MSR.
    const bitmap = new Uint8Array(8);
    for (const [n, [first, count, access]] of ranges.entries()) {
      const at = L.MSR_FILTER_FIRST + n * L.MSR_FILTER_RANGE_SIZE;
      view.setUint32(at, access, true);
      view.setUint32(at + 4, count, true);
      view.setUint32(at + 8, first, true);
      view.setBigUint64(at + 16, system.addressOf(bitmap), true);
    }
    this.need(system.ioctlData(this.vm, K.IOCTL.X86_SET_MSR_FILTER, filter), 'KVM_X86_SET_MSR_FILTER');
  }

  private createIrqchip(kind: InsideKind): void {
    const { system } = this.options;
    const lacking = missingFor(kind, system, this.kvm);
    if (lacking === undefined) {
      createIrqchip(kind, system, this.vm);
      return;
    }
    const what = kind === 'split' ? 'be the local APIC' : 'have the interrupt controllers';
    const problem = `this host's ${DEVICE} cannot ${what}: it lacks ${lacking}`;
    throw new TrapezeError('host-unsupported', `${problem}; use --irqchip machine`);
  }

  private chooseTsc(wanted: number | undefined): number {
    if (wanted !== undefined && this.has('TSC_CONTROL')) return wanted;
    const kHz = this.options.system.ioctl(this.vm, K.IOCTL.GET_TSC_KHZ, 0);
    return kHz > 0 ? kHz * 1000 : this.tscOfVcpu();
  }

  /** Older kernels tell the frequency only of a vCPU; one of a VM of its own is made for that. */
  private tscOfVcpu(): number {
    const { system } = this.options;
    const vm = this.need(system.ioctl(this.kvm, K.IOCTL.CREATE_VM, 0), 'KVM_CREATE_VM');
    try {
      const vcpu = this.need(system.ioctl(vm, K.IOCTL.CREATE_VCPU, 0), 'KVM_CREATE_VCPU');
      const kHz = system.ioctl(vcpu, K.IOCTL.GET_TSC_KHZ, 0);
      system.close(vcpu);
      return this.need(kHz, 'KVM_GET_TSC_KHZ') * 1000;
    } finally {
      system.close(vm);
    }
  }

  private supportedCpuid(): CpuidEntry[] {
    const table = new Uint8Array(L.CPUID_FIRST + MAX_CPUID_ENTRIES * L.CPUID_ENTRY_SIZE);
    new DataView(table.buffer).setUint32(0, MAX_CPUID_ENTRIES, true);
    const { system } = this.options;
    this.need(system.ioctlData(this.kvm, K.IOCTL.GET_SUPPORTED_CPUID, table), 'KVM_GET_SUPPORTED_CPUID');
    return readCpuidTable(table);
  }

  private need(result: number, what: string): number {
    return needed(result, what);
  }
}

function lacksRom(): TrapezeError {
  const problem = `this host's ${DEVICE} has no read-only memory (KVM_CAP_READONLY_MEM), which firmware needs`;
  return new TrapezeError('host-unsupported', `${problem}; use --engine dbt`);
}

/** A descriptor of /dev/kvm with what this engine needs. Throws TrapezeError with one sentence. */
export function openKvm(system: System): number {
  const kvm = system.open(DEVICE);
  if (kvm < 0) throw new TrapezeError('host-unsupported', `${whyNot(-kvm)}; use --engine dbt`);
  const lacks = (['USER_MEMORY', 'SYNC_REGS', 'IMMEDIATE_EXIT'] as const).find((name) => {
    const answer = system.ioctl(kvm, K.IOCTL.CHECK_EXTENSION, K.CAP[name]);
    return name === 'SYNC_REGS' ? answer !== K.SYNC_ALL : answer <= 0;
  });
  const version = system.ioctl(kvm, K.IOCTL.GET_API_VERSION, 0);
  if (version === K.KVM_API_VERSION && lacks === undefined) return kvm;
  system.close(kvm);
  const what = lacks === undefined ? `has API version ${version}` : `lacks KVM_CAP_${lacks}`;
  throw new TrapezeError('host-unsupported', `this host's ${DEVICE} ${what}; use --engine dbt`);
}

function whyNot(errno: number): string {
  if (errno === ENOENT) return `this host has no ${DEVICE}`;
  if (errno === EACCES || errno === EPERM) return `you may not open ${DEVICE}; join its group or ask for access`;
  if (errno === EBUSY) return `${DEVICE} is in use by another hypervisor`;
  return `${DEVICE} cannot be opened (error ${errno})`;
}
