/** Trapeze on Node: `import { Machine } from 'trapeze'`. */
import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { Loading } from './base/node/loading.js';
import { createLeaseBuffer, isLeased, Lease } from './engine/kvm/lease.js';
import { loadSystem } from './engine/kvm/node/libc.js';
import { CAPABILITY_NAMES, chooseEngine, type KvmProbe, probeKvm } from './engine/kvm/probe.js';
import type { EnginesReport } from './machine/engines-report.js';
import type { MachineOptions } from './machine/machine.js';
import { MachineClient, type ThreadHost, type VcpuThread } from './machine/machine-client.js';
import type { StartMessage, WorkerMessage } from './machine/protocol.js';
import type { VcpuWorkerData } from './node-vcpu-worker.js';

export * from './base/errors.js';
export type { CpuState } from './engine/engine.js';
export type { BootModule } from './machine/boot/boot.js';
export type {
  EndReason,
  LoadOptions,
  MachineEvents,
  MachineOptions,
  MachineResult,
  Statistics,
} from './machine/machine.js';

/** What the vCPU thread makes is mostly kept or soon gone; V8 would let 48 MB of the latter gather. */
const YOUNG_GENERATION_MB = 3;

let runtime: Promise<WebAssembly.Module> | undefined;

function loadRuntime(): Promise<WebAssembly.Module> {
  runtime ??= readFile(new URL('./runtime.wasm', import.meta.url)).then((bytes) => WebAssembly.compile(bytes));
  return runtime;
}

/** A thread for the next machine, started ahead. */
let ahead: VcpuThread | undefined;

/** Starts what every machine needs: for who knows that one comes and has yet to read its guest. */
export function prepare(): void {
  void loadRuntime();
  ahead ??= start();
}

function spawn(): VcpuThread {
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

let kvm: KvmProbe | undefined;

/** Once in a process: hardware does not change under it. */
function probe(): KvmProbe {
  kvm ??= probeKvm(loadSystem, () => performance.now() * 1e6);
  return kvm;
}

const host: ThreadHost = { spawn, runtime: loadRuntime, chooseEngine: () => chooseEngine(probe()).engine };

/** What each engine can do on this host, which one `auto` takes and why. */
export function inspectEngines(): EnginesReport {
  const found = probe();
  const { engine, reason } = chooseEngine(found);
  const dbt = { name: 'dbt', title: 'translation to WebAssembly', usable: true, capabilities: [], speeds: {} } as const;
  const title = "Linux's /dev/kvm";
  if (!found.usable) {
    const kvm = { name: 'kvm', title, usable: false, problem: found.problem, capabilities: [], speeds: {} } as const;
    return { engines: [dbt, kvm], choice: engine, reason };
  }
  const { capabilities } = found;
  const names = Object.keys(CAPABILITY_NAMES) as (keyof typeof CAPABILITY_NAMES)[];
  return {
    engines: [
      dbt,
      {
        name: 'kvm',
        title,
        usable: true,
        capabilities: names.map((name) => ({ name, title: CAPABILITY_NAMES[name], has: capabilities[name] })),
        speeds: {
          'ns per instruction, ring 0': capabilities.ring0Ns,
          'ns per instruction, ring 3, 64-bit': capabilities.ring3Ns,
          'ns per instruction, ring 3, 32-bit': capabilities.compatibilityNs,
        },
      },
    ],
    choice: engine,
    reason,
  };
}

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
