/** The vCPU thread on Node. */
import { randomFillSync } from 'node:crypto';
// The global of that name looks itself up at every use.
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { MessageChannel, parentPort, receiveMessageOnPort, Worker, workerData } from 'node:worker_threads';
import { type CompilerAnswer, CompilerThread } from './engine/dbt/compiler-thread.js';
import { commonHandlers } from './engine/dbt/interpreter.js';
import { loadSystem } from './engine/kvm/node/libc.js';
import type { StartMessage } from './machine/protocol.js';
import { runMachine } from './machine-worker.js';
import type { CompilerWorkerData } from './node-compiler-worker.js';

// V8 compiles a WebAssembly function at its first call. Regions are made because they run: compiled with their module they
// start at once, which docs/benchmarks.md found worth a quarter of the CPU time of process and file work.
setFlagsFromString('--no-wasm-lazy-compilation');
// Regions say which way their TLB checks go; the optimizing compiler then lays out what is rare out of line, worth a third
// of the time of file work.
setFlagsFromString('--experimental-wasm-branch-hinting');

// What is worth a region is worth the optimizing compiler, which starts as soon as the baseline code is there: waiting for
// turns in baseline code saves a sixth of that compiler's time, and the guest loses as much.
setFlagsFromString('--no-wasm-dynamic-tiering');

// The optimizing compiler takes an eighth less time without these, and regions run as fast.
setFlagsFromString('--no-wasm-loop-unrolling');
setFlagsFromString('--no-wasm-loop-peeling');
// Collections of these small heaps take less time than waking other threads for them.
setFlagsFromString('--no-parallel-scavenge');

const pool = new Uint32Array(256);
let used = pool.length;

function random(): number {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool[used++] as number;
}

/** What the compiler makes is soon gone. */
const COMPILER_YOUNG_GENERATION_MB = 3;

function startCompiler(memory: WebAssembly.Memory): CompilerThread {
  const { port1, port2 } = new MessageChannel();
  const answers = new Int32Array(new SharedArrayBuffer(4));
  const data: CompilerWorkerData = { memory, answers, port: port2 };
  const worker = new Worker(new URL('./node-compiler-worker.js', import.meta.url), {
    workerData: data,
    transferList: [port2],
    resourceLimits: { maxYoungGenerationSizeMb: COMPILER_YOUNG_GENERATION_MB },
  });
  // A compiler that died is found by its silence.
  worker.on('error', () => {});
  worker.unref();
  port1.unref();
  return new CompilerThread(memory, {
    answers,
    post: (request) => port1.postMessage(request),
    receive: () => receiveMessageOnPort(port1)?.message as CompilerAnswer | undefined,
    end: () => void worker.terminate(),
  });
}

// The optimizing compiler takes a tenth of a second for the handlers of the interpreter, which then runs a guest's first
// instructions three times as fast. What other threads compile in this moment comes late and fast, too.
setFlagsFromString('--no-liftoff');
commonHandlers();
setFlagsFromString('--liftoff');

const port = parentPort;
if (port === null) throw new Error('node-worker.js runs as a worker thread');
port.once('message', (start: StartMessage) => {
  void runMachine(start, {
    now: () => performance.now() * 1e6,
    random,
    openSystem: loadSystem,
    startCompiler,
    lease: (workerData as { lease?: SharedArrayBuffer } | null)?.lease,
    post: (message) => port.postMessage(message),
  });
});
