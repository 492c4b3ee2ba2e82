/** Trapeze on Node: `import { Machine } from 'trapeze'`. */
import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { createLeaseBuffer, isLeased, Lease } from './engine/kvm/lease.js';
import { loadSystem } from './engine/kvm/node/libc.js';
import type { MachineOptions } from './machine/machine.js';
import { MachineClient, type ThreadHost, type VcpuThread } from './machine/machine-client.js';
import type { StartMessage, WorkerMessage } from './machine/protocol.js';

export * from './base/errors.js';
export type { CpuState } from './engine/engine.js';
export type { BootModule } from './machine/boot/boot.js';
export type { EndReason, MachineEvents, MachineOptions, MachineResult, Statistics } from './machine/machine.js';

let runtime: Promise<WebAssembly.Module> | undefined;

function loadRuntime(): Promise<WebAssembly.Module> {
  runtime ??= readFile(new URL('./runtime.wasm', import.meta.url)).then((bytes) => WebAssembly.compile(bytes));
  return runtime;
}

function spawn(): VcpuThread {
  const lease = createLeaseBuffer();
  const worker = new Worker(new URL('./node-worker.js', import.meta.url), { workerData: { lease } });
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
    terminate: () => void worker.terminate(),
  };
}

const host: ThreadHost = { spawn, runtime: loadRuntime };

export class Machine extends MachineClient {
  constructor(options: MachineOptions) {
    super(options, host);
  }
}

async function moduleText(bytes: Uint8Array): Promise<string> {
  const { default: wabt } = await import('wabt');
  const tools = await wabt();
  const module = tools.readWasm(bytes, { readDebugNames: false, threads: true, tail_call: true, simd: true });
  try {
    return module.toText({ foldExprs: false, inlineExport: false });
  } finally {
    module.destroy();
  }
}

/** The stages of the translation at a linear address of a loaded guest, as text. */
export async function inspectTranslation(
  options: MachineOptions,
  address: bigint,
): Promise<{ assembly: string; ir: string; wasm: string }> {
  const { assembly, ir, module } = await new Machine(options).inspect(address);
  return { assembly, ir, wasm: await moduleText(module) };
}
