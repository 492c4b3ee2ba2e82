/**
 * ACPI fixed hardware in the layout of the PIIX4: PM1 event and control blocks, the 24-bit PM timer, one GPE block,
 * and the SMI command port that hands the hardware to the operating system. ACPI, "ACPI Hardware Specification".
 * Left out: throttling, sleep states other than S5, SMI (the command takes effect by itself).
 */
import type { Clock } from '../../base/clock.js';
import { type IoSize, ones, type PioHandler } from '../../base/io.js';
import { bits, checkState, integer, type StateOf, stateKind, u8, u16 } from '../../base/state.js';
import type { Timer, TimerQueue } from '../../base/timer-queue.js';
import type { IrqLine } from '../../irqchip/line.js';
import * as spec from '../../spec/acpi.js';
import type { Device } from '../device.js';

const STATE = stateKind('acpi-pm', 1, {
  status: bits(spec.PM1_STATUS_MASK),
  enable: bits(spec.PM1_ENABLE_MASK),
  control: bits(spec.PM1_CONTROL_WRITABLE),
  gpeStatus: u16,
  gpeEnable: u16,
  smiCommand: u8,
  smiStatus: u8,
  timerHalf: integer(0, 1e12),
});
export type AcpiPmState = StateOf<typeof STATE>;

/** TMR_STS is set whenever the timer's top bit changes. */
const HALF_TIMER_TICKS = 1 << (spec.PM_TIMER_BITS - 1);
const PM_TIMER_TURN = 2 ** spec.PM_TIMER_BITS;
const HALF_TIMER_NS = (HALF_TIMER_TICKS * 1e9) / spec.PM_TIMER_HZ;

export class AcpiPm implements Device<AcpiPmState> {
  readonly #clock: Clock;
  readonly #sci: IrqLine;
  readonly #timer: Timer;
  readonly #powerOff: () => void;
  #status = 0;
  #enable = 0;
  #control = 0;
  #gpeStatus = 0;
  #gpeEnable = 0;
  #smiCommand = 0;
  #smiStatus = 0;
  /** Half wraps of the timer whose TMR_STS is accounted for. */
  #timerHalf = 0;

  constructor(clock: Clock, timers: TimerQueue, sci: IrqLine, powerOff: () => void) {
    this.#clock = clock;
    this.#sci = sci;
    this.#powerOff = powerOff;
    this.#timer = timers.create(() => this.#update());
    this.reset();
  }

  reset(): void {
    this.#status = 0;
    this.#enable = 0;
    this.#control = 0;
    this.#gpeStatus = 0;
    this.#gpeEnable = 0;
    this.#smiCommand = 0;
    this.#smiStatus = 0;
    this.#timerHalf = this.#half();
    this.#update();
  }

  /** The host asks the guest to shut down. */
  pressPowerButton(): void {
    this.#status |= spec.PM1_PWRBTN;
    this.#update();
  }

  /** A general-purpose event (hotplug): latched until the guest clears it. */
  raiseGpe(bit: number): void {
    this.#gpeStatus |= 1 << (bit & 15);
    this.#update();
  }

