/** What device tests share: a clock that moves by hand, its timers, and lines that can be looked at. */
import { ManualClock } from '../../base/clock.js';
import { TimerQueue } from '../../base/timer-queue.js';
import type { IrqLine } from '../../irqchip/line.js';

export class Probe implements IrqLine {
  level = false;
  /** Rising edges so far. */
  edges = 0;

  set(asserted: boolean): void {
    if (asserted && !this.level) this.edges++;
    this.level = asserted;
  }
}

export class DeviceRig {
  readonly clock = new ManualClock();
  readonly timers = new TimerQueue();
  readonly irq = new Probe();

  /** Lets time pass, stopping at every deadline on the way as a punctual machine would. */
  advance(ns: number): void {
    const end = this.clock.ns + ns;
    while (this.timers.nextDeadline() <= end) {
      this.clock.ns = Math.max(this.clock.ns, this.timers.nextDeadline());
      this.timers.runDue(this.clock.ns);
    }
    this.clock.ns = end;
  }
}
