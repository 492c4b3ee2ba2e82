/** What the command needs of the composition root, so that its parts can be tried with stand-ins. */
import type { EnginesReport } from '../machine/engines-report.js';
import type { MachineConstructor, MachineOptions } from '../machine/machine.js';

/** The stages of one region's translation, each as text. */
export interface TranslationReport {
  /** Guest instructions, one a line with address and bytes. */
  readonly assembly: string;
  /** Intermediate representation after all passes. */
  readonly ir: string;
  /** WebAssembly text format. */
  readonly wasm: string;
}

export interface Product {
  readonly Machine: MachineConstructor;
  /** Starts what every machine needs, while its guest is read. */
  prepare(): void;
  /** Loads the guest as for a run and translates the code at a linear address under the initial paging. */
  inspectTranslation(options: MachineOptions, address: bigint): Promise<TranslationReport>;
  inspectEngines(): EnginesReport;
}

export interface CommandHost {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  readonly errors: NodeJS.WriteStream;
  readonly environment: NodeJS.ProcessEnv;
  /** Loaded only by the commands that run a guest: help and errors come at once. */
  product(): Promise<Product>;
}
