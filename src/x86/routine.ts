/** What is said of a routine of the runtime (runtime/, AssemblyScript) where definitions call it. */
import type { Type } from '../ir/value.js';

export interface Routine {
  readonly params: readonly Type[];
  /** Type of the value of a `call`; absent where there is none. */
  readonly result?: Type;
  /** A `routine`: returns STATUS_* (i32) and works on the vCPU state in memory. */
  readonly status: boolean;
  /** A function of its parameters that changes nothing: left out where nobody wants its value. */
  readonly pure: boolean;
  /** Sees and changes MXCSR and the x87 state alone: compiled code keeps registers, flags and RIP in locals over it. */
  readonly confined?: true;
}

/** Works on the state in memory, returns STATUS_*. */
export const acts = (...params: Type[]): Routine => ({ params, status: true, pure: false });

/** A function of its parameters. */
export const computes = (result: Type, ...params: Type[]): Routine => ({ params, result, status: false, pure: true });
