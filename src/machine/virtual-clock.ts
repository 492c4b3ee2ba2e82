/** The virtual clock of a VM: follows the host's, stands still while the guest is held, goes on where a state was saved. */
import type { Clock } from '../base/clock.js';

export class VirtualClock implements Clock {
  /** Known when the engine is. */
  tscHz = 0;
  private readonly host: () => number;
  /** The host's time at virtual time zero. */
  private origin: number;
  private frozenAt: number | undefined;
  private last = 0;
  /** True while the last reading still tells the time: to read the host's clock costs more than most answers of devices. */
  isFresh: () => boolean = () => false;

  /** `host`: nanoseconds, monotonic. */
  constructor(host: () => number) {
    this.host = host;
    this.origin = host();
  }

  now(): number {
    if (this.frozenAt !== undefined) return this.frozenAt;
    if (!this.isFresh()) this.last = this.host() - this.origin;
    return this.last;
  }

  /** Stands still, at `ns` if that is given. */
  freeze(ns = this.now()): void {
    this.frozenAt = ns;
  }

  /** Goes on; `hostNs`: it did so then, a moment ago. */
  thaw(hostNs = this.host()): void {
    if (this.frozenAt === undefined) return;
    this.origin = hostNs - this.frozenAt;
    this.frozenAt = undefined;
  }
}
