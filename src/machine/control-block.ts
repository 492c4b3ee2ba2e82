/**
 * The words that control thread and vCPU thread share while the guest runs. A running Worker gets no messages, so
 * everything towards it goes through here.
 *
 *    0 wake (changes on every event; a halted vCPU waits on it)   4 stop (1: end the run)
 *    8 ring of UART 0: bytes written, 12 bytes taken              16, 20 the same of UART 1
 *   32 hold (number of the request for the guest to stand still)  36 saved states asked for so far
 *   40 engine changes asked for so far, twice; odd: to kvm
 *   64 ring 0 (RING_SIZE bytes)                                   then ring 1
 */
const WAKE = 0;
const STOP = 1;
const RINGS = 2;
const HOLD = 8;
const SAVES = 9;
const ENGINE = 10;
const RING_BASE = 64;
const RING_SIZE = 16384;
export const RING_COUNT = 2;

export class ControlBlock {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;

  constructor(buffer = new SharedArrayBuffer(RING_BASE + RING_COUNT * RING_SIZE)) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer, 0, RING_BASE / 4);
    this.bytes = new Uint8Array(buffer);
  }

  wake(): void {
    Atomics.add(this.words, WAKE, 1);
    Atomics.notify(this.words, WAKE);
  }
  stop(): void {
    Atomics.store(this.words, STOP, 1);
    this.wake();
  }
  get stopRequested(): boolean {
    return Atomics.load(this.words, STOP) !== 0;
  }

  /** The guest stands still until `hold(0)`; another number asks again. */
  hold(number: number): void {
    Atomics.store(this.words, HOLD, number);
    this.wake();
  }
  get holdNumber(): number {
    return Atomics.load(this.words, HOLD);
  }
  /** Asks for a saved state; while the guest is held. */
  askForState(): void {
    Atomics.add(this.words, SAVES, 1);
    this.wake();
  }
  get statesAsked(): number {
    return Atomics.load(this.words, SAVES);
  }

  /** Asks for another engine; while the guest is held. */
  askForEngine(engine: 'dbt' | 'kvm'): void {
    const next = (this.engineAsked.number + 1) * 2;
    Atomics.store(this.words, ENGINE, engine === 'kvm' ? next + 1 : next);
    this.wake();
  }
  get engineAsked(): { readonly number: number; readonly engine: 'dbt' | 'kvm' } {
    const word = Atomics.load(this.words, ENGINE);
    return { number: word >> 1, engine: (word & 1) === 1 ? 'kvm' : 'dbt' };
  }

  /** Number that changes with every wake. */
  get events(): number {
    return Atomics.load(this.words, WAKE);
  }
  /** Sleeps at most `ms`, not at all if something happened since `events` was `seen`. */
  sleep(seen: number, ms: number): void {
    Atomics.wait(this.words, WAKE, seen, ms);
  }

  /** Puts as many bytes as fit into a ring and says how many. */
  send(ring: number, data: Uint8Array): number {
    const head = Atomics.load(this.words, RINGS + 2 * ring);
    const tail = Atomics.load(this.words, RINGS + 2 * ring + 1);
    const count = Math.min(data.length, RING_SIZE - ((head - tail) | 0));
    const base = RING_BASE + ring * RING_SIZE;
    for (let n = 0; n < count; n++) this.bytes[base + ((head + n) & (RING_SIZE - 1))] = data[n] as number;
    Atomics.store(this.words, RINGS + 2 * ring, (head + count) | 0);
    if (count > 0) this.wake();
    return count;
  }

  /** Takes at most `limit` bytes out of a ring. */
  take(ring: number, limit: number): Uint8Array {
    const head = Atomics.load(this.words, RINGS + 2 * ring);
    const tail = Atomics.load(this.words, RINGS + 2 * ring + 1);
    const count = Math.min(limit, (head - tail) | 0);
    const out = new Uint8Array(Math.max(0, count));
    const base = RING_BASE + ring * RING_SIZE;
    for (let n = 0; n < count; n++) out[n] = this.bytes[base + ((tail + n) & (RING_SIZE - 1))] as number;
    if (count > 0) Atomics.store(this.words, RINGS + 2 * ring + 1, (tail + count) | 0);
    return out;
  }
  /** True if bytes wait in a ring. */
  pending(ring: number): boolean {
    return Atomics.load(this.words, RINGS + 2 * ring) !== Atomics.load(this.words, RINGS + 2 * ring + 1);
  }
}
