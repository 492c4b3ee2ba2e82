/** Messages between the control thread and a machine's vCPU thread. */
import type { ErrorCode } from '../base/errors.js';
import type { MachineOptions, MachineResult, Statistics } from './machine.js';
import type { MachineState } from './saved-state.js';

export interface StartMessage {
  readonly options: MachineOptions;
  readonly control: SharedArrayBuffer;
  readonly runtime: WebAssembly.Module;
  /** Host wall clock, milliseconds since 1970 UTC. */
  readonly wallClockMs: number;
  /** A saved state to go on from. */
  readonly state?: Uint8Array;
  /** Guest linear address to translate and report instead of running. */
  readonly inspect?: bigint;
}

/** What `inspect translation` shows. */
export interface TranslationReport {
  readonly assembly: string;
  readonly ir: string;
  /** The region's WebAssembly module; its text is made on the control thread. */
  readonly module: Uint8Array;
}

export type WorkerMessage =
  | { readonly kind: 'serial'; readonly bytes: Uint8Array }
  | { readonly kind: 'debugcon'; readonly bytes: Uint8Array }
  /** The guest stands still for the request of this number. */
  | { readonly kind: 'held'; readonly number: number; readonly statistics: Statistics }
  /** Of a guest that stands still. `ram` is the guest's own memory, shared. */
  | { readonly kind: 'state'; readonly state: MachineState; readonly ram: Uint8Array }
  /** The engine has been changed, or why it cannot be: the target and what it lacks. */
  | { readonly kind: 'engine'; readonly engine: 'dbt' | 'kvm'; readonly missing: readonly string[] }
  | { readonly kind: 'exit'; readonly result: MachineResult }
  | { readonly kind: 'translation'; readonly report: TranslationReport }
  | {
      readonly kind: 'error';
      readonly code: ErrorCode;
      readonly message: string;
      readonly exitCode: number;
      readonly stack: string;
    };
