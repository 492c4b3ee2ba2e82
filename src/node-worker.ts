/** The vCPU thread on Node. */
import { randomFillSync } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import type { StartMessage } from './machine/protocol.js';
import { runMachine } from './machine-worker.js';

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
  runMachine(start, {
    now: () => performance.now() * 1e6,
    random,
    post: (message) => port.postMessage(message),
  });
});
