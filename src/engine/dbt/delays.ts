/** A histogram of delays, by powers of ten with two steps between. */

/** Upper bounds in milliseconds. */
const BOUNDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100] as const;

export class Delays {
  private readonly counts = new Array<number>(BOUNDS.length + 1).fill(0);
  private longest = 0;
  private sum = 0;

  add(milliseconds: number): void {
    const bound = BOUNDS.findIndex((b) => milliseconds < b);
    const n = bound < 0 ? BOUNDS.length : bound;
    this.counts[n] = (this.counts[n] as number) + 1;
    this.longest = Math.max(this.longest, milliseconds);
    this.sum += milliseconds;
  }

  /** Counts of what there was, by `what`; the longest and all together in milliseconds. */
  statistics(what: string): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [n, count] of this.counts.entries()) {
      const bound = BOUNDS[n];
      if (count > 0) out[bound === undefined ? `${what} of 100 ms and more` : `${what} under ${bound} ms`] = count;
    }
    out[`${what} together, ms`] = this.sum;
    out[`longest of the ${what}, ms`] = this.longest;
    return out;
  }
}
