// The engines of this build over a little RAM, and what this host's KVM lacks.
import { readFileSync } from 'node:fs';
import { createVmMemory, DbtEngine, guestRam } from '../../dist/engine/dbt/engine.js';
import { KvmEngine } from '../../dist/engine/kvm/engine.js';
import { loadSystem } from '../../dist/engine/kvm/node/libc.js';
import { CAPABILITY_NAMES, probeKvm } from '../../dist/engine/kvm/probe.js';
import * as S from '../../dist/x86/state.js';

const now = () => performance.now() * 1e6;
const runtime = new WebAssembly.Module(readFileSync(new URL('../../dist/runtime.wasm', import.meta.url)));

export const kvm = probeKvm(loadSystem, now);

/** What each place of the interrupt controllers needs. */
export const IRQCHIP_NEEDS = { machine: [], split: ['splitIrqchip'], kernel: ['kernelIrqchip'] };

/** Why a test cannot run on an engine here, or undefined. */
export function lacks(engine, needs) {
  if (engine !== 'kvm') return undefined;
  if (!kvm.usable) return kvm.problem;
  const lacking = needs.filter((name) => !kvm.capabilities[name]);
  if (lacking.length === 0) return undefined;
  return `this host's KVM lacks: ${lacking.map((name) => CAPABILITY_NAMES[name]).join(', ')}`;
}

/** An engine and its vCPU; `hotThreshold` makes the translating engine translate at once. */
export function makeEngine(name, ramBytes, { hotThreshold = 50, irqchip } = {}) {
  const memory = createVmMemory(ramBytes);
  const started = now();
  const host = { now, tsc: () => now() - started, random: () => 7 };
  const dbt = new DbtEngine(memory, ramBytes, runtime, { hotThreshold }, host);
  let translating;
  const stepper = () => {
    translating ??= dbt.createVcpu(0);
    return translating;
  };
  const engine =
    name === 'dbt'
      ? dbt
      : new KvmEngine(memory, S.RAM, ramBytes, {
          system: loadSystem(),
          now,
          stepper,
          irqchip,
          repairSyscall: kvm.usable && !kvm.capabilities.syscall,
        });
  return {
    name,
    engine,
    vcpu: name === 'dbt' ? stepper() : engine.createVcpu(0),
    ram: guestRam(memory, ramBytes),
    view: new DataView(memory.buffer, S.RAM, ramBytes),
    close: () => engine.close(),
  };
}
