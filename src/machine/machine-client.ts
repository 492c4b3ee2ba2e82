/** A machine as the control thread sees it: a vCPU thread behind messages and the shared control block. */
import { EngineSwitchError, EXIT_CODE, StateError, TrapezeError, UsageError } from '../base/errors.js';
import { ControlBlock } from './control-block.js';
import type { LoadOptions, Machine, MachineEvents, MachineOptions, MachineResult, Statistics } from './machine.js';
import { MAX_RAM_SIZE, MIN_RAM_SIZE } from './memory-layout.js';
import type { StartMessage, TranslationReport, WorkerMessage } from './protocol.js';
import { checkFits, joined, openState, readFiles, writeState } from './saved-state.js';

/** A thread that runs machine-worker code. */
export interface VcpuThread {
  post(message: StartMessage): void;
  onMessage(listener: (message: WorkerMessage) => void): void;
  onFailure(listener: (error: Error) => void): void;
  terminate(): void;
}

export interface ThreadHost {
  spawn(): VcpuThread;
  runtime(): Promise<WebAssembly.Module>;
  /** What `auto` means here; absent: the translating engine, the only one. */
  chooseEngine?(): 'dbt' | 'kvm';
}

type Listener<K extends keyof MachineEvents> = (value: MachineEvents[K]) => void;

/** How long a run may take to end after `close` before its thread is terminated. */
const CLOSE_GRACE_MS = 2000;
/** Input that the ring has no room for is offered again after this time. */
const RETRY_MS = 5;
const PAGE = 4096;

type StateMessage = WorkerMessage & { kind: 'state' };
type EngineMessage = WorkerMessage & { kind: 'engine' };

/** Something the vCPU thread will tell, unless the run ends before. */
interface Waiter<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

export class MachineClient implements Machine {
  private readonly options: MachineOptions;
  private readonly host: ThreadHost;
  private readonly control = new ControlBlock();
  private readonly listeners: { [K in keyof MachineEvents]: Set<Listener<K>> } = {
    serial: new Set(),
    debugcon: new Set(),
    exit: new Set(),
  };
  private readonly queues: Uint8Array[][] = [[], []];
  private retry: ReturnType<typeof setTimeout> | undefined;
  private thread: VcpuThread | undefined;
  /** Hands the running conversation a message as if the thread had sent it. */
  private abandon: ((message: WorkerMessage) => void) | undefined;
  private running: Promise<MachineResult> | undefined;
  private ended = false;
  private closed = false;
  private timedOut = false;
  /** A saved state to go on from. */
  private initial: Uint8Array | undefined;
  private paused = false;
  private saving = 0;
  private holds = 0;
  /** Who waits for the guest to stand still, by number of the request. */
  private readonly heldWaiters = new Map<number, Waiter<Statistics>>();
  private stateWaiter: Waiter<StateMessage> | undefined;
  private engineWaiter: Waiter<EngineMessage> | undefined;
  /** The save or change of engine before the next one. */
  private lastSave: Promise<unknown> = Promise.resolve();

  constructor(options: MachineOptions, host: ThreadHost) {
    this.options = checked(options);
    this.host = host;
  }

  /** A machine that goes on from a saved state when it is run. Rejects with TrapezeError for what is none. */
  static async load<T extends MachineClient>(
    this: new (
      options: MachineOptions,
    ) => T,
    state: Uint8Array,
    options: LoadOptions = {},
  ): Promise<T> {
    const machine = new this(await savedOptions(state, options));
    machine.initial = state;
    return machine;
  }

  on<K extends keyof MachineEvents>(event: K, listener: Listener<K>): this {
    this.listeners[event].add(listener);
    return this;
  }
  off<K extends keyof MachineEvents>(event: K, listener: Listener<K>): this {
    this.listeners[event].delete(listener);
    return this;
  }
  private emit<K extends keyof MachineEvents>(event: K, value: MachineEvents[K]): void {
    for (const listener of this.listeners[event]) listener(value);
  }

