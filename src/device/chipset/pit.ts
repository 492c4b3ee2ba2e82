/** The PC's 8254: counter 0 on IRQ 0, counter 2 behind port 0x61 (speaker, gate, refresh toggle). */
import type { Clock } from '../../base/clock.js';
import type { PioHandler } from '../../base/io.js';
import { bits, checkState, deadline, flag, list, part, type StateOf, stateKind } from '../../base/state.js';
import type { Timer, TimerQueue } from '../../base/timer-queue.js';
import type { IrqLine } from '../../irqchip/line.js';
import * as spec from '../../spec/i8254.js';
import type { Device } from '../device.js';
import { PitChannel, type PitChannelState } from './pit-channel.js';

const STATE = stateKind('pit', 1, {
  channels: list(part<PitChannelState>(), 3),
  portB: bits(spec.PORT_B_WRITABLE),
  deadlineNs: deadline,
  /** Level of the interrupt line, which stays high between two pulses whatever OUT does. */
  line: flag,
});
export type PitState = StateOf<typeof STATE>;

/** A faster counter 0 would leave the guest no time for anything but the interrupt. */
const MINIMUM_PERIOD_NS = 20_000;
/** Ticks of counter 0 that a late machine still delivers one by one. */
const BURST_LIMIT = 16;

export class Pit implements Device<PitState>, PioHandler {
  readonly #clock: Clock;
  readonly #irq: IrqLine;
  readonly #timer: Timer;
  /** Gates of counters 0 and 1 are tied high. */
  readonly #channels: readonly PitChannel[] = [new PitChannel(true), new PitChannel(true), new PitChannel(false)];
  #portB = 0;
  #line = false;

  constructor(clock: Clock, timers: TimerQueue, irq: IrqLine) {
    this.#clock = clock;
    this.#irq = irq;
    this.#timer = timers.create((deadlineNs, nowNs) => this.#rise(deadlineNs, nowNs));
    this.reset();
  }

  reset(): void {
    for (const [i, channel] of this.#channels.entries()) channel.reset(i !== 2);
    this.#portB = 0;
    this.#timer.disarm();
    // OUT of an idle counter in mode 3: high, so that programming a mode makes no edge.
    this.#drive(true);
  }

  read(offset: number): number {
    if (offset === spec.PIT_CONTROL) return 0xff;
    return this.#channels[offset].read(this.#clock.now());
  }

  write(offset: number, _size: number, value: number): void {
    const nowNs = this.#clock.now();
    if (offset === spec.PIT_CONTROL) {
      this.#control(value, nowNs);
      return;
    }
    this.#channels[offset].write(value, nowNs);
    if (offset === 0) this.#schedule(nowNs);
  }

  /** Port 0x61. */
  readonly portB: PioHandler = {
    read: () => {
      const nowNs = this.#clock.now();
      const refresh = Math.floor(nowNs / spec.REFRESH_NS) % 2 === 1 ? spec.PORT_B_REFRESH : 0;
      return this.#portB | refresh | (this.#channels[2].out(nowNs) ? spec.PORT_B_OUT2 : 0);
    },
    write: (_offset, _size, value) => {
      this.#portB = value & spec.PORT_B_WRITABLE;
      this.#channels[2].setGate((value & spec.PORT_B_GATE2) !== 0, this.#clock.now());
    },
  };

  save(): PitState {
    return {
      kind: 'pit',
      version: 1,
      channels: this.#channels.map((channel) => channel.save()),
      portB: this.#portB,
      deadlineNs: this.#timer.save(),
      line: this.#line,
    };
  }

  restore(state: PitState): void {
    checkState(state, STATE);
    for (const [i, channel] of this.#channels.entries()) channel.restore(state.channels[i]);
    this.#portB = state.portB;
    this.#timer.restore(state.deadlineNs);
    this.#drive(state.line);
  }

  /** The engine's 8254 works instead: this one drives nothing until the next `restore` or `reset`. */
  silence(): void {
    this.#timer.disarm();
    this.#drive(false);
  }

  #drive(level: boolean): void {
    this.#line = level;
    this.#irq.set(level);
  }

  #control(word: number, nowNs: number): void {
    const select = word >> 6;
    if (select === spec.SELECT_READ_BACK) {
      for (const [i, channel] of this.#channels.entries()) {
        if ((word & (2 << i)) === 0) continue;
        if ((word & spec.READ_BACK_NO_COUNT) === 0) channel.latchCount(nowNs);
        if ((word & spec.READ_BACK_NO_STATUS) === 0) channel.latchStatus(nowNs);
      }
      return;
    }
    const channel = this.#channels[select];
    if (((word >> 4) & 3) === spec.ACCESS_LATCH) {
      channel.latchCount(nowNs);
      return;
    }
    channel.control(word);
    if (select === 0) this.#schedule(nowNs);
  }

  /** After counter 0 was written: the line shows OUT, the timer waits for its next rising edge. */
  #schedule(nowNs: number): void {
    this.#drive(this.#channels[0].out(nowNs));
    this.#timer.arm(this.#channels[0].nextRise(nowNs));
  }

  /** OUT rises. In mode 2 it was low for one tick, in mode 3 for half the period: the fall happens here too. */
  #rise(deadlineNs: number, nowNs: number): void {
    this.#drive(false);
    this.#drive(true);
    const channel = this.#channels[0];
    const period = channel.periodNs();
    if (period === undefined) return;
    // Edges a late machine missed are delivered on its next turns, up to a limit.
    const from = Math.max(deadlineNs, nowNs - BURST_LIMIT * period);
    const next = channel.nextRise(from + 1);
    this.#timer.arm(Math.max(next, deadlineNs + MINIMUM_PERIOD_NS));
  }
}
