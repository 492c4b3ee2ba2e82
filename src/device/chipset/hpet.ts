/**
 * High precision event timers: a 64-bit counter of 10 ns and three comparators. IA-PC HPET Specification 1.0a.
 * The counter never ticks: it is the virtual clock times 100 MHz while enabled. Left out: FSB (MSI) delivery.
 */
import type { Clock } from '../../base/clock.js';
import { type IoSize, type MmioHandler, ones } from '../../base/io.js';
import {
  bits,
  checkFields,
  checkState,
  deadline,
  list,
  part,
  type StateOf,
  stateKind,
  time,
  u64Text,
} from '../../base/state.js';
import { nextPeriodicDeadline, type Timer, type TimerQueue } from '../../base/timer-queue.js';
import { type IrqLine, NO_LINE } from '../../irqchip/line.js';
import * as spec from '../../spec/hpet.js';
import type { Device } from '../device.js';

/** Numbers of 64 bits are decimal text. */
const TIMER_FIELDS = {
  config: bits(spec.TN_WRITABLE | spec.TN_SET_VALUE),
  comparator: u64Text,
  period: u64Text,
  deadlineNs: deadline,
};

interface HpetTimerState {
  readonly config: number;
  readonly comparator: string;
  readonly period: string;
  readonly deadlineNs: number | null;
}

const STATE = stateKind('hpet', 1, {
  config: bits(spec.CONFIG_ENABLE | spec.CONFIG_LEGACY),
  status: bits((1 << spec.HPET_TIMERS) - 1),
  counter: u64Text,
  startNs: time,
  timers: list(part<HpetTimerState>(), spec.HPET_TIMERS),
});
export type HpetState = StateOf<typeof STATE>;

export interface HpetOptions {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  /** The wires of legacy replacement: timer 0 to IRQ 0, timer 1 to IRQ 8. */
  readonly legacyLines: readonly [IrqLine, IrqLine];
  readonly gsiLine: (gsi: number) => IrqLine;
  /** Legacy replacement takes IRQ 0 and 8 from the PIT and the RTC. */
  readonly onLegacyReplacement: (on: boolean) => void;
}

const MASK_64 = 0xffffffffffffffffn;
const MASK_32 = 0xffffffffn;
/** A shorter period would leave the guest no time for anything but the interrupt. */
const MINIMUM_PERIOD_NS = 20_000;
/** A comparator this far behind the counter has passed; further means it lies ahead by wrapping. */
const HALF_64 = 1n << 63n;
const HALF_32 = 1n << 31n;

class Comparator {
  readonly timer: Timer;
  config = 0;
  comparator = MASK_64;
  period = 0n;
  /** The wire it pulls now, one of `lines` or a legacy one. */
  line: IrqLine = NO_LINE;
  /** Its own sources on the routable inputs, made at the start: routing moves a level, it makes no new wires. */
  readonly lines: ReadonlyMap<number, IrqLine>;

  constructor(timer: Timer, gsiLine: (gsi: number) => IrqLine) {
    this.timer = timer;
    const lines = new Map<number, IrqLine>();
    for (let gsi = 0; gsi < 32; gsi++) if ((spec.TN_ROUTES & (1 << gsi)) !== 0) lines.set(gsi, gsiLine(gsi));
    this.lines = lines;
  }

  get mask(): bigint {
    return (this.config & spec.TN_32BIT) !== 0 ? MASK_32 : MASK_64;
  }
}

export class Hpet implements Device<HpetState>, MmioHandler {
  readonly #options: HpetOptions;
  readonly #clock: Clock;
  readonly #comparators: readonly Comparator[];
  #config = 0;
  #status = 0;
  /** The counter was `#counter` at `#startNs`; it moves only while enabled. */
  #counter = 0n;
  #startNs = 0;