  write(bytes: Uint8Array): void {
    this.send(0, bytes);
  }
  resize(columns: number, rows: number): void {
    this.send(1, new TextEncoder().encode(`${rows} ${columns}\n`));
  }
  private send(ring: number, bytes: Uint8Array): void {
    if (this.ended) return;
    (this.queues[ring] as Uint8Array[]).push(bytes.slice());
    this.drain();
  }
  private drain(): void {
    this.retry = undefined;
    for (const [ring, queue] of this.queues.entries()) {
      while (queue.length > 0) {
        const first = queue[0] as Uint8Array;
        const sent = this.control.send(ring, first);
        if (sent < first.length) {
          queue[0] = first.subarray(sent);
          this.retry ??= setTimeout(() => this.drain(), RETRY_MS);
          break;
        }
        queue.shift();
      }
    }
  }

  run(): Promise<MachineResult> {
    this.running ??= this.start().finally(() => {
      this.ended = true;
      this.giveUp();
    });
    return this.running;
  }

  private async start(): Promise<MachineResult> {
    const message = await this.converse({}, 'exit');
    const result: MachineResult = this.timedOut
      ? { ...message.result, reason: 'timeout', exitCode: EXIT_CODE.TIMEOUT }
      : message.result;
    this.emit('exit', result);
    return result;
  }

  // ---- standing still ----

  async pause(): Promise<void> {
    this.paused = true;
    await this.hold();
  }

  resume(): void {
    this.paused = false;
    this.release();
  }

  statistics(): Promise<Statistics> {
    return this.inTurn(async () => {
      this.saving++;
      try {
        return await this.hold();
      } finally {
        this.saving--;
        this.release();
      }
    });
  }

  save(): Promise<Uint8Array> {
    return this.inTurn(() => this.saveNow());
  }

  switchEngine(engine: 'dbt' | 'kvm'): Promise<void> {
    return this.inTurn(() => this.switchNow(engine));
  }

  /** One after the other: the guest stands still for each. */
  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.lastSave.then(act);
    this.lastSave = done.catch(() => {});
    return done;
  }

  private async switchNow(engine: 'dbt' | 'kvm'): Promise<void> {
    this.saving++;
    try {
      await this.hold();
      const { missing } = await new Promise<EngineMessage>((resolve, reject) => {
        this.engineWaiter = { resolve, reject };
        this.control.askForEngine(engine);
      });
      if (missing.length > 0) throw new EngineSwitchError(engine, missing);
    } finally {
      this.saving--;
      this.release();
    }
  }

  private async saveNow(): Promise<Uint8Array> {
    this.saving++;
    try {
      await this.hold();
      const { state, ram } = await new Promise<StateMessage>((resolve, reject) => {
        this.stateWaiter = { resolve, reject };
        this.control.askForState();
      });
      const pieces: Uint8Array[] = [];
      for await (const piece of writeState(state, ram, this.options, Date.now())) pieces.push(piece);
      return joined(pieces);
    } finally {
      this.saving--;
      this.release();
    }
  }

  private hold(): Promise<Statistics> {
    if (this.running === undefined || this.ended) {
      return Promise.reject(new UsageError('the machine is not running; pause and save it between run and its end'));
    }
    const number = ++this.holds;
    return new Promise((resolve, reject) => {
      this.heldWaiters.set(number, { resolve, reject });
      this.control.hold(number);
    });
  }

  private release(): void {
    if (!this.paused && this.saving === 0) this.control.hold(0);
  }

  private standing(number: number, statistics: Statistics): void {
    for (const [waiting, { resolve }] of this.heldWaiters) {
      if (waiting > number) continue;
      this.heldWaiters.delete(waiting);
      resolve(statistics);
    }
  }

  /** Nobody will answer any more. */
  private giveUp(): void {
    const error = new StateError('the guest ended before it could be paused or saved');
    for (const { reject } of this.heldWaiters.values()) reject(error);
    this.heldWaiters.clear();
    this.stateWaiter?.reject(error);
    this.engineWaiter?.reject(error);
  }

  /** Translates the code at a linear address of the loaded guest instead of running it. */
  async inspect(address: bigint): Promise<TranslationReport> {
    return (await this.converse({ inspect: address }, 'translation')).report;
  }

  private async converse<K extends WorkerMessage['kind']>(
    extra: { inspect?: bigint },
    last: K,
  ): Promise<WorkerMessage & { kind: K }> {
    const runtime = await this.host.runtime();
    const thread = this.host.spawn();
    this.thread = thread;
    const { timeoutMs } = this.options;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            this.timedOut = true;
            this.stop();
          }, timeoutMs);
    try {
      return await new Promise((resolve, reject) => {
        thread.onFailure((error) =>
          reject(new TrapezeError('internal', error.message, EXIT_CODE.INTERNAL, { cause: error })),
        );
        const receive = (message: WorkerMessage): void => {
          if (message.kind === last) resolve(message as WorkerMessage & { kind: K });
          else if (message.kind === 'serial') this.emit('serial', message.bytes);
          else if (message.kind === 'debugcon') this.emit('debugcon', message.bytes);
          else if (message.kind === 'held') this.standing(message.number, message.statistics);
          else if (message.kind === 'state') this.stateWaiter?.resolve(message);
          else if (message.kind === 'engine') this.engineWaiter?.resolve(message);
          else if (message.kind === 'error') reject(revive(message));
        };
        this.abandon = receive;
        thread.onMessage(receive);
        thread.post({
          options: { ...this.options, engine: this.engine() },
          control: this.control.buffer,
          runtime,
          wallClockMs: Date.now(),
          ...(this.initial === undefined ? {} : { state: this.initial }),
          ...extra,
        });
      });
    } finally {
      this.ended = true;
      clearTimeout(timer);
      clearTimeout(this.retry);
      thread.terminate();
    }
  }

  private engine(): 'dbt' | 'kvm' {
    const { engine = 'auto' } = this.options;
    return engine === 'auto' ? (this.host.chooseEngine?.() ?? 'dbt') : engine;
  }

  private stop(): void {
    this.control.stop();
    if (this.thread === undefined || this.ended) return;
    // A thread that does not answer is taken away from under the guest: the run ends all the same.
    const grace = setTimeout(() => {
      this.abandon?.({ kind: 'exit', result: { reason: 'closed', exitCode: EXIT_CODE.POWER_OFF, statistics: {} } });
    }, CLOSE_GRACE_MS);
    if (typeof grace === 'object') grace.unref();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.stop();
  }
}

