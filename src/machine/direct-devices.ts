/**
 * Devices that answer while the guest runs. What an answer leaves behind is looked at here: where an interrupt came up or a
 * deadline moved forward the vCPU is kicked, and its loop does the rest. Time goes on as well: answers are slower than
 * the instructions that a slice was worked out for.
 */
import type { Clock } from '../base/clock.js';
import type { TimerQueue } from '../base/timer-queue.js';
import type { Bus } from '../device/bus/bus.js';
import type { DirectAccess, Vcpu } from '../engine/engine.js';
import type { Irqchip } from '../irqchip/irqchip.js';
import type { Chipset } from './chipset.js';

type Size = 1 | 2 | 4;

/** The clock is looked at every so many answers. */
const ANSWERS_PER_LOOK = 16;

/**
 * A port that is read so many times, with so little done between two readings, is told the time of the first: together less
 * than a tick of the ACPI timer, the finest that ports tell.
 */
const FRESH_READINGS = 7;
const FRESH_INSTRUCTIONS = 32;

/** What the vCPU was told when it was entered. */
interface Entered {
  readonly untilNs: number;
  readonly requestInterruptWindow: boolean;
  readonly requestNmiWindow: boolean;
  readonly tprThreshold: number;
}

export class DirectDevices implements DirectAccess {
  /** Answers given, by the exits that they were instead. */
  readonly answered = { 'pio-in': 0, 'pio-out': 0, 'mmio-read': 0, 'mmio-write': 0, wrmsr: 0 };
  private readonly bus: Bus;
  private readonly irqchip: Irqchip;
  private readonly timers: TimerQueue;
  private readonly clock: Clock;
  private readonly vcpu: () => Vcpu;
  /** Brings what the vCPU alone knows to the interrupt controllers. */
  private readonly follow: () => void;
  private entered: Entered = {
    untilNs: 0,
    requestInterruptWindow: false,
    requestNmiWindow: false,
    tprThreshold: 0,
  };
  private deadline = 0;
  private notices = 0;
  private unlooked = ANSWERS_PER_LOOK;
  /** A port is being read; how often since the clock was, and what the guest had done then. */
  private isReading = false;
  private readings = 0;
  private progress = 0;

  constructor(chipset: Chipset, clock: Clock, vcpu: () => Vcpu, follow: () => void) {
    this.bus = chipset.bus;
    this.irqchip = chipset.irqchip;
    this.timers = chipset.timers;
    this.clock = clock;
    this.vcpu = vcpu;
    this.follow = follow;
  }

  /** The vCPU is being entered. */
  enter(entered: Entered): void {
    const { irqchip, timers } = this;
    this.entered = entered;
    this.deadline = timers.nextDeadline();
    this.notices = irqchip.notices;
    this.readings = FRESH_READINGS;
  }

  readPort(port: number, size: Size): number {
    this.isReading = true;
    const value = this.bus.pio.readDirect(port, size);
    this.isReading = false;
    if (value < 0) return value;
    this.answered['pio-in']++;
    this.afterRead();
    return value;
  }

  writePort(port: number, size: Size, value: number): boolean {
    if (!this.bus.pio.writeDirect(port, size, value)) return false;
    this.answered['pio-out']++;
    this.follow();
    this.look();
    return true;
  }

  readMemory(gpa: number, size: Size): number {
    this.follow();
    const value = this.bus.mmio.readDirect(gpa, size);
    if (value < 0) return value;
    this.answered['mmio-read']++;
    this.afterRead();
    return value;
  }

  writeMemory(gpa: number, size: Size, value: number): boolean {
    this.follow();
    const { bus, irqchip } = this;
    if (!bus.mmio.writeDirect(gpa, size, value)) return false;
    this.answered['mmio-write']++;
    // The local APIC's task priority and CR8 are one register.
    this.vcpu().tpr = irqchip.getTpr(0);
    this.look();
    return true;
  }

  writeMsr(msr: number, value: bigint): boolean {
    this.follow();
    if (!this.bus.msr.writeDirect(msr, value)) return false;
    this.answered.wrmsr++;
    this.look();
    return true;
  }

  /** For the clock, when a device asks it. Whoever else asks gets a reading, which is not older than this thinks. */
  isFresh(): boolean {
    if (!this.isReading) return false;
    const { progress } = this.vcpu();
    if (progress === undefined) return false;
    const done = progress - this.progress;
    if (++this.readings <= FRESH_READINGS && done >= 0 && done < FRESH_INSTRUCTIONS) return true;
    this.readings = 0;
    this.progress = progress;
    return false;
  }

  private afterRead(): void {
    const { irqchip, timers } = this;
    if (--this.unlooked <= 0 || irqchip.notices !== this.notices || timers.nextDeadline() < this.deadline) this.look();
  }

  /** Kicks the vCPU where its loop would enter it in another way now. */
  private look(): void {
    const { irqchip, timers } = this;
    const { entered } = this;
    if (--this.unlooked <= 0) {
      this.unlooked = ANSWERS_PER_LOOK;
      if (this.clock.now() >= entered.untilNs) this.kick();
    }
    const deadline = timers.nextDeadline();
    if (
      (irqchip.pendingVector(0) !== undefined && !entered.requestInterruptWindow) ||
      (irqchip.nmiPending(0) && !entered.requestNmiWindow) ||
      irqchip.tprThreshold(0) !== entered.tprThreshold ||
      (deadline < this.deadline && deadline < entered.untilNs)
    ) {
      this.kick();
    }
  }

  private kick(): void {
    this.vcpu().kick?.();
  }
}
