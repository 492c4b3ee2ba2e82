/** What both worker entries do with a start message: compose a machine with an engine and run it. */
import { EXIT_CODE, TrapezeError } from './base/errors.js';
import { Engines, type EnginesHost } from './engines.js';
import { checkFirmware } from './machine/boot/firmware.js';
import { ControlBlock } from './machine/control-block.js';
import type { StartMessage, WorkerMessage } from './machine/protocol.js';
import { VirtualMachine } from './machine/virtual-machine.js';

export interface WorkerHost extends EnginesHost {
  post(message: WorkerMessage, transfer?: ArrayBuffer[]): void;
}

export async function runMachine(start: StartMessage, host: WorkerHost): Promise<void> {
  try {
    const control = new ControlBlock(start.control);
    let engines: Engines | undefined;
    const machine = new VirtualMachine(start.options, control, {
      now: () => host.now(),
      wallClockMs: start.wallClockMs,
      makeEngine(ramBytes, firmware, virtualNow, tscHz) {
        if (firmware !== undefined) checkFirmware(firmware, start.options.firmwareName);
        // A guest that starts again gets fresh memory.
        engines?.engine.close();
        const { engine, irqchip, switchable = false } = start.options;
        const keepsTranslations = start.options.translations !== undefined;
        const name = engine === 'kvm' ? 'kvm' : 'dbt';
        engines = new Engines(
          {
            name,
            ramBytes,
            firmware,
            switchable,
            irqchip,
            keepsTranslations,
            runtime: start.runtime,
            virtualNow,
            tscHz,
          },
          host,
        );
        return engines;
      },
      serial: (bytes) => host.post({ kind: 'serial', bytes }),
      debugcon: (bytes) => host.post({ kind: 'debugcon', bytes }),
      held: (number, statistics) => host.post({ kind: 'held', number, statistics }),
      engineChanged: (engine, missing) => host.post({ kind: 'engine', engine, missing }),
      state: (state, ram) => host.post({ kind: 'state', state, ram }),
    });
    if (start.state !== undefined) await machine.load(start.state);
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
