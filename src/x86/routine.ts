/** What is said of a routine of the runtime (runtime/, AssemblyScript) where definitions call it. */
import type { Type } from '../ir/value.js';

export interface Routine {
  readonly params: readonly Type[];
  /** Type of the value of a `call`; absent where there is none. */
  readonly result?: Type;
  /** A `routine`: returns STATUS_* (i32) and works on the vCPU state in memory. */
  readonly status: boolean;
  /** Neither reads nor writes registers, flags, RIP or memory of the guest: compiled code may keep them in locals. */
  readonly pure: boolean;
}

/** Works on the state in memory, returns STATUS_*. */
export const acts = (...params: Type[]): Routine => ({ params, status: true, pure: false });

/** A function of its parameters. */
export const computes = (result: Type, ...params: Type[]): Routine => ({ params, result, status: false, pure: true });
