/**
 * 8259As, I/O APIC and 8254 inside KVM, beside its local APIC. Linux documentation, "The Definitive KVM API Documentation",
 * KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2, KVM_IRQ_LINE, KVM_GET_IRQCHIP, KVM_GET_PIT2.
 */
import type { ChipRegisters, ControllerRegisters } from '../../base/chip-registers.js';
import type { VcpuChips } from '../engine.js';
import * as K from './abi.js';
import * as C from './chip-layout.js';
import { quietIoapic, quietPic, readIoapic, readPic, writeIoapic, writePic } from './chip-state.js';
import { needed } from './errors.js';
import * as L from './layout.js';
import { type ChipTimes, type ChipVcpu, KvmPit } from './pit.js';
import type { System } from './system.js';

const ISA_IRQS = 16;
/** Line 0 is pin 2 of the I/O APIC; the line of the 8259As' cascade leads nowhere. */
const CASCADE = 2;
const IRQ_0_PIN = 2;

/** On a VM that has no vCPU yet. */
export function createChips(system: System, vm: number): void {
  const call = (request: number, bytes: Uint8Array, what: string): number =>
    needed(system.ioctlData(vm, request, bytes), what);
  needed(system.ioctl(vm, K.IOCTL.CREATE_IRQCHIP, 0), 'KVM_CREATE_IRQCHIP');
  call(K.IOCTL.SET_GSI_ROUTING, routing(), 'KVM_SET_GSI_ROUTING');
  const config = new Uint8Array(C.PIT_CONFIG_SIZE);
  // Port 0x61 too: the gate of counter 2 is there.
  config[0] = C.PIT_SPEAKER;
  call(K.IOCTL.CREATE_PIT2, config, 'KVM_CREATE_PIT2');
  // Ticks that the guest does not take are lost, as on any PC: KVM would keep them where nobody can save them.
  call(K.IOCTL.REINJECT_CONTROL, new Uint8Array(C.REINJECT_SIZE), 'KVM_REINJECT_CONTROL');
}

/** As the ACPI tables tell: ISA interrupts reach both kinds of controllers, IRQ 0 the I/O APIC by pin 2. */
function routing(): Uint8Array {
  const entries: number[][] = [];
  for (let gsi = 0; gsi < C.IOAPIC_PINS; gsi++) {
    if (gsi === CASCADE) continue;
    if (gsi < ISA_IRQS) {
      const chip = gsi < 8 ? C.CHIP_PIC_MASTER : C.CHIP_PIC_SLAVE;
      entries.push([gsi, C.ROUTING_IRQCHIP, 0, 0, chip, gsi & 7]);
    }
    entries.push([gsi, C.ROUTING_IRQCHIP, 0, 0, C.CHIP_IOAPIC, gsi === 0 ? IRQ_0_PIN : gsi]);
  }
  const table = new Uint32Array((L.ROUTING_FIRST + entries.length * L.ROUTING_ENTRY_SIZE) / 4);
  table[0] = entries.length;
  for (const [n, entry] of entries.entries()) table.set(entry, (L.ROUTING_FIRST + n * L.ROUTING_ENTRY_SIZE) / 4);
  return new Uint8Array(table.buffer);
}

export class KvmChips implements VcpuChips {
  private readonly system: System;
  private readonly vm: number;
  private readonly now: () => number;
  private readonly pit: KvmPit;
  /** As last told to KVM, by GSI. */
  private lines = 0;
  private readonly level = new Uint32Array(C.IRQ_LEVEL_SIZE / 4);
  private readonly levelBytes = new Uint8Array(this.level.buffer);
  /** Between `load` and `start`: what is to come, and when counter 0 fires for the first time. */
  private waiting: { readonly registers: ChipRegisters; readonly firesNs: number } | undefined;

  constructor(system: System, vm: number, vcpu: ChipVcpu, times: ChipTimes) {
    this.system = system;
    this.vm = vm;
    this.now = () => times.now();
    this.pit = new KvmPit(system, vm, vcpu, times);
  }

  line(gsi: number, isHigh: boolean): void {
    const bit = 1 << gsi;
    this.lines = isHigh ? this.lines | bit : this.lines & ~bit;
    this.level[0] = gsi;
    this.level[1] = isHigh ? 1 : 0;
    this.call(K.IOCTL.IRQ_LINE, this.levelBytes, 'KVM_IRQ_LINE');
  }

  cutPit(isCut: boolean): void {
    this.pit.cut(isCut);
  }

  save(): ChipRegisters {
    const { pit, atNs } = this.pit.save();
    return { ...this.controllers(), pit, lines: this.lines, atNs };
  }

  load(registers: ChipRegisters): number {
    const { lines, pics, ioapic, pit } = registers;
    const [master, slave] = pics;
    this.setChip(quietPic(C.CHIP_PIC_MASTER, master, lines & 0xff));
    this.setChip(quietPic(C.CHIP_PIC_SLAVE, slave, (lines >> 8) & 0xff));
    this.setChip(quietIoapic(ioapic, lines));
    for (let gsi = 0; gsi < C.IOAPIC_PINS; gsi++) {
      const isHigh = ((lines >> gsi) & 1) !== 0;
      if (isHigh !== (((this.lines >> gsi) & 1) !== 0)) this.line(gsi, isHigh);
    }
    const { readyNs, firesNs } = this.pit.load(pit);
    this.waiting = { registers, firesNs };
    return readyNs;
  }

  start(): void {
    const { waiting } = this;
    if (waiting === undefined) return;
    const { registers, firesNs } = waiting;
    const [master, slave] = registers.pics;
    const { lines } = registers;
    const hasFired = this.now() > firesNs;
    this.setChip(writePic(C.CHIP_PIC_SLAVE, slave, (lines >> 8) & 0xff));
    this.setChip(writePic(C.CHIP_PIC_MASTER, master, lines & 0xff));
    this.setChip(writeIoapic(registers.ioapic, lines));
    this.waiting = undefined;
    if (!hasFired || (lines & 1) !== 0) return;
    this.line(0, true);
    this.line(0, false);
  }

  private controllers(): ControllerRegisters {
    const master = readPic(this.getChip(C.CHIP_PIC_MASTER));
    const slave = readPic(this.getChip(C.CHIP_PIC_SLAVE));
    return { pics: [master, slave], ioapic: readIoapic(this.getChip(C.CHIP_IOAPIC)) };
  }

  private getChip(which: number): Uint8Array {
    const bytes = new Uint8Array(C.IRQCHIP_SIZE);
    bytes[0] = which;
    this.call(K.IOCTL.GET_IRQCHIP, bytes, 'KVM_GET_IRQCHIP');
    return bytes;
  }

  private setChip(bytes: Uint8Array): void {
    this.call(K.IOCTL.SET_IRQCHIP, bytes, 'KVM_SET_IRQCHIP');
  }

  private call(request: number, bytes: Uint8Array, what: string): void {
    needed(this.system.ioctlData(this.vm, request, bytes), what);
  }
}
