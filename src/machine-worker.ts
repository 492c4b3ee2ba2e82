/** What both worker entries do with a start message: compose a machine with the translating engine and run it. */
import { EXIT_CODE, TrapezeError } from './base/errors.js';
import { createVmMemory, DbtEngine, guestRam } from './engine/dbt/engine.js';
import type { DbtVcpu } from './engine/dbt/vcpu.js';
import { ControlBlock } from './machine/control-block.js';
import type { StartMessage, WorkerMessage } from './machine/protocol.js';
import { type EngineWithMemory, VirtualMachine } from './machine/virtual-machine.js';

/** Entries after which a block is translated. */
const HOT_THRESHOLD = 300;

export interface WorkerHost {
  /** Nanoseconds, monotonic. */
  now(): number;
  random(): number;
  post(message: WorkerMessage, transfer?: ArrayBuffer[]): void;
}

export function runMachine(start: StartMessage, host: WorkerHost): void {
  try {
    const control = new ControlBlock(start.control);
    const origin = host.now();
    const machine = new VirtualMachine(start.options, control, {
      now: () => host.now(),
      wallClockMs: start.wallClockMs,
      makeEngine: (ramBytes) => makeEngine(ramBytes, start, host, origin),
      serial: (bytes) => host.post({ kind: 'serial', bytes }),
      debugcon: (bytes) => host.post({ kind: 'debugcon', bytes }),
    });
    if (start.inspect !== undefined) {
      const report = machine.inspect(start.inspect);
      const address = `0x${start.inspect.toString(16)}`;
      if (report === undefined) {
        throw new TrapezeError(
          'bad-usage',
          `the guest ended without running code at ${address}; give an address it executes`,
        );
      }
      host.post({ kind: 'translation', report });
      return;
    }
    host.post({ kind: 'exit', result: machine.run() });
  } catch (error) {
    host.post(describe(error));
  }
}

function makeEngine(ramBytes: number, start: StartMessage, host: WorkerHost, origin: number): EngineWithMemory {
  const memory = createVmMemory(ramBytes);
  const engine = new DbtEngine(
    memory,
    ramBytes,
    start.runtime,
    { hotThreshold: HOT_THRESHOLD },
    {
      now: () => host.now(),
      tsc: () => host.now() - origin,
      random: () => host.random(),
    },
  );
  let vcpu: DbtVcpu | undefined;
  return {
    engine: {
      name: engine.name,
      createVcpu: (index) => {
        vcpu = engine.createVcpu(index);
        return vcpu;
      },
      close: () => engine.close(),
    },
    ram: guestRam(memory, ramBytes),
    inspect: (linear, executed) => vcpu?.inspect(linear, executed),
    peek: (linear, length) => vcpu?.peek(linear, length) ?? new Uint8Array(0),
  };
}

function describe(error: unknown): WorkerMessage {
  if (error instanceof TrapezeError) {
    return {
      kind: 'error',
      code: error.code,
      message: error.message,
      exitCode: error.exitCode,
      stack: error.stack ?? '',
    };
  }
  if (error instanceof RangeError && /memory/i.test(error.message)) {
    const message = "this host has no room for the guest's memory; use a smaller --memory";
    return { kind: 'error', code: 'out-of-memory', message, exitCode: EXIT_CODE.BAD_INPUT, stack: '' };
  }
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: '' };
  return { kind: 'error', code: 'internal', message, exitCode: EXIT_CODE.INTERNAL, stack: stack ?? message };
}
