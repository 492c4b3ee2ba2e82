/** What generated modules import: the VM's memory and the runtime's exports. */
import type { Emitter } from '../../wasm/emitter.js';
import type { ModuleBuilder } from '../../wasm/module.js';
import * as S from '../../x86/state.js';
import { bridged, bridges, isForJavaScript, pushUnused } from './bridges.js';
import type { RuntimeFunctions } from './lower.js';
import { signatureOf } from './signatures.js';

/**
 * Every VM's memory has so many pages of 64 KiB and may grow to so many. What V8 knows to be there (the vCPU state) it accesses
 * without a place to trap at.
 */
const LEAST_PAGES = S.RAM / 65536;
const MAXIMUM_PAGES = 65536;

export function declareMemory(module: ModuleBuilder): void {
  module.importSharedMemory('env', 'memory', LEAST_PAGES, MAXIMUM_PAGES);
}

export interface ImportedFunctions extends RuntimeFunctions {
  /** Index in the module. */
  indexOf(name: string): number;
}

interface ImportedFunction {
  readonly index: number;
  readonly isBridged: boolean;
}

/** The runtime's functions as a module calls them, imported where they are first called. */
export function importedFunctions(module: ModuleBuilder): ImportedFunctions {
  const known = new Map<string, ImportedFunction>();
  const add = (name: string): ImportedFunction => {
    const signature = signatureOf(name);
    const index = module.importFunction('rt', name, bridged(signature));
    const added = { index, isBridged: isForJavaScript(signature) };
    known.set(name, added);
    return added;
  };
  const find = (name: string): ImportedFunction => known.get(name) ?? add(name);
  const prepare = (e: Emitter, name: string): number => {
    const { index, isBridged } = find(name);
    if (isBridged) pushUnused(e);
    return index;
  };
  return {
    call: (e, name) => e.callImport(name, prepare(e, name)),
    returnCall: (e, name) => e.returnCallImport(name, prepare(e, name)),
    indexOf: (name) => find(name).index,
  };
}

export class RuntimeImports {
  readonly memory: WebAssembly.Memory;
  private readonly runtime: Record<string, unknown>;

  constructor(memory: WebAssembly.Memory, runtime: WebAssembly.Exports) {
    this.memory = memory;
    this.runtime = { ...runtime, ...bridges(runtime) };
  }

  /** Adds a function that generated code may import. */
  provide(name: string, f: unknown): void {
    this.runtime[name] = f;
  }

  /** Exports of a module; `table` where it imports one. */
  instantiate(module: WebAssembly.Module, table?: WebAssembly.Table): WebAssembly.Exports {
    const env: WebAssembly.ModuleImports = { memory: this.memory };
    if (table !== undefined) env['table'] = table;
    return new WebAssembly.Instance(module, { env, rt: this.runtime as WebAssembly.ModuleImports }).exports;
  }
}