/** The options of the saved machine. Throws StateError for what is no saved state, or not of the machine asked for. */
async function savedOptions(state: Uint8Array, wanted: LoadOptions): Promise<MachineOptions> {
  const opened = openState(state);
  checkFits(opened.head, wanted);
  const { engine, irqchip, noReboot, timeoutMs, stats } = wanted;
  return {
    ...(await readFiles(opened)),
    ...(engine === undefined ? {} : { engine }),
    ...(irqchip === undefined ? {} : { irqchip }),
    ...(noReboot === undefined ? {} : { noReboot }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(stats === undefined ? {} : { stats }),
  };
}

function revive({ code, message, exitCode, stack }: WorkerMessage & { kind: 'error' }): TrapezeError {
  const error = new TrapezeError(code, message, exitCode);
  if (code === 'internal') error.stack = stack;
  return error;
}

function checked(options: MachineOptions): MachineOptions {
  if (options.kernel === undefined && options.firmware === undefined) {
    throw new UsageError('a machine needs something to start; give a kernel or a firmware');
  }
  const { memoryBytes, cpus, engine, irqchip } = options;
  if (cpus !== undefined && cpus !== 1) {
    throw new UsageError(`${cpus} processors were asked for, but a machine has exactly one so far; leave cpus at 1`);
  }
  if (engine !== undefined && engine !== 'dbt' && engine !== 'kvm' && engine !== 'auto') {
    throw new UsageError(`there is no engine "${String(engine)}"; use dbt, kvm or auto`);
  }
  if (irqchip !== undefined && !['machine', 'split', 'kernel'].includes(irqchip)) {
    throw new UsageError(`there is no irqchip "${String(irqchip)}"; use machine, split or kernel`);
  }
  if (
    memoryBytes !== undefined &&
    (!Number.isInteger(memoryBytes / PAGE) || memoryBytes < MIN_RAM_SIZE || memoryBytes > MAX_RAM_SIZE)
  ) {
    throw new UsageError(
      `${memoryBytes} bytes of memory cannot be had; choose a multiple of 4096 from ${MIN_RAM_SIZE} to ${MAX_RAM_SIZE}`,
    );
  }
  return options;
}
