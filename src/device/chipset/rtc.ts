/**
 * MC146818A real-time clock and CMOS memory. Data sheet, "Time, Calendar, and Alarm Locations", "Registers".
 * The time is a function of the virtual clock; nothing ticks unless the guest enabled an interrupt.
 * @deviation the day of the week is always the date's; the update takes no time after its 244 us of warning.
 * Left out: daylight saving, square wave output.
 */
import type { Clock } from '../../base/clock.js';
import type { PioHandler } from '../../base/io.js';
import { checkState, finite, integer, list, type StateOf, stateKind, time, u8 } from '../../base/state.js';
import type { Timer, TimerQueue } from '../../base/timer-queue.js';
import type { IrqLine } from '../../irqchip/line.js';
import * as spec from '../../spec/mc146818.js';
import type { Device } from '../device.js';
import { decodeTime, encodeTime, TIME_CELLS } from './rtc-time.js';

/** Dates that the calendar of the host can tell. */
const LAST_SECOND = 8.64e12;

const STATE = stateKind('rtc', 1, {
  index: u8,
  cells: list(u8, spec.CMOS_SIZE),
  epochSeconds: integer(-LAST_SECOND, LAST_SECOND),
  boundaryNs: time,
  seenNs: time,
});
export type RtcState = StateOf<typeof STATE>;

export interface RtcOptions {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly irq: IrqLine;
  /** Host wall clock at power-on, milliseconds since 1970 UTC. */
  readonly wallClockMs: number;
  readonly ramSizeBytes: number;
}

const SECOND_NS = 1e9;
/** How many missed seconds are compared with the alarm: a day. */
const ALARM_SCAN_SECONDS = 86_400;

export class Rtc implements Device<RtcState>, PioHandler {
  readonly #clock: Clock;
  readonly #irq: IrqLine;
  readonly #timer: Timer;
  readonly #cells = new Uint8Array(spec.CMOS_SIZE);
  #index = 0;
  /** The time was `#epochSeconds` (since 1970) at `#boundaryNs`, which is the start of a second. */
  #epochSeconds: number;
  #boundaryNs: number;
  /** Flags of register C are complete up to here. */
  #seenNs = 0;

  constructor(options: RtcOptions) {
    this.#clock = options.clock;
    this.#irq = options.irq;
    this.#timer = options.timers.create(() => this.#update());
    this.#epochSeconds = Math.floor(finite(options.wallClockMs) / 1000);
    this.#boundaryNs = this.#clock.now() - (finite(options.wallClockMs) - this.#epochSeconds * 1000) * 1e6;
    this.#setMemorySize(options.ramSizeBytes);
    this.reset();
  }

  /** RESET clears the interrupt enables and flags; time and memory live on the battery. */
  reset(): void {
    this.#index = 0;
    this.#cells[spec.RTC_A] = spec.A_DIVIDER_RUN | 6;
    this.#cells[spec.RTC_B] = spec.B_24_HOUR;
    this.#cells[spec.RTC_C] = 0;
    this.#seenNs = this.#clock.now();
    this.#update();
  }

