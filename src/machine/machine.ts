/**
 * The contract of a machine: what it is made of, what it tells while it runs, and how it ends. The class behind it is
 * picked by a composition root (node.ts, browser.ts).
 */
import type { CpuState } from '../engine/engine.js';
import type { BootModule } from './boot/boot.js';

export interface MachineOptions {
  /** Required without firmware. */
  readonly kernel?: Uint8Array;
  /** A ROM that ends at 4 GiB and starts first; it is told of the kernel. */
  readonly firmware?: Uint8Array;
  /** File name, for messages. */
  readonly firmwareName?: string;
  /** File name, for messages and for Multiboot command lines. */
  readonly kernelName?: string;
  readonly modules?: readonly BootModule[];
  /** Kernel command line. */
  readonly append?: string;
  readonly memoryBytes?: number;
  readonly cpus?: number;
  /** What runs the guest's code. Default `auto`: the faster one of those that work on this host. */
  readonly engine?: 'dbt' | 'kvm' | 'auto';
  /**
   * Whose interrupt controllers the guest has under engine kvm: the machine's own models (`machine`, the default), KVM's local
   * APIC with I/O APIC and 8259As still the machine's (`split`), or all of them and the 8254 in the kernel (`kernel`). Other
   * engines always have the models.
   */
  readonly irqchip?: 'machine' | 'split' | 'kernel';
  /**
   * The machine can change its engine while it runs: the guest is shown only the processor features that both engines have
   * on this host, and a time-stamp counter that both can give it.
   */
  readonly switchable?: boolean;
  /** I/O port whose bytes come as `debugcon` events. */
  readonly debugcon?: number;
  /** Port 0xf4 ends the run with exit code ((value << 1) | 1) & 255. */
  readonly debugExit?: boolean;
  /** A reset ends the run instead of starting the guest again. */
  readonly noReboot?: boolean;
  /** The run ends with `timeout` after this time on the host's clock. */
  readonly timeoutMs?: number;
  /** On Node: a file in which translations of engine dbt are kept from one run of the same guest to the next. */
  readonly translations?: string;
  /** Measure time per kind of exit as well as counts. */
  readonly stats?: boolean;
}

export type EndReason = 'power-off' | 'reset' | 'triple-fault' | 'debug-exit' | 'timeout' | 'closed';

/** Counters by name, grouped; values are counts unless the name ends in a unit. */
export type Statistics = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Guest code around where the processor stopped, for the register dump's disassembly. */
export interface CodeWindow {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly bits: 16 | 32 | 64;
}

export interface MachineResult {
  readonly reason: EndReason;
  /** As the command ends: 0 power-off, 4 reset or triple fault, 124 timeout, otherwise the debug-exit code. */
  readonly exitCode: number;
  readonly statistics: Statistics;
  /** The first processor's state when it stopped. */
  readonly cpu?: CpuState;
  readonly code?: CodeWindow;
}

export interface MachineEvents {
  /** Bytes the guest wrote to the first UART. */
  readonly serial: Uint8Array;
  readonly debugcon: Uint8Array;
  readonly exit: MachineResult;
}

/** What may be said when a saved state is loaded: how to run it, and what it is expected to be. */
export type LoadOptions = Pick<
  MachineOptions,
  'memoryBytes' | 'cpus' | 'debugcon' | 'debugExit' | 'engine' | 'irqchip' | 'noReboot' | 'timeoutMs' | 'stats'
>;

export interface Machine {
  on<K extends keyof MachineEvents>(event: K, listener: (value: MachineEvents[K]) => void): this;
  off<K extends keyof MachineEvents>(event: K, listener: (value: MachineEvents[K]) => void): this;
  /** Bytes into the first UART's receiver; queued without loss. */
  write(bytes: Uint8Array): void;
  /** Tells the guest the terminal's size, as a line "ROWS COLUMNS" on the second UART. */
  resize(columns: number, rows: number): void;
  /** Runs until the guest or the host ends it. Rejects with TrapezeError when the guest cannot be started. */
  run(): Promise<MachineResult>;
  /** Resolves when the guest stands still between two instructions, its time with it. */
  pause(): Promise<void>;
  /** The counters up to now. A running guest stands still meanwhile and then goes on. */
  statistics(): Promise<Statistics>;
  /** Lets a paused guest go on. */
  resume(): void;
  /**
   * The whole state of the guest as a file for `load`. A running guest stands still meanwhile and then goes on; a paused
   * one stays paused.
   */
  save(): Promise<Uint8Array>;
  /**
   * Lets the running guest go on under another engine. Rejects with EngineSwitchError where that lacks something on this
   * host; the guest then goes on as before.
   */
  switchEngine(engine: 'dbt' | 'kvm'): Promise<void>;
  /** Ends a run with reason `closed` and gives its memory back; may be called at any time and more than once. */
  close(): void;
}

export interface MachineConstructor {
  new (options: MachineOptions): Machine;
  /** A machine that goes on from a saved state when it is run. Rejects with TrapezeError for what is none. */
  load(state: Uint8Array, options?: LoadOptions): Promise<Machine>;
}
