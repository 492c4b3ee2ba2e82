/**
 * Keeps a slow guest from living for its interrupts only. Where a host emulates ring 0, the kernel's timer interrupt can take
 * longer than until the next one, most of all where the host has other work: the clock goes on while the guest stands. Nothing
 * else would ever run then. So after each interrupt the guest gets a multiple of the time that its handler took; what comes
 * meanwhile waits, as it may on any processor, and timers that come late are handled at once with those behind them.
 */

/** Time to the guest's own work for each part to interrupt handlers. */
const SHARE = 3;
/** A handler that seems to take longer: somebody else has disabled interrupts. */
const LONGEST_HANDLER_NS = 5e6;

export class InterruptPace {
  private readonly cpuTime: () => number;
  /** When the last interrupt was injected; undefined: its handler has enabled interrupts again. */
  private started: number | undefined;
  private heldUntil = 0;

  /** `cpuTime`: nanoseconds that this thread has run. What the host does meanwhile does not count. */
  constructor(cpuTime: () => number) {
    this.cpuTime = cpuTime;
  }

  /** The guest's own work comes first. */
  get isHeld(): boolean {
    if (this.heldUntil === 0) return false;
    if (this.cpuTime() < this.heldUntil) return true;
    this.heldUntil = 0;
    return false;
  }

  /** Somebody must tell when the guest takes interrupts again. */
  get isMeasuring(): boolean {
    return this.started !== undefined;
  }

  injected(): void {
    this.started = this.cpuTime();
  }

  /** The guest takes interrupts again. */
  windowOpened(): void {
    if (this.started === undefined) return;
    const now = this.cpuTime();
    this.heldUntil = now + SHARE * Math.min(LONGEST_HANDLER_NS, now - this.started);
    this.started = undefined;
  }

  /** The guest has no work of its own. */
  idle(): void {
    this.started = undefined;
    this.heldUntil = 0;
  }
}
