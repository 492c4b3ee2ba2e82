/** What the vCPU thread on Node does once its modules are there. */
import { randomFillSync } from 'node:crypto';
// The global of that name looks itself up at every use.
import { performance } from 'node:perf_hooks';
import { MessageChannel, parentPort, receiveMessageOnPort, Worker, workerData } from 'node:worker_threads';
import { Loading } from './base/node/loading.js';
import { commonHandlers } from './engine/dbt/common-handlers.js';
import { type CompilerAnswer, CompilerThread, SIGNS } from './engine/dbt/compiler-thread.js';
import { KnownBlocks } from './engine/dbt/known-blocks.js';
import { loadSystem } from './engine/kvm/node/libc.js';
import type { StartMessage } from './machine/protocol.js';
import { runMachine } from './machine-worker.js';
import type { CompilerWorkerData } from './node-compiler-worker.js';

export interface VcpuWorkerData {
  /** Of what engine kvm takes from the operating system. */
  readonly lease: SharedArrayBuffer;
  readonly loading: Int32Array<SharedArrayBuffer>;
}

const { lease, loading: count } = workerData as VcpuWorkerData;
const loading = new Loading(count);

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
const COMPILER_YOUNG_GENERATION_MB = 12;

/** `path`: of the file in which translations are kept. */
function startCompiler(memory: WebAssembly.Memory, path: string | undefined, choosesTiers: boolean): CompilerThread {
  const known = path === undefined ? undefined : new KnownBlocks();
  const { port1, port2 } = new MessageChannel();
  const signs = new Int32Array(new SharedArrayBuffer(4 * SIGNS));
  const archive = path === undefined || known === undefined ? undefined : { path, known: known.shared };
  const data: CompilerWorkerData = { memory, signs, port: port2, loading: count, archive, choosesTiers };
  loading.begin();
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
    signs,
    known,
    post: (message) => port1.postMessage(message),
    receive: () => receiveMessageOnPort(port1)?.message as CompilerAnswer | undefined,
    end: () => {
      loading.wait();
      void worker.terminate();
    },
  });
}

/**
 * Waits for the machine to run. `handlers`: what the interpreter begins with, where it was compiled ahead. `choosesTiers`: V8 can be told
 * which functions to optimize.
 */
export function serve(handlers: WebAssembly.Module | undefined, choosesTiers: boolean): void {
  const port = parentPort;
  if (port === null) throw new Error('node-vcpu-worker.js belongs to a worker thread');
  commonHandlers(handlers);
  loading.end();
  port.once('message', (start: StartMessage) => {
    const run = runMachine(start, {
      now: () => performance.now() * 1e6,
      random,
      openSystem: loadSystem,
      startCompiler: (memory) => startCompiler(memory, start.options.translations, choosesTiers),
      lease,
      post: (message) => port.postMessage(message),
    });
    // This thread ends now, and takes the compiler's with it.
    void run.finally(() => loading.wait());
  });
}
