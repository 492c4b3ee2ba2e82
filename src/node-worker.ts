/** The vCPU thread on Node. */
import { randomFillSync } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { loadSystem } from './engine/kvm/node/libc.js';
import type { StartMessage } from './machine/protocol.js';
import { runMachine } from './machine-worker.js';

// V8 compiles a WebAssembly function at its first call. Regions are made because they run: compiled with their module they
// start at once, which docs/benchmarks.md found worth a quarter of the CPU time of process and file work.
setFlagsFromString('--no-wasm-lazy-compilation');
// Regions say which way their TLB checks go; the optimizing compiler then lays out what is rare out of line, worth a third
// of the time of file work.
setFlagsFromString('--experimental-wasm-branch-hinting');

const pool = new Uint32Array(256);
let used = pool.length;

function random(): number {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool[used++] as number;
}

const port = parentPort;
if (port === null) throw new Error('node-worker.js runs as a worker thread');
port.once('message', (start: StartMessage) => {
  void runMachine(start, {
    now: () => performance.now() * 1e6,
    random,
    openSystem: loadSystem,
    lease: (workerData as { lease?: SharedArrayBuffer } | null)?.lease,
    post: (message) => port.postMessage(message),
  });
});
