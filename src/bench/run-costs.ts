/** Runs the nanobenchmarks' guest in a machine. */
import { EXIT_CODE, TrapezeError } from '../base/errors.js';
import type { MachineConstructor } from '../machine/machine.js';
import { type CostsGuestOptions, costsGuest } from './costs-guest.js';
import { DEBUG_PORT, EXIT } from './costs-layout.js';
import { type CostStream, parseStream } from './costs-result.js';

export interface CostsRunOptions extends CostsGuestOptions {
  readonly engine: 'dbt' | 'kvm';
  readonly timeoutMs: number;
}

/**
 * Translated code is compiled in a thread, and twice by the host's JavaScript engine: both while a loop warms up. A loop is
 * short beside a time slice, so that most rounds of a busy host are whole.
 */
export const COSTS_TIMES = { warmUpMs: 500, loopMs: 0.4 } as const;

const MEMORY_BYTES = 32 * 2 ** 20;
const exitCodeOf = (value: number): number => ((value << 1) | 1) & 0xff;

/** Throws TrapezeError when the guest does not run to its end, or not as it should. */
export async function runCosts(Machine: MachineConstructor, options: CostsRunOptions): Promise<CostStream> {
  const machine = new Machine({
    kernel: costsGuest(options),
    kernelName: 'the guest of the benchmark',
    memoryBytes: MEMORY_BYTES,
    engine: options.engine,
    debugcon: DEBUG_PORT,
    debugExit: true,
    noReboot: true,
    timeoutMs: options.timeoutMs,
  });
  const pieces: Uint8Array[] = [];
  machine.on('debugcon', (bytes) => pieces.push(bytes.slice()));
  try {
    const { reason, exitCode } = await machine.run();
    if (reason !== 'debug-exit') {
      const what = reason === 'timeout' ? `still running after ${options.timeoutMs / 1000} seconds` : reason;
      throw new TrapezeError('internal', `the benchmark's guest did not run to its end: ${what}`, EXIT_CODE.INTERNAL);
    }
    const stream = parseStream(joined(pieces), options.costs);
    if (exitCode !== exitCodeOf(EXIT.DONE)) {
      throw new TrapezeError('internal', 'the guest ended early', EXIT_CODE.INTERNAL);
    }
    return stream;
  } finally {
    machine.close();
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
