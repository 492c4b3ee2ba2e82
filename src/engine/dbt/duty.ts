/** How much of its time somebody has worked lately: an average that forgets. */

/** Its time constant. */
const MEMORY_NS = 300e6;

export class Duty {
  /** The average at `since`: 1 never rests. */
  private average: number;
  private since = 0;
  isAsleep: boolean;

  constructor(isAsleep: boolean) {
    this.isAsleep = isAsleep;
    this.average = isAsleep ? 0 : 1;
  }

  sleep(nowNs: number): void {
    this.turn(true, nowNs);
  }
  wake(nowNs: number): void {
    this.turn(false, nowNs);
  }
  private turn(isAsleep: boolean, nowNs: number): void {
    this.average = this.share(nowNs);
    this.since = nowNs;
    this.isAsleep = isAsleep;
  }

  /** From 0 to 1. */
  share(nowNs: number): number {
    const goal = this.isAsleep ? 0 : 1;
    return goal + (this.average - goal) * Math.exp((this.since - nowNs) / MEMORY_NS);
  }
}
