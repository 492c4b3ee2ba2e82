/**
 * Ends KVM_RUN in time: a timer of the operating system kicks the vCPU's thread. A kick that comes while the thread is on its way
 * into KVM_RUN is lost, so the timer goes on until one has arrived. (To hold the signal off everywhere else costs an exchange
 * of signal masks with each KVM_RUN.)
 */
import type { System } from './system.js';

/** A timer that fires this much before the wanted time is left as it is: the machine looks and enters again. */
const EARLY_NS = 2_000_000;
/** After a lost kick comes the next. */
const PERIOD_NS = 200_000;
/** Longer than any slice; a small integer, which costs no look at another object. */
export const NEVER_NS = 0x7fffffff;

export class SliceTimer {
  readonly id: number;
  private readonly system: System;
  private readonly now: () => number;
  /** When the timer fires, if it is armed. */
  private due = 0;
  /** For how long it was armed, rounded down. */
  private armedNs = NEVER_NS;

  constructor(system: System, now: () => number) {
    this.system = system;
    this.now = now;
    this.id = system.createTimer();
  }

  /**
   * The thread is kicked in `ns` nanoseconds, or some time before. Returns for how long the timer was armed: while it has not
   * fired, slices that `lasts` for it need no look at the clock.
   */
  arm(ns: number): number {
    if (!lasts(this.armedNs, ns)) this.armAnew(ns);
    return this.armedNs;
  }

  private armAnew(ns: number): void {
    const now = this.now();
    const wanted = now + ns;
    // Setting a timer costs as much as a short exit: most entries want what is already set.
    if (this.due > now && this.due <= wanted && wanted - this.due < EARLY_NS) return;
    this.system.setTimer(this.id, ns, PERIOD_NS);
    this.due = wanted;
    this.armedNs = Math.min(ns, NEVER_NS - 1) | 0;
  }

  /** A kick has ended KVM_RUN. */
  fired(): void {
    this.due = 0;
    this.armedNs = NEVER_NS;
  }

  /** The thread may sleep: nobody wakes it. */
  disarm(): void {
    this.system.setTimer(this.id, 0, 0);
    this.fired();
  }
}

/** A timer armed earlier for no longer fires in time. */
export function lasts(armedNs: number, ns: number): boolean {
  const longer = ns - armedNs;
  return longer >= 0 && longer < EARLY_NS;
}
