/** Ends KVM_RUN in time: a timer of the operating system kicks the vCPU's thread. */
import type { System } from './system.js';

/** A timer that fires this much before the wanted time is left as it is: the machine looks and enters again. */
const EARLY_NS = 2_000_000;

export class SliceTimer {
  readonly id: number;
  private readonly system: System;
  private readonly now: () => number;
  /** When the timer fires; 0: it is not armed. */
  private due = 0;
  /** For how long it was armed. */
  private armedNs = 0;

  constructor(system: System, now: () => number) {
    this.system = system;
    this.now = now;
    this.id = system.createTimer();
  }

  /** The thread is kicked in `ns` nanoseconds, or some time before. */
  arm(ns: number): void {
    // Armed earlier for no longer: it fires in time. Most entries come by here, without a look at the clock.
    if (this.due !== 0 && ns >= this.armedNs && ns - this.armedNs < EARLY_NS) return;
    const now = this.now();
    const wanted = now + ns;
    // Setting a timer costs as much as a short exit: most entries want what is already set.
    if (this.due > now && this.due <= wanted && wanted - this.due < EARLY_NS) return;
    this.system.setTimer(this.id, ns);
    this.due = wanted;
    this.armedNs = ns;
  }

  /** The kick has come. */
  fired(): void {
    this.due = 0;
  }
}