  /** Bit 7 of port 0x70. */
  get nmiDisabled(): boolean {
    return (this.#index & spec.NMI_DISABLE) !== 0;
  }

  read(offset: number): number {
    if (offset === 0) return 0xff;
    const register = this.#index & 0x7f;
    if (isTimeCell(register)) return this.#running ? this.#time()[register] : this.#cells[register];
    switch (register) {
      case spec.RTC_A:
        return this.#cells[spec.RTC_A] | (this.#updateInProgress() ? spec.A_UIP : 0);
      case spec.RTC_C: {
        this.#collectFlags();
        const flags = this.#cells[spec.RTC_C];
        this.#cells[spec.RTC_C] = 0;
        // The line falls even where the next event is due in the same instant: interrupt controllers wait for its edge.
        this.#irq.set(false);
        this.#update();
        return flags;
      }
      case spec.RTC_D:
        return spec.D_VALID;
    }
    return this.#cells[register];
  }

  write(offset: number, _size: number, value: number): void {
    if (offset === 0) {
      this.#index = value;
      return;
    }
    const register = this.#index & 0x7f;
    if (isTimeCell(register)) {
      this.#writeTime(register, value);
      return;
    }
    switch (register) {
      case spec.RTC_A:
        this.#writeControl(spec.RTC_A, value & ~spec.A_UIP);
        break;
      case spec.RTC_B:
        // "SET" clears the update-ended enable.
        this.#writeControl(spec.RTC_B, (value & spec.B_SET) !== 0 ? value & ~spec.B_UIE : value);
        break;
      case spec.RTC_C:
      case spec.RTC_D:
        break;
      case spec.RTC_SECONDS_ALARM:
      case spec.RTC_MINUTES_ALARM:
      case spec.RTC_HOURS_ALARM:
        this.#collectFlags();
        this.#cells[register] = value;
        this.#update();
        break;
      default:
        this.#cells[register] = value;
    }
  }

  save(): RtcState {
    return {
      kind: 'rtc',
      version: 1,
      index: this.#index,
      cells: [...this.#cells],
      epochSeconds: this.#epochSeconds,
      boundaryNs: this.#boundaryNs,
      seenNs: this.#seenNs,
    };
  }

  restore(state: RtcState): void {
    checkState(state, STATE);
    this.#index = state.index;
    this.#cells.set(state.cells);
    this.#epochSeconds = state.epochSeconds;
    this.#boundaryNs = state.boundaryNs;
    this.#seenNs = state.seenNs;
    this.#drive();
  }

  /** Time passes: not halted by SET, and the divider chain counts. */
  get #running(): boolean {
    return (
      (this.#cells[spec.RTC_B] & spec.B_SET) === 0 && (this.#cells[spec.RTC_A] & spec.A_DIVIDER) === spec.A_DIVIDER_RUN
    );
  }

  /** Whole seconds since the boundary. */
  #elapsed(nowNs: number): number {
    return Math.floor((nowNs - this.#boundaryNs) / SECOND_NS);
  }

  #time(): Uint8Array {
    const cells = new Uint8Array(spec.CMOS_SIZE);
    encodeTime(cells, this.#epochSeconds + this.#elapsed(this.#clock.now()), this.#cells[spec.RTC_B]);
    return cells;
  }

  #updateInProgress(): boolean {
    if (!this.#running) return false;
    const nowNs = this.#clock.now();
    return nowNs >= this.#boundaryNs + (this.#elapsed(nowNs) + 1) * SECOND_NS - spec.UIP_NS;
  }

  /** Keeps the cells when time stops, takes the time from them when it starts again. */
  #writeControl(register: number, value: number): void {
    this.#collectFlags();
    const before = this.#running;
    const nowNs = this.#clock.now();
    if (before) {
      const time = this.#time();
      for (const cell of TIME_CELLS) this.#cells[cell] = time[cell];
    }
    const dividerWasOff = (this.#cells[spec.RTC_A] & spec.A_DIVIDER) !== spec.A_DIVIDER_RUN;
    this.#cells[register] = value;
    if (!before && this.#running) {
      this.#epochSeconds = decodeTime(this.#cells, this.#cells[spec.RTC_B]);
      // "Divider Control": the first update comes half a second after the divider starts.
      if (dividerWasOff) this.#boundaryNs = nowNs - SECOND_NS / 2;
      else this.#boundaryNs += this.#elapsed(nowNs) * SECOND_NS;
    }
    this.#seenNs = nowNs;
    this.#update();
  }

  #writeTime(register: number, value: number): void {
    if (!this.#running) {
      this.#cells[register] = value;
      return;
    }
    this.#collectFlags();
    const cells = this.#time();
    cells[register] = value;
    const elapsed = this.#elapsed(this.#clock.now());
    this.#epochSeconds = decodeTime(cells, this.#cells[spec.RTC_B]);
    this.#boundaryNs += elapsed * SECOND_NS;
    this.#update();
  }

  #alarms(): { seconds: number; minutes: number; hours: number } {
    return {
      seconds: this.#cells[spec.RTC_SECONDS_ALARM],
      minutes: this.#cells[spec.RTC_MINUTES_ALARM],
      hours: this.#cells[spec.RTC_HOURS_ALARM],
    };
  }

  /** Sets the flags of everything that happened since the last look. */
  #collectFlags(): void {
    const nowNs = this.#clock.now();
    const period = this.#periodNs();
    if (period !== undefined && Math.floor(nowNs / period) > Math.floor(this.#seenNs / period)) {
      this.#cells[spec.RTC_C] |= spec.C_PF;
    }
    if (this.#running) {
      const from = this.#elapsed(this.#seenNs);
      const to = this.#elapsed(nowNs);
      if (to > from) {
        this.#cells[spec.RTC_C] |= spec.C_UF;
        if (this.#nextAlarm(from, Math.min(to - from, ALARM_SCAN_SECONDS)) !== undefined) {
          this.#cells[spec.RTC_C] |= spec.C_AF;
        }
      }
    }
    this.#seenNs = nowNs;
    const flags = this.#cells[spec.RTC_C];
    if ((flags & this.#cells[spec.RTC_B] & (spec.C_PF | spec.C_AF | spec.C_UF)) !== 0) {
      this.#cells[spec.RTC_C] |= spec.C_IRQF;
    }
  }

  /** Drives the line and waits for the next event the guest wants an interrupt for. */
  #update(): void {
    this.#collectFlags();
    this.#drive();
  }

  #drive(): void {
    const pending = (this.#cells[spec.RTC_C] & spec.C_IRQF) !== 0;
    this.#irq.set(pending);
    // Nothing more can be told until register C is read.
    const deadline = pending ? Infinity : this.#nextEvent();
    if (deadline !== this.#timer.deadline) this.#timer.arm(deadline);
  }

  #nextEvent(): number {
    const nowNs = this.#clock.now();
    const enabled = this.#cells[spec.RTC_B];
    let deadline = Infinity;
    const period = this.#periodNs();
    if ((enabled & spec.B_PIE) !== 0 && period !== undefined) {
      deadline = (Math.floor(nowNs / period) + 1) * period;
    }
    if (this.#running && (enabled & (spec.B_UIE | spec.B_AIE)) !== 0) {
      const elapsed = this.#elapsed(nowNs);
      const seconds = (enabled & spec.B_UIE) !== 0 ? elapsed + 1 : this.#nextAlarm(elapsed, ALARM_SCAN_SECONDS);
      if (seconds !== undefined) deadline = Math.min(deadline, this.#boundaryNs + seconds * SECOND_NS);
    }
    return deadline;
  }

  /** The first second in (from, from + count] at which the alarm matches, counted from the boundary. */
  #nextAlarm(from: number, count: number): number | undefined {
    const { seconds, minutes, hours } = this.#alarms();
    const cells = new Uint8Array(spec.CMOS_SIZE);
    const matches = (alarm: number, now: number): boolean => alarm >= spec.ALARM_ANY || alarm === now;
    for (let second = from + 1; second <= from + count; ) {
      encodeTime(cells, this.#epochSeconds + second, this.#cells[spec.RTC_B]);
      const hour = matches(hours, cells[spec.RTC_HOURS]);
      const minute = hour && matches(minutes, cells[spec.RTC_MINUTES]);
      if (minute && matches(seconds, cells[spec.RTC_SECONDS])) return second;
      // Out of an hour or a minute that cannot match, on to the next one.
      const step = minute ? 1 : hour ? 60 : 3600;
      const inStep = (((this.#epochSeconds + second) % step) + step) % step;
      second += step - inStep;
    }
    return undefined;
  }

  /** "Periodic Interrupt Rate": rates 1 and 2 repeat 8 and 9. */
  #periodNs(): number | undefined {
    const rate = this.#cells[spec.RTC_A] & spec.A_RATE;
    if (rate === 0) return undefined;
    return ((1 << ((rate <= 2 ? rate + 7 : rate) - 1)) * 1e9) / 32768;
  }

  #setMemorySize(ramSizeBytes: number): void {
    const word = (cell: number, value: number): void => {
      this.#cells[cell] = value & 0xff;
      this.#cells[cell + 1] = (value >> 8) & 0xff;
    };
    const extendedKib = Math.max(0, Math.min(65535, ramSizeBytes / 1024 - 1024));
    word(spec.CMOS_BASE_MEMORY_KIB, 640);
    word(spec.CMOS_EXTENDED_MEMORY_KIB, extendedKib);
    word(spec.CMOS_EXTENDED_MEMORY_KIB_2, extendedKib);
    word(spec.CMOS_MEMORY_ABOVE_16M, Math.max(0, Math.min(65535, (ramSizeBytes - (16 << 20)) / 65536)));
    this.#cells[spec.CMOS_EQUIPMENT] = spec.EQUIPMENT_FPU | spec.EQUIPMENT_MOUSE;
  }
}

function isTimeCell(register: number): boolean {
  return TIME_CELLS.includes(register);
}
