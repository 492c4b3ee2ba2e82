/** `trapeze run`: one guest on this terminal, from its files to the exit code. */
import { writeFileSync } from 'node:fs';
import { EXIT_CODE, HostFileError, UsageError } from '../base/errors.js';
import { collectGarbage } from '../base/node/garbage.js';
import { INIT_PARAMETERS } from '../image/busybox-initramfs.js';
import type { LoadOptions, Machine, MachineOptions, MachineResult } from '../machine/machine.js';
import { OutputFile, readGuestFile } from './files.js';
import { type FirmwareGuest, type GuestOptions, openFirmwareGuest, openGuest } from './guest.js';
import type { DebugconOption, EngineName, IrqchipName, OutputTarget, SerialTarget } from './options.js';
import type { CommandHost, Product } from './product.js';
import { resultToJson } from './result-json.js';
import { Saving } from './saving.js';
import { StateFile } from './state-file.js';
import { formatStatistics } from './statistics.js';
import { Terminal, type TerminalSize } from './terminal.js';
import { translationsFile } from './translations.js';

export interface RunOptions extends GuestOptions {
  readonly firmware?: string;
  readonly engine: EngineName;
  readonly irqchip?: IrqchipName;
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
  readonly save?: string;
  readonly load?: string;
  readonly translations?: string;
  /** Was an option of this name on the command line? Default values were not. */
  readonly given?: (name: string) => boolean;
}

/** Signals that end the run; the shell's convention for the exit code is 128 plus the number. */
const SIGNALS: readonly (readonly [NodeJS.Signals, number])[] = [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
];
const SIGPIPE_EXIT_CODE = 141;
/** When a guest has started, but not come far. */
const TIDY_MS = 2000;

/** Makes the machine; the size of the terminal it is shown on, if it is. */
type Maker = (product: Product, size: TerminalSize | undefined) => Promise<Machine>;

async function prepared(host: CommandHost): Promise<Product> {
  const product = await host.product();
  product.prepare();
  return product;
}

export async function run(options: RunOptions, host: CommandHost): Promise<number> {
  const [product, { title, make }] = await Promise.all([prepared(host), open(options, host)]);
  const file = options.save === undefined ? undefined : new StateFile(options.save);
  const sinks = new Sinks();
  let machine: Machine | undefined;
  let signalled: number | undefined;
  let timedOut = false;

  const terminal = new Terminal(host, {
    onInput: (bytes) => machine?.write(bytes),
    onResize: ({ columns, rows }) => machine?.resize(columns, rows),
    onLeave: () => leave('by key'),
    onSave: () => void (machine && saving.now(machine)),
  });
  const saving = new Saving(file, (text) => {
    if (terminal.isInteractive) terminal.notice(text);
    else host.errors.write(`${text}\n`);
  });
  const leave = (isAsked: 'by key' | 'from outside'): void => void (machine && saving.leave(machine, isAsked));
  const stop = (exitCode: number): void => {
    signalled ??= exitCode;
    leave('from outside');
  };
  const signalHandlers = SIGNALS.map(([signal, number]) => [signal, () => stop(128 + number)] as const);
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') stop(SIGPIPE_EXIT_CODE);
  };
  let timer: NodeJS.Timeout | undefined;
  let tidying: NodeJS.Timeout | undefined;
  try {
    const toTerminal = (bytes: Uint8Array): void => terminal.write(bytes);
    const serial = options.serial.kind === 'none' ? undefined : sinks.open(options.serial, '--serial', toTerminal);
    const debugcon = options.debugcon && sinks.open(options.debugcon.target, '--debugcon', toTerminal);
    const takesKeys = options.serial.kind === 'stdio';
    machine = await make(product, takesKeys ? terminal.size : undefined);
    if (serial !== undefined) machine.on('serial', serial);
    if (debugcon !== undefined) machine.on('debugcon', debugcon);

    for (const [signal, handler] of signalHandlers) process.on(signal, handler);
    host.output.on('error', onOutputError);
    if (takesKeys && terminal.isInteractive) {
      host.errors.write(`trapeze: ${title}. Ctrl-A x leaves, Ctrl-A h helps.\n`);
    }
    if (takesKeys) terminal.open();
    // What is to be saved first cannot be left to the machine's own timeout.
    if (file !== undefined && options.timeout !== undefined) {
      timer = setTimeout(() => {
        timedOut = true;
        leave('from outside');
      }, options.timeout);
    }
    // What reading the guest and starting took is garbage; this thread hardly does anything from now on.
    tidying = setTimeout(collectGarbage, TIDY_MS);
    const ended = await machine.run();
    terminal.close();
    const result: MachineResult =
      timedOut && ended.reason === 'closed' ? { ...ended, reason: 'timeout', exitCode: EXIT_CODE.TIMEOUT } : ended;
    await report(result, options, host, saving.saved);
    if (saving.failure !== undefined) throw saving.failure;
    return signalled ?? result.exitCode;
  } finally {
    clearTimeout(timer);
    clearTimeout(tidying);
    terminal.close();
    machine?.close();
    sinks.close();
    for (const [signal, handler] of signalHandlers) process.off(signal, handler);
    host.output.off('error', onOutputError);
  }
}