  /** The PM1 and timer blocks, at PMBASE. */
  readonly ports: PioHandler = {
    read: (offset, size) => {
      // The timer must be read in one go; the other registers are words in a row.
      if (offset >= spec.PM_TIMER_OFFSET && offset < spec.PM_TIMER_OFFSET + 4) {
        return (this.#timerValue() >>> ((offset - spec.PM_TIMER_OFFSET) * 8)) & ones(size);
      }
      return (this.#word(offset & ~1) >> ((offset & 1) * 8)) & ones(size === 4 ? 2 : size);
    },
    write: (offset, size, value) => this.#write(offset, size, value),
  };

  /** GPE0: two status bytes, two enable bytes. */
  readonly gpePorts: PioHandler = {
    read: (offset) => ((offset < 2 ? this.#gpeStatus : this.#gpeEnable) >> ((offset & 1) * 8)) & 0xff,
    write: (offset, _size, value) => {
      const shift = (offset & 1) * 8;
      if (offset < 2) this.#gpeStatus &= ~(value << shift);
      else this.#gpeEnable = (this.#gpeEnable & ~(0xff << shift)) | (value << shift);
      this.#update();
    },
  };

  /** Ports 0xb2 and 0xb3 (APMC, APMS). */
  readonly smiPorts: PioHandler = {
    read: (offset) => (offset === 0 ? this.#smiCommand : this.#smiStatus),
    write: (offset, _size, value) => {
      if (offset !== 0) {
        this.#smiStatus = value;
        return;
      }
      this.#smiCommand = value;
      if (value === spec.SMI_ACPI_ENABLE) this.#control |= spec.PM1_SCI_EN;
      else if (value === spec.SMI_ACPI_DISABLE) this.#control &= ~spec.PM1_SCI_EN;
      this.#update();
    },
  };

  save(): AcpiPmState {
    return {
      kind: 'acpi-pm',
      version: 1,
      status: this.#status,
      enable: this.#enable,
      control: this.#control,
      gpeStatus: this.#gpeStatus,
      gpeEnable: this.#gpeEnable,
      smiCommand: this.#smiCommand,
      smiStatus: this.#smiStatus,
      timerHalf: this.#timerHalf,
    };
  }

  restore(state: AcpiPmState): void {
    checkState(state, STATE);
    this.#status = state.status;
    this.#enable = state.enable;
    this.#control = state.control;
    this.#gpeStatus = state.gpeStatus;
    this.#gpeEnable = state.gpeEnable;
    this.#smiCommand = state.smiCommand;
    this.#smiStatus = state.smiStatus;
    this.#timerHalf = state.timerHalf;
    this.#update();
  }

  #timerValue(): number {
    const ticks = Math.floor((this.#clock.now() * spec.PM_TIMER_HZ) / 1e9);
    // Guests wait by it, and no processor has an instruction for the remainder of doubles.
    return ticks - Math.floor(ticks / PM_TIMER_TURN) * PM_TIMER_TURN;
  }

  #half(): number {
    return Math.floor(this.#clock.now() / HALF_TIMER_NS);
  }

  #word(offset: number): number {
    switch (offset) {
      case spec.PM1_STATUS_OFFSET:
        this.#collectTimer();
        return this.#status;
      case spec.PM1_ENABLE_OFFSET:
        return this.#enable;
      case spec.PM1_CONTROL_OFFSET:
        return this.#control;
    }
    return 0;
  }

  #write(offset: number, size: IoSize, value: number): void {
    if (size === 4) {
      this.#write(offset, 2, value & 0xffff);
      this.#write(offset + 2, 2, value >>> 16);
      return;
    }
    const shift = (offset & 1) * 8;
    const mask = (ones(size) << shift) & 0xffff;
    const bits = (value << shift) & mask;
    switch (offset & ~1) {
      case spec.PM1_STATUS_OFFSET:
        this.#collectTimer();
        this.#status &= ~bits;
        break;
      case spec.PM1_ENABLE_OFFSET:
        this.#enable = ((this.#enable & ~mask) | bits) & spec.PM1_ENABLE_MASK;
        break;
      case spec.PM1_CONTROL_OFFSET:
        this.#writeControl((this.#control & ~mask) | bits);
        break;
    }
    this.#update();
  }

  /** SCI_EN is firmware's to write, as in the PIIX4; SLP_EN reads as zero and starts the transition. */
  #writeControl(value: number): void {
    this.#control = value & spec.PM1_CONTROL_WRITABLE;
    if ((value & spec.PM1_SLP_EN) === 0) return;
    if (((value >> spec.PM1_SLP_TYP_SHIFT) & 7) === spec.SLP_TYP_S5) this.#powerOff();
  }

  #collectTimer(): void {
    const half = this.#half();
    if (half === this.#timerHalf) return;
    this.#timerHalf = half;
    this.#status |= spec.PM1_TMR;
  }

  #update(): void {
    this.#collectTimer();
    const events = (this.#status & this.#enable) | (this.#gpeStatus & this.#gpeEnable);
    this.#sci.set((this.#control & spec.PM1_SCI_EN) !== 0 && events !== 0);
    const wanted = (this.#enable & spec.PM1_TMR) !== 0 && (this.#status & spec.PM1_TMR) === 0;
    const deadline = wanted ? (this.#timerHalf + 1) * HALF_TIMER_NS : Infinity;
    if (deadline !== this.#timer.deadline) this.#timer.arm(deadline);
  }
}
