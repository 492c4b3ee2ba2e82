/**
 * How much of its time the guest has run lately. What gets hot while it sleeps nearly always took many seconds for that: the
 * host would pay more for its translation than for interpreting it.
 */

/** Time constant of the average. */
const MEMORY_NS = 300e6;
/** A guest that runs less than this part of its time is idle: interpreted for ever it would cost no more than that. */
const IDLE = 0.05;

export class Duty {
  /** The average at `since`: 1 is a guest that never sleeps. */
  private average = 1;
  private since = 0;
  isAsleep = false;

  sleep(nowNs: number): void {
    this.turn(true, nowNs);
  }
  wake(nowNs: number): void {
    this.turn(false, nowNs);
  }
  private turn(isAsleep: boolean, nowNs: number): void {
    this.average = this.at(nowNs);
    this.since = nowNs;
    this.isAsleep = isAsleep;
  }

  isIdle(nowNs: number): boolean {
    return this.at(nowNs) < IDLE;
  }

  private at(nowNs: number): number {
    const goal = this.isAsleep ? 0 : 1;
    return goal + (this.average - goal) * Math.exp((this.since - nowNs) / MEMORY_NS);
  }
}
