/** `trapeze run`: one guest on this terminal, from its files to the exit code. */
import { writeFileSync } from 'node:fs';
import { HostFileError } from '../base/errors.js';
import { INIT_PARAMETERS } from '../image/busybox-initramfs.js';
import type { Machine, MachineOptions, MachineResult } from '../machine/machine.js';
import { OutputFile } from './files.js';
import { type FirmwareGuest, type GuestOptions, openFirmwareGuest, openGuest } from './guest.js';
import { codeListing } from './listing.js';
import type { DebugconOption, EngineName, OutputTarget, SerialTarget } from './options.js';
import type { CommandHost } from './product.js';
import { registerDump } from './register-dump.js';
import { resultToJson } from './result-json.js';
import { formatStatistics } from './statistics.js';
import { Terminal, type TerminalSize } from './terminal.js';

export interface RunOptions extends GuestOptions {
  readonly firmware?: string;
  readonly engine: EngineName;
  readonly memory: number;
  readonly cpus: number;
  readonly serial: SerialTarget;
  readonly debugcon?: DebugconOption;
  readonly debugExit?: boolean;
  /** commander's form of --no-reboot. */
  readonly reboot: boolean;
  readonly timeout?: number;
  /** true: to standard error; text: into that file. */
  readonly stats?: true | string;
  readonly json?: boolean;
}

/** Signals that end the run; the shell's convention for the exit code is 128 plus the number. */
const SIGNALS: readonly (readonly [NodeJS.Signals, number])[] = [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
];
const SIGPIPE_EXIT_CODE = 141;

export async function run(options: RunOptions, host: CommandHost): Promise<number> {
  const { firmware } = options;
  const guest = await (firmware === undefined ? openGuest(options, host) : openFirmwareGuest(firmware, options, host));
  const { Machine } = await host.product();
  const sinks = new Sinks();
  let machine: Machine | undefined;
  let signalled: number | undefined;
  const stop = (exitCode: number): void => {
    signalled ??= exitCode;
    machine?.close();
  };

  const terminal = new Terminal(host, {
    onInput: (bytes) => machine?.write(bytes),
    onResize: ({ columns, rows }) => machine?.resize(columns, rows),
    onLeave: () => machine?.close(),
  });
  const signalHandlers = SIGNALS.map(([signal, number]) => [signal, () => stop(128 + number)] as const);
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') stop(SIGPIPE_EXIT_CODE);
  };
  try {
    const toTerminal = (bytes: Uint8Array): void => terminal.write(bytes);
    const serial = options.serial.kind === 'none' ? undefined : sinks.open(options.serial, '--serial', toTerminal);
    const debugcon = options.debugcon && sinks.open(options.debugcon.target, '--debugcon', toTerminal);
    const takesKeys = options.serial.kind === 'stdio';
    const size = takesKeys ? terminal.size : undefined;
    machine = new Machine(machineOptions(options, guest, size, host.environment));
    if (serial !== undefined) machine.on('serial', serial);
    if (debugcon !== undefined) machine.on('debugcon', debugcon);

    for (const [signal, handler] of signalHandlers) process.on(signal, handler);
    host.output.on('error', onOutputError);
    if (takesKeys && terminal.isInteractive) greet(guest, options, host);
    if (takesKeys) terminal.open();
    const result = await machine.run();
    terminal.close();
    report(result, options, host);
    return signalled ?? result.exitCode;
  } finally {
    terminal.close();
    machine?.close();
    sinks.close();
    for (const [signal, handler] of signalHandlers) process.off(signal, handler);
    host.output.off('error', onOutputError);
  }
}

export function machineOptions(
  options: RunOptions,
  guest: FirmwareGuest,
  size: TerminalSize | undefined,
  environment: NodeJS.ProcessEnv,
): MachineOptions {
  return {
    ...(guest.kernel === undefined ? {} : { kernel: guest.kernel }),
    ...(guest.kernelName === undefined ? {} : { kernelName: guest.kernelName }),
    ...(guest.firmware === undefined ? {} : { firmware: guest.firmware }),
    ...(guest.firmwareName === undefined ? {} : { firmwareName: guest.firmwareName }),
    modules: guest.modules,
    append:
      guest.hasDefaultInit && size !== undefined
        ? `${guest.append} ${terminalParameters(size, environment)}`
        : guest.append,
    memoryBytes: options.memory,
    cpus: options.cpus,
    engine: options.engine,
    ...(options.debugcon === undefined ? {} : { debugcon: options.debugcon.port }),
    debugExit: options.debugExit === true,
    noReboot: !options.reboot,
    ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
    stats: options.stats !== undefined,
  };
}

/** How our own /init learns about the terminal it is shown on. */
function terminalParameters(size: TerminalSize, environment: NodeJS.ProcessEnv): string {
  const term = environment.TERM ?? '';
  return [
    `${INIT_PARAMETERS.ROWS}=${size.rows}`,
    `${INIT_PARAMETERS.COLUMNS}=${size.columns}`,
    ...(/^[\w.+-]{1,40}$/.test(term) ? [`${INIT_PARAMETERS.TERM}=${term}`] : []),
  ].join(' ');
}

function greet(guest: FirmwareGuest, options: RunOptions, host: CommandHost): void {
  const mib = options.memory / 2 ** 20;
  host.errors.write(`trapeze: ${guest.title}, ${mib} MiB of memory. Ctrl-A x leaves, Ctrl-A h helps.\n`);
}

function report(result: MachineResult, options: RunOptions, host: CommandHost): void {
  if (result.reason === 'triple-fault' && !options.reboot) {
    const dump =
      result.cpu === undefined
        ? ''
        : `\n${registerDump(result.cpu, result.code && codeListing(result.code, result.cpu.rip))}`;
    host.errors.write(`trapeze: the guest ended with a triple fault${dump}\n`);
  } else if (result.reason === 'reset') {
    host.errors.write('trapeze: the guest asked for a reset\n');
  } else if (result.reason === 'timeout') {
    host.errors.write(`trapeze: the guest was still running after ${(options.timeout ?? 0) / 1000} seconds\n`);
  }
  if (options.stats === true) host.errors.write(`${formatStatistics(result.statistics)}\n`);
  if (typeof options.stats === 'string') writeStatistics(options.stats, result);
  if (options.json === true)
    host.output.write(`${JSON.stringify(resultToJson(result, options.stats !== undefined))}\n`);
}

function writeStatistics(path: string, result: MachineResult): void {
  const text = path.endsWith('.json')
    ? JSON.stringify(result.statistics, null, 2)
    : formatStatistics(result.statistics);
  try {
    writeFileSync(path, `${text}\n`);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HostFileError(`--stats ${path} cannot be written: ${reason}; check the path`, { cause });
  }
}

/** Where the bytes of the UART and the debug port go. Opened before the guest starts, so that a bad path ends at once. */
class Sinks {
  private readonly files: OutputFile[] = [];

  open(target: OutputTarget, option: string, stdio: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void {
    if (target.kind === 'stdio') return stdio;
    const file = new OutputFile(target.path, option);
    this.files.push(file);
    return (bytes) => file.write(bytes);
  }

  close(): void {
    for (const file of this.files) file.close();
  }
}
