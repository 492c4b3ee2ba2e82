/**
 * Threads of one machine that are loading their modules. Node leaves files open whose reading is under way when a thread is
 * terminated: whoever ends one lets it load first.
 */

const LOOK_EVERY_MS = 5;
/** A thread that cannot load must not be waited for. */
const PATIENCE_MS = 2_000;

export class Loading {
  /** How many there are, in shared memory: for the data that a thread is started with. */
  readonly count: Int32Array<SharedArrayBuffer>;

  constructor(count = new Int32Array(new SharedArrayBuffer(4))) {
    this.count = count;
  }

  /** Before a thread is started. */
  begin(): void {
    Atomics.add(this.count, 0, 1);
  }

  /** The thread that was started has its modules. */
  end(): void {
    Atomics.sub(this.count, 0, 1);
    Atomics.notify(this.count, 0);
  }

  /** Calls back once all have loaded, at once if so. */
  afterwards(then: () => void, patienceMs = PATIENCE_MS): void {
    if (Atomics.load(this.count, 0) === 0 || patienceMs <= 0) then();
    else setTimeout(() => this.afterwards(then, patienceMs - LOOK_EVERY_MS), LOOK_EVERY_MS);
  }

  /** The same for a thread that cannot be called back. */
  wait(): void {
    const until = performance.now() + PATIENCE_MS;
    for (;;) {
      const count = Atomics.load(this.count, 0);
      const leftMs = until - performance.now();
      if (count === 0 || leftMs <= 0) return;
      Atomics.wait(this.count, 0, count, leftMs);
    }
  }
}
