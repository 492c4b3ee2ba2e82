/**
 * The local APIC inside KVM, with the machine's I/O APIC and 8259As outside ("split irqchip") or KVM's own (`chips`). Linux documentation, "The
 * Definitive KVM API Documentation", KVM_CAP_SPLIT_IRQCHIP, KVM_SIGNAL_MSI, KVM_SET_GSI_ROUTING, KVM_GET_LAPIC.
 */
import type { VcpuChips, VcpuLapic } from '../engine.js';
import * as K from './abi.js';
import { createChips } from './chips.js';
import { needed } from './errors.js';
import * as L from './layout.js';
import * as R from './registers.js';
import type { System } from './system.js';

/** Nanoseconds of a tick of the local APIC's timer: the machine's 25 MHz. */
const BUS_CYCLE_NS = 40;
const IOAPIC_PINS = 24;
/** By offset / 16. SDM Vol. 3A, "Local APIC Register Address Map". */
const TASK_PRIORITY = 8;

/** What KvmLapic needs of its vCPU. */
export interface LapicVcpu {
  readonly fd: number;
  /** IA32_APIC_BASE, part of the segment and control registers. */
  apicBase: bigint;
}

/** Who else is inside: nobody, or all. */
export type InsideKind = 'split' | 'kernel';

const NEEDS: Readonly<Record<InsideKind, readonly K.CapabilityName[]>> = {
  split: ['SPLIT_IRQCHIP', 'X86_APIC_BUS_CYCLES_NS'],
  kernel: [
    ...(['IRQCHIP', 'IRQ_ROUTING', 'SIGNAL_MSI', 'PIT2', 'PIT_STATE2', 'REINJECT_CONTROL'] as const),
    'X86_APIC_BUS_CYCLES_NS',
  ],
};

/** Which of KVM's capabilities this host lacks for it. */
export function missingFor(kind: InsideKind, system: System, kvm: number): string | undefined {
  const lacking = NEEDS[kind].find((name) => system.ioctl(kvm, K.IOCTL.CHECK_EXTENSION, K.CAP[name]) <= 0);
  return lacking === undefined ? undefined : `KVM_CAP_${lacking}`;
}

/** On a VM that has no vCPU yet. */
export function createIrqchip(kind: InsideKind, system: System, vm: number): void {
  const enable = (capability: number, argument: number, what: string): void => {
    const bytes = new BigUint64Array(L.ENABLE_CAP_SIZE / 8);
    bytes[0] = BigInt(capability);
    bytes[1] = BigInt(argument);
    needed(system.ioctlData(vm, K.IOCTL.ENABLE_CAP, new Uint8Array(bytes.buffer)), what);
  };
  if (kind === 'kernel') createChips(system, vm);
  else enable(K.CAP.SPLIT_IRQCHIP, IOAPIC_PINS, 'KVM_CAP_SPLIT_IRQCHIP');
  enable(K.CAP.X86_APIC_BUS_CYCLES_NS, BUS_CYCLE_NS, 'KVM_CAP_X86_APIC_BUS_CYCLES_NS');
}

export class KvmLapic implements VcpuLapic {
  private readonly system: System;
  private readonly vm: number;
  private readonly vcpu: LapicVcpu;
  private routed = '';
  /** The other controllers and the 8254 where they are inside as well. */
  chips: VcpuChips | undefined;

  constructor(system: System, vm: number, vcpu: LapicVcpu) {
    this.system = system;
    this.vm = vm;
    this.vcpu = vcpu;
  }

  send(address: number, data: number): boolean {
    const message = new Uint32Array(L.MSI_SIZE / 4);
    message.set([address, 0, data]);
    return this.system.ioctlData(this.vm, K.IOCTL.SIGNAL_MSI, new Uint8Array(message.buffer)) > 0;
  }

  route(messages: readonly ({ readonly address: number; readonly data: number } | undefined)[]): void {
    // Drivers mask and unmask all the time: KVM needs to know of vectors only, and stops everything to take a table.
    const key = messages.map((m) => (m === undefined ? '' : `${m.address},${m.data}`)).join(';');
    if (key === this.routed) return;
    this.routed = key;
    const used = [...messages.entries()].flatMap(([pin, message]) => (message === undefined ? [] : [{ pin, message }]));
    const table = new Uint32Array((L.ROUTING_FIRST + used.length * L.ROUTING_ENTRY_SIZE) / 4);
    table[0] = used.length;
    for (const [n, { pin, message }] of used.entries()) {
      const at = (L.ROUTING_FIRST + n * L.ROUTING_ENTRY_SIZE) / 4;
      table.set([pin, K.ROUTING_MSI, 0, 0, message.address, 0, message.data], at);
    }
    const bytes = new Uint8Array(table.buffer);
    needed(this.system.ioctlData(this.vm, K.IOCTL.SET_GSI_ROUTING, bytes), 'KVM_SET_GSI_ROUTING');
  }

  save(): { page: Uint32Array; apicBase: number; tscDeadline: bigint } {
    const { fd } = this.vcpu;
    const list = R.msrList([K.MSR_TSC_DEADLINE]);
    const count = needed(this.system.ioctlData(fd, K.IOCTL.GET_MSRS, list), 'KVM_GET_MSRS');
    const tscDeadline = R.readMsrList(list, count).get(K.MSR_TSC_DEADLINE) ?? 0n;
    return { page: this.getPage(), apicBase: Number(this.vcpu.apicBase), tscDeadline };
  }

  load(registers: { readonly page: Uint32Array; readonly apicBase: number; readonly tscDeadline: bigint }): void {
    const { fd } = this.vcpu;
    this.vcpu.apicBase = BigInt(registers.apicBase);
    this.setPage(registers.page);
    if (registers.tscDeadline === 0n) return;
    const list = R.msrList([K.MSR_TSC_DEADLINE], new Map([[K.MSR_TSC_DEADLINE, registers.tscDeadline]]));
    needed(this.system.ioctlData(fd, K.IOCTL.SET_MSRS, list), 'KVM_SET_MSRS');
  }

  /** What loads CR8 takes the lower bits from the task priority. */
  keepTaskPriority<T>(action: () => T): T {
    const before = this.getPage()[TASK_PRIORITY];
    const result = action();
    if ((before & 15) !== 0) {
      const page = this.getPage();
      page[TASK_PRIORITY] = before;
      this.setPage(page);
    }
    return result;
  }

  private getPage(): Uint32Array {
    const bytes = new Uint8Array(L.LAPIC_SIZE);
    needed(this.system.ioctlData(this.vcpu.fd, K.IOCTL.GET_LAPIC, bytes), 'KVM_GET_LAPIC');
    const words = new Uint32Array(bytes.buffer);
    return Uint32Array.from({ length: words.length / 4 }, (_, n) => words[4 * n]);
  }

  private setPage(page: Uint32Array): void {
    const words = new Uint32Array(L.LAPIC_SIZE / 4);
    for (const [n, value] of page.entries()) words[4 * n] = value;
    needed(this.system.ioctlData(this.vcpu.fd, K.IOCTL.SET_LAPIC, new Uint8Array(words.buffer)), 'KVM_SET_LAPIC');
  }
}