/** The guest of a command line, as far as it can be looked at before anything is started. */
async function open(options: RunOptions, host: CommandHost): Promise<{ title: string; make: Maker }> {
  const { firmware, load } = options;
  if (load !== undefined) {
    for (const name of ['kernel', 'initrd', 'append', 'firmware'] as const) {
      if (options[name] === undefined) continue;
      throw new UsageError(`--load ${load} brings the guest that was saved; leave --${name} away`);
    }
    const state = await readGuestFile(load, '--load');
    return {
      title: `going on from ${load}`,
      make: async ({ Machine }, size) => {
        const machine = await Machine.load(state, loadOptions(options));
        if (size !== undefined) machine.resize(size.columns, size.rows);
        return machine;
      },
    };
  }
  const guest: FirmwareGuest = await (firmware === undefined
    ? openGuest(options, host)
    : openFirmwareGuest(firmware, options, host));
  const translations = options.engine === 'kvm' ? undefined : await translationsFile(options.translations, guest);
  return {
    title: `${guest.title}, ${options.memory / 2 ** 20} MiB of memory`,
    make: async ({ Machine }, size) => {
      const machine = machineOptions(options, guest, size, host.environment);
      return new Machine(translations === undefined ? machine : { ...machine, translations });
    },
  };
}

function loadOptions(options: RunOptions): LoadOptions {
  const isGiven = (name: string): boolean => options.given?.(name) ?? false;
  return {
    ...(isGiven('memory') ? { memoryBytes: options.memory } : {}),
    ...(isGiven('cpus') ? { cpus: options.cpus } : {}),
    ...(options.debugcon === undefined ? {} : { debugcon: options.debugcon.port }),
    ...(options.debugExit === undefined ? {} : { debugExit: options.debugExit }),
    ...runOptions(options),
  };
}

/** What does not belong to the guest's hardware. */
function runOptions(
  options: RunOptions,
): Pick<MachineOptions, 'engine' | 'irqchip' | 'noReboot' | 'timeoutMs' | 'stats'> {
  return {
    engine: options.engine,
    ...(options.irqchip === undefined ? {} : { irqchip: options.irqchip }),
    noReboot: !options.reboot,
    ...(options.timeout === undefined || options.save !== undefined ? {} : { timeoutMs: options.timeout }),
    stats: options.stats !== undefined,
  };
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
    ...(options.debugcon === undefined ? {} : { debugcon: options.debugcon.port }),
    debugExit: options.debugExit === true,
    ...runOptions(options),
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

async function report(result: MachineResult, options: RunOptions, host: CommandHost, saved: boolean): Promise<void> {
  if (result.reason === 'triple-fault' && !options.reboot) {
    host.errors.write(`trapeze: the guest ended with a triple fault${await dumpOf(result)}\n`);
  } else if (result.reason === 'reset') {
    host.errors.write('trapeze: the guest asked for a reset\n');
  } else if (result.reason === 'timeout') {
    host.errors.write(`trapeze: the guest was still running after ${(options.timeout ?? 0) / 1000} seconds\n`);
  }
  if (options.stats === true) host.errors.write(`${formatStatistics(result.statistics)}\n`);
  if (typeof options.stats === 'string') writeStatistics(options.stats, result);
  if (options.json === true)
    host.output.write(
      `${JSON.stringify({
        ...resultToJson(result, options.stats !== undefined),
        ...(saved ? { saved: options.save } : {}),
      })}\n`,
    );
}

async function dumpOf({ cpu, code }: MachineResult): Promise<string> {
  if (cpu === undefined) return '';
  const [{ registerDump }, { codeListing }] = await Promise.all([import('./register-dump.js'), import('./listing.js')]);
  return `\n${registerDump(cpu, code && codeListing(code, cpu.rip))}`;
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
