/**
 * The local APIC's timer: one-shot, periodic and TSC-deadline. SDM Vol. 3A, "APIC Timer".
 * Counts never tick: they are computed from the time at which the initial count was written.
 */
import type { Clock } from '../base/clock.js';
import { bits, checkFields, deadline, offset, oneOf, time, u32, u64Text } from '../base/state.js';
import { nextPeriodicDeadline, type Timer, type TimerQueue } from '../base/timer-queue.js';
import * as spec from '../spec/apic.js';

const CRYSTAL_NS = 1e9 / spec.APIC_TIMER_HZ;
/** A shorter period would leave the guest no time for anything but the interrupt. */
const MINIMUM_PERIOD_NS = 20_000;

const FIELDS = {
  mode: oneOf(spec.LVT_TIMER_ONE_SHOT, spec.LVT_TIMER_PERIODIC, spec.LVT_TIMER_TSC_DEADLINE),
  initialCount: u32,
  divide: bits(0xb),
  startNs: time,
  tscDeadline: u64Text,
  tscOffset: offset,
  deadlineNs: deadline,
};

export interface LapicTimerState {
  readonly mode: number;
  readonly initialCount: number;
  readonly divide: number;
  readonly startNs: number;
  /** Decimal, the MSR's value. */
  readonly tscDeadline: string;
  readonly tscOffset: number;
  readonly deadlineNs: number | null;
}

export class LapicTimer {
  readonly #clock: Clock;
  readonly #timer: Timer;
  readonly #expire: () => void;
  /** LVT bits 18:17. */
  #mode = 0;
  #initialCount = 0;
  #divide = 0;
  /** When the count was `#initialCount`. */
  #startNs = 0;
  #tscDeadline = 0n;
  /** Guest TSC minus clock TSC, in ticks: follows writes of IA32_TSC and IA32_TSC_ADJUST. */
  #tscOffset = 0;

  constructor(clock: Clock, timers: TimerQueue, expire: () => void) {
    this.#clock = clock;
    this.#expire = expire;
    this.#timer = timers.create((deadlineNs, nowNs) => this.#fire(deadlineNs, nowNs));
  }

  reset(): void {
    this.#mode = spec.LVT_TIMER_ONE_SHOT;
    this.#initialCount = 0;
    this.#divide = 0;
    this.#tscDeadline = 0n;
    this.#timer.disarm();
  }

  /** A switch into or out of TSC-deadline mode disarms the timer. */
  setMode(mode: number): void {
    if (mode === this.#mode) return;
    if (mode === spec.LVT_TIMER_TSC_DEADLINE || this.#mode === spec.LVT_TIMER_TSC_DEADLINE) {
      this.#timer.disarm();
      this.#initialCount = 0;
      this.#tscDeadline = 0n;
    }
    this.#mode = mode;
  }

  get initialCount(): number {
    return this.#initialCount;
  }

  set initialCount(count: number) {
    if (this.#mode === spec.LVT_TIMER_TSC_DEADLINE) return;
    this.#initialCount = count >>> 0;
    this.#startNs = this.#clock.now();
    this.#arm();
  }

  get currentCount(): number {
    if (this.#initialCount === 0 || this.#mode === spec.LVT_TIMER_TSC_DEADLINE) return 0;
    const ticks = Math.max(0, Math.floor((this.#clock.now() - this.#startNs) / this.#tickNs()));
    if (this.#mode === spec.LVT_TIMER_PERIODIC) return this.#initialCount - (ticks % this.#initialCount);
    return Math.max(0, this.#initialCount - ticks);
  }

  get divide(): number {
    return this.#divide;
  }

  /** The count goes on from where it is, at the new rate. */
  set divide(value: number) {
    const count = this.currentCount;
    const running = this.#timer.deadline !== Infinity;
    this.#divide = value & 0xb;
    if (!running || this.#mode === spec.LVT_TIMER_TSC_DEADLINE) return;
    this.#startNs = this.#clock.now() - (this.#initialCount - count) * this.#tickNs();
    this.#arm();
  }

  get tscDeadline(): bigint {
    return this.#tscDeadline;
  }

  /** "TSC-Deadline Mode": ignored in the other modes; 0 disarms. */
  set tscDeadline(value: bigint) {
    if (this.#mode !== spec.LVT_TIMER_TSC_DEADLINE) return;
    this.#tscDeadline = value;
    this.#armTscDeadline();
  }

  set tscOffset(ticks: number) {
    this.#tscOffset = ticks;
    if (this.#tscDeadline !== 0n) this.#armTscDeadline();
  }

  save(): LapicTimerState {
    return {
      mode: this.#mode,
      initialCount: this.#initialCount,
      divide: this.#divide,
      startNs: this.#startNs,
      tscDeadline: this.#tscDeadline.toString(),
      tscOffset: this.#tscOffset,
      deadlineNs: this.#timer.save(),
    };
  }

  restore(state: LapicTimerState): void {
    checkFields<LapicTimerState>(state, 'lapic timer', FIELDS);
    this.#mode = state.mode;
    this.#initialCount = state.initialCount;
    this.#divide = state.divide;
    this.#startNs = state.startNs;
    this.#tscDeadline = BigInt(state.tscDeadline);
    this.#tscOffset = state.tscOffset;
    this.#timer.restore(state.deadlineNs);
  }

  #armTscDeadline(): void {
    if (this.#tscDeadline === 0n) this.#timer.disarm();
    else this.#timer.arm(((Number(this.#tscDeadline) - this.#tscOffset) * 1e9) / this.#clock.tscHz);
  }

  #arm(): void {
    if (this.#initialCount === 0) this.#timer.disarm();
    else this.#timer.arm(this.#startNs + this.#initialCount * this.#tickNs());
  }

  #fire(deadlineNs: number, nowNs: number): void {
    if (this.#mode === spec.LVT_TIMER_TSC_DEADLINE) {
      this.#tscDeadline = 0n;
    } else if (this.#mode === spec.LVT_TIMER_PERIODIC) {
      const period = Math.max(MINIMUM_PERIOD_NS, this.#initialCount * this.#tickNs());
      this.#timer.arm(nextPeriodicDeadline(deadlineNs, period, nowNs));
    }
    this.#expire();
  }

  /** Divide configuration bits 3, 1, 0: 2, 4, ... 128, 1. */
  #tickNs(): number {
    const code = (this.#divide & 3) | ((this.#divide & 8) >> 1);
    return CRYSTAL_NS * (code === 7 ? 1 : 2 << code);
  }
}
