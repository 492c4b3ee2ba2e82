/** The vCPU thread as Node's main thread has it: few modules, so that it can be started before all that knows what it is for. */
import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { Loading } from './base/node/loading.js';
import { createLeaseBuffer, isLeased, Lease } from './engine/kvm/lease.js';
import { loadSystem } from './engine/kvm/node/libc.js';
import type { VcpuThread } from './machine/machine-client.js';
import type { StartMessage, WorkerMessage } from './machine/protocol.js';
import type { VcpuWorkerData } from './node-vcpu-worker.js';

/** What the vCPU thread makes is mostly kept or soon gone; V8 would let 48 MB of the latter gather. */
const YOUNG_GENERATION_MB = 3;

/** Of this process. */
let runtime: Promise<WebAssembly.Module> | undefined;

export function loadRuntime(): Promise<WebAssembly.Module> {
  runtime ??= readFile(new URL('./runtime.wasm', import.meta.url)).then((bytes) => WebAssembly.compile(bytes));
  return runtime;
}

/** A thread for the next machine, started ahead. */
let ahead: VcpuThread | undefined;

/** Starts what every machine needs: for who knows that one comes and has yet to read its guest. */
export function prepare(): void {
  ahead ??= start();
  void loadRuntime();
}

export function spawn(): VcpuThread {
  const thread = ahead ?? start();
  ahead = undefined;
  return thread;
}

function start(): VcpuThread {
  const lease = createLeaseBuffer();
  const loading = new Loading();
  loading.begin();
  const worker = new Worker(new URL('./threads/node-worker.js', import.meta.url), {
    workerData: { lease, loading: loading.count } satisfies VcpuWorkerData,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
  worker.on('exit', () => {
    if (isLeased(lease)) new Lease(loadSystem(), lease).release();
  });
  return {
    post: (message: StartMessage) => worker.postMessage(message),
    onMessage: (listener: (message: WorkerMessage) => void) => void worker.on('message', listener),
    onFailure: (listener) => {
      worker.on('error', listener);
      worker.on('exit', (code) => listener(new Error(`the vCPU thread ended with code ${code}`)));
    },
    terminate() {
      loading.afterwards(() => void worker.terminate());
      // Out of the kernel, where no termination reaches it.
      if (isLeased(lease)) new Lease(loadSystem(), lease).kick();
    },
  };
}
