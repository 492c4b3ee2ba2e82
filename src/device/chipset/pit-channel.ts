/**
 * One counter of the 8254, all six modes. Intel 8254 data sheet, "Mode Definitions".
 * Nothing ticks: count and OUT are functions of the time since the count was loaded.
 */
import { bits, checkFields, flag, integer, list, orNull, StateError, time, u8 } from '../../base/state.js';
import * as spec from '../../spec/i8254.js';

export interface PitChannelState {
  readonly mode: number;
  readonly access: number;
  readonly bcd: boolean;
  readonly reload: number;
  readonly next: number | null;
  readonly startNs: number;
  readonly running: boolean;
  readonly pausedTicks: number;
  readonly armed: boolean;
  readonly gate: boolean;
  readonly nullCount: boolean;
  readonly writeLow: number | null;
  readonly readHigh: boolean;
  readonly latched: number[];
  readonly latchedStatus: number | null;
}

export const TICK_NS = 1e9 / spec.PIT_HZ;

const FIELDS = {
  mode: integer(0, 5),
  access: bits(3),
  bcd: flag,
  reload: integer(1, 65536),
  next: orNull(integer(1, 65536)),
  startNs: time,
  running: flag,
  pausedTicks: integer(0, 1e15),
  armed: flag,
  gate: flag,
  nullCount: flag,
  writeLow: orNull(u8),
  readHigh: flag,
  latched: list(u8, 0, 2),
  latchedStatus: orNull(u8),
};

export class PitChannel {
  mode = 3;
  #access = spec.ACCESS_BOTH;
  #bcd = false;
  /** Ticks of a period: 1 to 65536. */
  #reload = 65536;
  /** A count written while modes 2 and 3 run: taken at the end of the period. */
  #next: number | undefined;
  #startNs = 0;
  /** Counting; while the gate holds it, `#pausedTicks` have passed. */
  #running = false;
  #pausedTicks = 0;
  /** A count is there (modes 0, 2, 3, 4), or waits for the gate (1, 5). */
  #armed = false;
  #gate: boolean;
  #nullCount = false;
  #writeLow: number | undefined;
  #readHigh = false;
  /** Bytes of the latched count still to be read. */
  #latched: number[] = [];
  #latchedStatus: number | undefined;

  constructor(gate: boolean) {
    this.#gate = gate;
  }

  reset(gate: boolean): void {
    this.#gate = gate;
    this.control((spec.ACCESS_BOTH << 4) | (3 << 1));
  }

  /** Control word (not latch, not read-back): the counter stops until a count is written. */
  control(word: number): void {
    const mode = (word >> 1) & 7;
    this.mode = mode > 5 ? mode - 4 : mode;
    this.#access = (word >> 4) & 3;
    this.#bcd = (word & 1) !== 0;
    this.#running = false;
    this.#pausedTicks = 0;
    this.#armed = false;
    this.#next = undefined;
    this.#nullCount = true;
    this.#writeLow = undefined;
    this.#readHigh = false;
    this.#latched = [];
    this.#latchedStatus = undefined;
  }