  constructor(options: HpetOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#comparators = Array.from({ length: spec.HPET_TIMERS }, (_, i) => {
      const timer = options.timers.create((deadlineNs, nowNs) => this.#fire(i, deadlineNs, nowNs));
      return new Comparator(timer, options.gsiLine);
    });
    this.reset();
  }

  reset(): void {
    this.#config = 0;
    this.#status = 0;
    this.#counter = 0n;
    this.#startNs = this.#clock.now();
    for (const comparator of this.#comparators) {
      comparator.line.set(false);
      comparator.line = NO_LINE;
      comparator.config = 0;
      comparator.comparator = MASK_64;
      comparator.period = 0n;
      comparator.timer.disarm();
    }
    this.#options.onLegacyReplacement(false);
  }

  read(offset: number, size: IoSize): number {
    const low = Number((this.#register(offset & ~7) >> BigInt((offset & 7) * 8)) & MASK_32);
    return (low & ones(size)) >>> 0;
  }

  read64(offset: number): bigint {
    return (offset & 7) === 0 ? this.#register(offset) : MASK_64;
  }

  /** Aligned 32- and 64-bit writes are defined ("Register Access"); narrower ones do nothing. */
  write(offset: number, size: IoSize, value: number): void {
    if (size !== 4 || (offset & 3) !== 0) return;
    const shift = BigInt((offset & 4) * 8);
    this.#write(offset & ~7, BigInt(value) << shift, MASK_32 << shift);
  }

  write64(offset: number, value: bigint): void {
    if ((offset & 7) === 0) this.#write(offset, value, MASK_64);
  }

  save(): HpetState {
    return {
      kind: 'hpet',
      version: 1,
      config: this.#config,
      status: this.#status,
      counter: this.#counter.toString(),
      startNs: this.#startNs,
      timers: this.#comparators.map((comparator) => ({
        config: comparator.config,
        comparator: comparator.comparator.toString(),
        period: comparator.period.toString(),
        deadlineNs: comparator.timer.save(),
      })),
    };
  }

  restore(state: HpetState): void {
    checkState(state, STATE);
    this.#config = state.config;
    this.#status = state.status;
    this.#counter = BigInt(state.counter);
    this.#startNs = state.startNs;
    for (const [i, comparator] of this.#comparators.entries()) {
      const saved = state.timers[i];
      checkFields<HpetTimerState>(saved, `hpet comparator ${i}`, TIMER_FIELDS);
      comparator.config = saved.config;
      comparator.comparator = BigInt(saved.comparator);
      comparator.period = BigInt(saved.period);
      comparator.timer.restore(saved.deadlineNs);
    }
    this.#options.onLegacyReplacement(this.#legacy);
    this.#updateLines();
  }

  get #enabled(): boolean {
    return (this.#config & spec.CONFIG_ENABLE) !== 0;
  }

  get #legacy(): boolean {
    return (this.#config & spec.CONFIG_LEGACY) !== 0;
  }

  #now(): bigint {
    if (!this.#enabled) return this.#counter;
    const ticks = Math.max(0, Math.floor((this.#clock.now() - this.#startNs) / spec.HPET_PERIOD_NS));
    return (this.#counter + BigInt(ticks)) & MASK_64;
  }

  #register(offset: number): bigint {
    switch (offset) {
      case spec.HPET_CAPABILITIES:
        return (BigInt(spec.HPET_PERIOD_FS) << 32n) | BigInt(spec.HPET_ID);
      case spec.HPET_CONFIG:
        return BigInt(this.#config);
      case spec.HPET_STATUS:
        return BigInt(this.#status);
      case spec.HPET_COUNTER:
        return this.#now();
    }
    const comparator = this.#comparators[Math.floor((offset - spec.HPET_TIMER0) / spec.HPET_TIMER_STRIDE)];
    if (comparator === undefined) return 0n;
    switch (offset % spec.HPET_TIMER_STRIDE) {
      case spec.TIMER_CONFIG: {
        const fixed = spec.TN_PERIODIC_CAPABLE | spec.TN_64BIT_CAPABLE;
        return (BigInt(spec.TN_ROUTES) << 32n) | BigInt(comparator.config | fixed);
      }
      case spec.TIMER_COMPARATOR:
        if (isSilent(comparator)) this.#arm(comparator);
        return comparator.comparator & comparator.mask;
    }
    return 0n;
  }

  #write(offset: number, value: bigint, mask: bigint): void {
    switch (offset) {
      case spec.HPET_CONFIG:
        if ((mask & 3n) !== 0n) this.#writeConfig(Number(value & 3n));
        return;
      case spec.HPET_STATUS:
        this.#status &= ~Number(value & 7n);
        this.#updateLines();
        return;
      case spec.HPET_COUNTER:
        // Defined only while halted; while running it counts on from the new value.
        this.#counter = (this.#now() & ~mask) | (value & mask);
        this.#startNs = this.#clock.now();
        for (const comparator of this.#comparators) this.#arm(comparator);
        return;
    }
    const index = Math.floor((offset - spec.HPET_TIMER0) / spec.HPET_TIMER_STRIDE);
    const comparator = this.#comparators[index];
    if (comparator === undefined) return;
    if (offset % spec.HPET_TIMER_STRIDE === spec.TIMER_CONFIG && (mask & 1n) !== 0n) {
      comparator.config = Number(value & MASK_32) & (spec.TN_WRITABLE | spec.TN_SET_VALUE);
      this.#updateLines();
      this.#arm(comparator);
    } else if (offset % spec.HPET_TIMER_STRIDE === spec.TIMER_COMPARATOR) {
      this.#writeComparator(comparator, value, mask);
    }
  }

  #writeConfig(value: number): void {
    const counter = this.#now();
    const legacyChanged = ((this.#config ^ value) & spec.CONFIG_LEGACY) !== 0;
    this.#config = value;
    this.#counter = counter;
    this.#startNs = this.#clock.now();
    if (legacyChanged) this.#options.onLegacyReplacement(this.#legacy);
    this.#updateLines();
    for (const comparator of this.#comparators) this.#arm(comparator);
  }

  /** "Timer N Comparator Value": in periodic mode a write is the period, and the next event too after SET_VALUE. */
  #writeComparator(comparator: Comparator, value: bigint, mask: bigint): void {
    const periodic = (comparator.config & spec.TN_PERIODIC) !== 0;
    const bits = value & mask & comparator.mask;
    if (!periodic || (comparator.config & spec.TN_SET_VALUE) !== 0) {
      comparator.comparator = ((comparator.comparator & ~mask) | bits) & comparator.mask;
    }
    // Drivers write the first event with SET_VALUE, then the period; the last write stands as the period.
    if (periodic) comparator.period = (comparator.period & ~mask) | bits;
    comparator.config &= ~spec.TN_SET_VALUE;
    this.#arm(comparator);
  }

  /** Waits for the counter to reach the comparator; a one-shot that was passed waits for the counter to wrap. */
  #arm(comparator: Comparator): void {
    if (!this.#enabled) {
      comparator.timer.disarm();
      return;
    }
    const { mask } = comparator;
    let distance = (comparator.comparator - this.#now()) & mask;
    if ((comparator.config & spec.TN_PERIODIC) !== 0 && comparator.period > 0n) {
      // A periodic comparator that was passed goes on at its next multiple.
      const half = mask === MASK_32 ? HALF_32 : HALF_64;
      if (distance > half) {
        const passed = (-distance & mask) / comparator.period + 1n;
        comparator.comparator = (comparator.comparator + passed * comparator.period) & mask;
        distance = (comparator.comparator - this.#now()) & mask;
      }
    }
    // Edges that reach nobody need no timer: the value is brought up to date when it is read.
    if (isSilent(comparator)) {
      comparator.timer.disarm();
      return;
    }
    // Whole ticks from the counter's epoch, so that the comparator's tick is met exactly.
    const since = this.#now() - this.#counter + distance;
    comparator.timer.arm(this.#startNs + Number(since < 0n ? since + MASK_64 + 1n : since) * spec.HPET_PERIOD_NS);
  }

  #fire(index: number, deadlineNs: number, nowNs: number): void {
    const comparator = this.#comparators[index];
    const { mask, period } = comparator;
    if ((comparator.config & spec.TN_PERIODIC) !== 0) {
      if (period > 0n) {
        const periodNs = Math.max(MINIMUM_PERIOD_NS, Number(period) * spec.HPET_PERIOD_NS);
        const next = nextPeriodicDeadline(deadlineNs, periodNs, nowNs);
        const periods = BigInt(Math.max(1, Math.round((next - deadlineNs) / (Number(period) * spec.HPET_PERIOD_NS))));
        comparator.comparator = (comparator.comparator + periods * period) & mask;
        comparator.timer.arm(next);
      }
    } else if (mask === MASK_32) {
      // A 32-bit one-shot matches again when the counter wraps.
      comparator.timer.arm(deadlineNs + 2 ** 32 * spec.HPET_PERIOD_NS);
    }
    if ((comparator.config & spec.TN_ENABLE) === 0) {
      if ((comparator.config & spec.TN_LEVEL) !== 0) this.#status |= 1 << index;
      return;
    }
    if ((comparator.config & spec.TN_LEVEL) !== 0) {
      this.#status |= 1 << index;
      this.#updateLines();
    } else {
      comparator.line.set(true);
      comparator.line.set(false);
    }
  }

  /** Connects every comparator to its wire and drives the level-triggered ones. */
  #updateLines(): void {
    for (const [i, comparator] of this.#comparators.entries()) {
      const line = this.#route(i, comparator);
      if (line !== comparator.line) {
        comparator.line.set(false);
        comparator.line = line;
      }
      const level = (comparator.config & (spec.TN_LEVEL | spec.TN_ENABLE)) === (spec.TN_LEVEL | spec.TN_ENABLE);
      line.set(level && this.#enabled && (this.#status & (1 << i)) !== 0);
    }
  }

  #route(index: number, comparator: Comparator): IrqLine {
    if (this.#legacy && index < 2) return this.#options.legacyLines[index];
    return comparator.lines.get((comparator.config & spec.TN_ROUTE_MASK) >> spec.TN_ROUTE_SHIFT) ?? NO_LINE;
  }
}

/** Interrupt off and edge-triggered: a match leaves no trace. */
function isSilent({ config }: Comparator): boolean {
  return (config & (spec.TN_ENABLE | spec.TN_LEVEL)) === 0;
}
