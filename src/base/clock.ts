/**
 * The virtual clock of one VM: nanoseconds since power-on, as a double (exact for 104 days, never a BigInt).
 * It may stop and jump (pause, restore) but never runs backwards. TSC ticks are `now() * tscHz / 1e9`.
 */
export interface Clock {
  now(): number;
  readonly tscHz: number;
}

/** A clock that moves only when told: for tests and for deterministic runs. */
export class ManualClock implements Clock {
  readonly tscHz = 1e9;
  ns = 0;

  now(): number {
    return this.ns;
  }
}