  write(value: number, nowNs: number): void {
    if (this.#access === spec.ACCESS_LSB) this.#load(value, nowNs);
    else if (this.#access === spec.ACCESS_MSB) this.#load(value << 8, nowNs);
    else if (this.#writeLow === undefined) {
      this.#writeLow = value;
      // "Mode 0": writing the first byte stops the counting.
      if (this.mode === 0) this.#running = false;
    } else {
      this.#load(this.#writeLow | (value << 8), nowNs);
      this.#writeLow = undefined;
    }
  }

  read(nowNs: number): number {
    if (this.#latchedStatus !== undefined) {
      const status = this.#latchedStatus;
      this.#latchedStatus = undefined;
      return status;
    }
    const latched = this.#latched.shift();
    if (latched !== undefined) return latched;
    const count = this.#encoded(nowNs);
    if (this.#access === spec.ACCESS_LSB) return count & 0xff;
    if (this.#access === spec.ACCESS_MSB) return count >> 8;
    this.#readHigh = !this.#readHigh;
    return this.#readHigh ? count & 0xff : count >> 8;
  }

  /** A second latch before the first is read is ignored. */
  latchCount(nowNs: number): void {
    if (this.#latched.length > 0) return;
    const count = this.#encoded(nowNs);
    if (this.#access === spec.ACCESS_LSB) this.#latched = [count & 0xff];
    else if (this.#access === spec.ACCESS_MSB) this.#latched = [count >> 8];
    else this.#latched = this.#readHigh ? [count >> 8] : [count & 0xff, count >> 8];
    this.#readHigh = false;
  }

  latchStatus(nowNs: number): void {
    if (this.#latchedStatus !== undefined) return;
    this.#settle(nowNs);
    this.#latchedStatus =
      (this.out(nowNs) ? 0x80 : 0) |
      (this.#nullCount ? 0x40 : 0) |
      (this.#access << 4) |
      (this.mode << 1) |
      (this.#bcd ? 1 : 0);
  }

  get gate(): boolean {
    return this.#gate;
  }

  /** "GATE": stops modes 0, 2, 3, 4; its rising edge starts modes 1 and 5 and restarts 2 and 3. */
  setGate(gate: boolean, nowNs: number): void {
    if (gate === this.#gate) return;
    this.#settle(nowNs);
    this.#gate = gate;
    if (!this.#armed) return;
    if (gate) {
      const resumed = this.mode === 0 || this.mode === 4 ? this.#pausedTicks : 0;
      this.#startNs = nowNs - resumed * TICK_NS;
      this.#running = true;
    } else if (this.mode !== 1 && this.mode !== 5) {
      if (this.#running) this.#pausedTicks = this.#ticks(nowNs);
      this.#running = false;
    }
  }

  out(nowNs: number): boolean {
    this.#settle(nowNs);
    if (!this.#armed) return this.mode !== 0;
    const ticks = this.#running ? this.#ticks(nowNs) : this.#pausedTicks;
    switch (this.mode) {
      case 0:
        return ticks >= this.#reload;
      case 1:
        return !this.#running || ticks >= this.#reload;
      case 2:
        return !this.#running || ticks % this.#reload !== this.#reload - 1;
      case 3:
        return !this.#running || ticks % this.#reload < (this.#reload + 1) >> 1;
      default:
        return !this.#running || ticks !== this.#reload;
    }
  }

  /** The next rising edge of OUT after `nowNs`, or Infinity. */
  nextRise(nowNs: number): number {
    this.#settle(nowNs);
    if (!this.#armed || !this.#running) return Infinity;
    const ticks = this.#ticks(nowNs);
    const at = (tick: number): number => (tick > ticks ? this.#startNs + tick * TICK_NS : Infinity);
    if (this.mode <= 1) return at(this.#reload);
    if (this.mode >= 4) return at(this.#reload + 1);
    return at((Math.floor(ticks / this.#reload) + 1) * this.#reload);
  }

  /** Length of the repeating period, or undefined in the one-time modes. */
  periodNs(): number | undefined {
    return this.mode === 2 || this.mode === 3 ? this.#reload * TICK_NS : undefined;
  }

  save(): PitChannelState {
    return {
      mode: this.mode,
      access: this.#access,
      bcd: this.#bcd,
      reload: this.#reload,
      next: this.#next ?? null,
      startNs: this.#startNs,
      running: this.#running,
      pausedTicks: this.#pausedTicks,
      armed: this.#armed,
      gate: this.#gate,
      nullCount: this.#nullCount,
      writeLow: this.#writeLow ?? null,
      readHigh: this.#readHigh,
      latched: [...this.#latched],
      latchedStatus: this.#latchedStatus ?? null,
    };
  }

  restore(state: PitChannelState): void {
    checkFields<PitChannelState>(state, 'pit channel', FIELDS);
    if (state.armed && (state.mode === 2 || state.mode === 3) && (state.reload === 1 || state.next === 1)) {
      throw new StateError('the saved state of pit channel is damaged: modes 2 and 3 cannot count from 1');
    }
    this.mode = state.mode;
    this.#access = state.access;
    this.#bcd = state.bcd;
    this.#reload = state.reload;
    this.#next = state.next ?? undefined;
    this.#startNs = state.startNs;
    this.#running = state.running;
    this.#pausedTicks = state.pausedTicks;
    this.#armed = state.armed;
    this.#gate = state.gate;
    this.#nullCount = state.nullCount;
    this.#writeLow = state.writeLow ?? undefined;
    this.#readHigh = state.readHigh;
    this.#latched = [...state.latched];
    this.#latchedStatus = state.latchedStatus ?? undefined;
  }

  #ticks(nowNs: number): number {
    return Math.max(0, Math.floor((nowNs - this.#startNs) / TICK_NS));
  }

  #load(raw: number, nowNs: number): void {
    const limit = this.#bcd ? 10000 : 65536;
    const count = (this.#bcd ? fromBcd(raw) : raw) || limit;
    // Modes 2 and 3: a count of 1 is illegal.
    const reload = this.mode === 2 || this.mode === 3 ? Math.max(2, count) : count;
    this.#settle(nowNs);
    if (this.#running && (this.mode === 2 || this.mode === 3)) {
      // The period that runs now began after whole periods since the load.
      this.#startNs += Math.floor(this.#ticks(nowNs) / this.#reload) * this.#reload * TICK_NS;
      this.#next = reload;
      this.#nullCount = true;
      return;
    }
    this.#reload = reload;
    this.#armed = true;
    this.#pausedTicks = 0;
    if (this.mode === 1 || this.mode === 5) {
      this.#nullCount = true;
      return;
    }
    this.#nullCount = false;
    this.#startNs = nowNs;
    this.#running = this.#gate;
  }

  /** Takes a count that waits for the end of the period, if that has come. */
  #settle(nowNs: number): void {
    if (this.#next === undefined || !this.#running) return;
    if (this.#ticks(nowNs) < this.#reload) return;
    this.#startNs += this.#reload * TICK_NS;
    this.#reload = this.#next;
    this.#next = undefined;
    this.#nullCount = false;
  }

  #count(nowNs: number): number {
    this.#settle(nowNs);
    if (!this.#armed) return 0;
    const ticks = this.#running ? this.#ticks(nowNs) : this.#pausedTicks;
    const limit = this.#bcd ? 10000 : 65536;
    switch (this.mode) {
      case 2:
        return this.#reload - (ticks % this.#reload);
      case 3:
        // Counts down by two, twice per period.
        return (this.#reload & ~1) - ((2 * (ticks % this.#reload)) % (this.#reload & ~1));
      default:
        return (((this.#reload - ticks) % limit) + limit) % limit;
    }
  }

  #encoded(nowNs: number): number {
    const count = this.#count(nowNs);
    return this.#bcd ? toBcd(count % 10000) : count & 0xffff;
  }
}

function fromBcd(value: number): number {
  return (value & 15) + ((value >> 4) & 15) * 10 + ((value >> 8) & 15) * 100 + ((value >> 12) & 15) * 1000;
}

function toBcd(value: number): number {
  const digit = (divisor: number): number => Math.floor(value / divisor) % 10;
  return digit(1) | (digit(10) << 4) | (digit(100) << 8) | (digit(1000) << 12);
}
