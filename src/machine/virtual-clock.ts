/** The virtual clock of a VM: follows the host's, stands still while the guest is held, goes on where a state was saved. */
import type { Clock } from '../base/clock.js';

export class VirtualClock implements Clock {
  /** Known when the engine is. */
  tscHz = 0;
  private readonly host: () => number;
  /** The host's time at virtual time zero. */
  private origin: number;
  private frozenAt: number | undefined;

  /** `host`: nanoseconds, monotonic. */
  constructor(host: () => number) {
    this.host = host;
    this.origin = host();
  }

  now(): number {
    return this.frozenAt ?? this.host() - this.origin;
  }

  /** Stands still, at `ns` if that is given. */
  freeze(ns = this.now()): void {
    this.frozenAt = ns;
  }

  thaw(): void {
    if (this.frozenAt === undefined) return;
    this.origin = this.host() - this.frozenAt;
    this.frozenAt = undefined;
  }
}
