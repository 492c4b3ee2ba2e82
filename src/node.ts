/** Trapeze on Node: `import { Machine } from 'trapeze'`. */
import { loadSystem } from './engine/kvm/node/libc.js';
import { CAPABILITY_NAMES, chooseEngine, type KvmProbe, probeKvm } from './engine/kvm/probe.js';
import type { EnginesReport } from './machine/engines-report.js';
import type { MachineOptions } from './machine/machine.js';
import { MachineClient, type ThreadHost } from './machine/machine-client.js';
import { loadRuntime, spawn } from './node-thread.js';

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
export { prepare } from './node-thread.js';

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
