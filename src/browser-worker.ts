/** The vCPU thread in a browser: a module Worker. */
import type { StartMessage, WorkerMessage } from './machine/protocol.js';
import { runMachine } from './machine-worker.js';

/** What is used of DedicatedWorkerGlobalScope; TypeScript's DOM library describes pages only. */
interface WorkerScope {
  addEventListener(
    type: 'message',
    listener: (event: MessageEvent<StartMessage>) => void,
    options: { once: boolean },
  ): void;
  postMessage(message: WorkerMessage, transfer: Transferable[]): void;
}

const NS_PER_MS = 1e6;
/** Less than a reading takes, so that the clock never runs ahead of the browser's next tick. */
const READING_NS = 10;

let last = 0;

/**
 * Browsers round performance.now() to ticks (5 microseconds in an isolated page, more elsewhere; HR Time, "Clock
 * resolution"). Readings within a tick advance a little, as a counter of cycles does: a guest that takes entropy or
 * short delays from its TSC would see a clock that stands still.
 */
function now(): number {
  last = Math.max(last + READING_NS, performance.now() * NS_PER_MS);
  return last;
}

const pool = new Uint32Array(256);
let used = pool.length;

function random(): number {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  return pool[used++] as number;
}

const scope = globalThis as unknown as WorkerScope;
scope.addEventListener(
  'message',
  ({ data }) =>
    void runMachine(data, { now, random, post: (message, transfer = []) => scope.postMessage(message, transfer) }),
  { once: true },
);
