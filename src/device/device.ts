/** The device contract: reset, save and restore. What a device offers to the buses is in base/io.ts. */
import type { SavedState } from '../base/state.js';

export interface Device<State extends SavedState = SavedState> {
  /** Power-on state; drives its interrupt lines low. */
  reset(): void;
  save(): State;
  /** Throws StateError for a state that is not its own; drives its interrupt lines as they were. */
  restore(state: State): void;
}

/** Requests that devices make of the whole machine. */
export interface MachineEvents {
  powerOff(): void;
  /** The reset line: keyboard controller, port 0x92, port 0xcf9, or the ACPI reset register. */
  reset(): void;
  /** The debug-exit port ends the run with this process exit code. */
  debugExit(code: number): void;
}
