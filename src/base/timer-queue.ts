/**
 * Deadline timers. A device owns a few `Timer`s for its lifetime and arms them; the vCPU loop sleeps or runs until
 * `nextDeadline()` and calls `runDue()`. Nothing polls. A machine has some twenty timers, so a scan beats a heap.
 *
 * A call of `runDue` fires every timer at most once, earliest first: a late periodic timer catches up over the next
 * calls, and the guest can take an interrupt between two of its ticks.
 */

/** Called with the deadline that passed (periodic timers go on from it, not from `now`) and the current time. */
export type TimerCallback = (deadlineNs: number, nowNs: number) => void;

/** Ticks of a late periodic timer that are still delivered one by one; the rest of a long pause is dropped. */
const BURST_LIMIT = 16;

/** The deadline after `deadlineNs` of a periodic timer: no drift, whole periods skipped after a long pause. */
export function nextPeriodicDeadline(deadlineNs: number, periodNs: number, nowNs: number): number {
  const behind = Math.floor((nowNs - deadlineNs) / periodNs);
  const skipped = behind > BURST_LIMIT ? behind - BURST_LIMIT : 0;
  return deadlineNs + (skipped + 1) * periodNs;
}

export class Timer {
  readonly #queue: TimerQueue;
  readonly fire: TimerCallback;
  /** Infinity while disarmed. */
  deadline = Infinity;
  /** The `runDue` call in which it fired last. */
  lastRun = 0;

  constructor(queue: TimerQueue, fire: TimerCallback) {
    this.#queue = queue;
    this.fire = fire;
  }

  arm(deadlineNs: number): void {
    this.deadline = Number.isNaN(deadlineNs) ? Infinity : deadlineNs;
    this.#queue.invalidate();
  }

  disarm(): void {
    this.deadline = Infinity;
    this.#queue.invalidate();
  }

  /** For saved states, where JSON has no Infinity. */
  save(): number | null {
    return this.deadline === Infinity ? null : this.deadline;
  }

  restore(saved: number | null): void {
    this.arm(typeof saved === 'number' ? saved : Infinity);
  }
}

export class TimerQueue {
  readonly #timers: Timer[] = [];
  #next = Infinity;
  #stale = false;
  #run = 0;

  create(fire: TimerCallback): Timer {
    const timer = new Timer(this, fire);
    this.#timers.push(timer);
    return timer;
  }

  /** A deadline changed. */
  invalidate(): void {
    this.#stale = true;
  }

  nextDeadline(): number {
    if (this.#stale) {
      this.#stale = false;
      let next = Infinity;
      for (const timer of this.#timers) if (timer.deadline < next) next = timer.deadline;
      this.#next = next;
    }
    return this.#next;
  }

  /** Fires what is due; true if anything was. */
  runDue(nowNs: number): boolean {
    if (this.nextDeadline() > nowNs) return false;
    this.#run++;
    for (;;) {
      let due: Timer | undefined;
      for (const timer of this.#timers) {
        if (timer.deadline > nowNs || timer.lastRun === this.#run) continue;
        if (due === undefined || timer.deadline < due.deadline) due = timer;
      }
      if (due === undefined) return true;
      const { deadline } = due;
      due.lastRun = this.#run;
      due.disarm();
      due.fire(deadline, nowNs);
    }
  }
}
