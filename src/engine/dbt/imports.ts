/** What generated modules import: the VM's memory and the runtime's exports. */
import type { ModuleBuilder, Signature } from '../../wasm/module.js';
import { ROUTINES } from '../../x86/routines.js';
import * as S from '../../x86/state.js';
import type { FunctionIndex } from './lower.js';

export const HANDLER_SIGNATURE: Signature = { params: ['i32'], results: ['i32'] };

/** Runtime functions that compiled code calls by itself, not through a definition. */
const INTERNAL: Record<string, Signature> = {
  loadSlow: { params: ['i64', 'i32'], results: ['i64'] },
  loadModifySlow: { params: ['i64', 'i32'], results: ['i64'] },
  storeSlow: { params: ['i64', 'i64', 'i32'], results: [] },
  load128Slow: { params: ['i64'], results: ['v128'] },
  loadModify128Slow: { params: ['i64'], results: ['v128'] },
  store128Slow: { params: ['i64', 'v128'], results: [] },
  loadHost: { params: ['i64', 'i64'], results: ['i32'] },
  storeHost: { params: ['i64', 'i64', 'i64'], results: ['i32'] },
  storeHost128: { params: ['i64', 'v128', 'i64'], results: ['i32'] },
  condition: { params: ['i32'], results: ['i32'] },
  evaluateFlags: { params: ['i32', 'i64', 'i64', 'i64'], results: ['i32'] },
  evaluateCondition: { params: ['i32', 'i32', 'i64', 'i64', 'i64'], results: ['i32'] },
  computeFlags: { params: [], results: ['i32'] },
  raise: { params: ['i32'], results: ['i32'] },
  raiseError: { params: ['i32', 'i32'], results: ['i32'] },
  lookup: { params: ['i32'], results: ['i32'] },
  lookupChecked: { params: [], results: ['i32'] },
  deliverFault: { params: [], results: ['i32'] },
  enter: HANDLER_SIGNATURE,
  followLink: { params: ['i32', 'i32', 'i32'], results: ['i32'] },
  followRip: { params: ['i64', 'i32'], results: ['i32'] },
  followFar: { params: ['i64', 'i32', 'i32'], results: ['i32'] },
  followFarUser: { params: ['i64', 'i32', 'i32'], results: ['i32'] },
  followIndirect: { params: ['i64', 'i32', 'i32'], results: ['i32'] },
  followIndirectUser: { params: ['i64', 'i32', 'i32'], results: ['i32'] },
  followReturn: { params: ['i64', 'i32'], results: ['i32'] },
  followReturnUser: { params: ['i64', 'i32'], results: ['i32'] },
  followSite: { params: ['i32'], results: ['i32'] },
};

export function signatureOf(name: string): Signature {
  const internal = INTERNAL[name];
  if (internal !== undefined) return internal;
  const routine = ROUTINES[name];
  if (routine === undefined) throw new Error(`runtime function ${name} has no signature`);
  const results = routine.status ? (['i32'] as const) : routine.result === undefined ? [] : [routine.result];
  return { params: routine.params, results };
}

/**
 * Every VM's memory has so many pages of 64 KiB and may grow to so many. What V8 knows to be there (the vCPU state) it accesses
 * without a place to trap at.
 */
const LEAST_PAGES = S.RAM / 65536;
const MAXIMUM_PAGES = 65536;

export function declareMemory(module: ModuleBuilder): void {
  module.importSharedMemory('env', 'memory', LEAST_PAGES, MAXIMUM_PAGES);
}

/** Numbers of runtime functions in a module, imported where they are first asked for. */
export function importedFunctions(module: ModuleBuilder): FunctionIndex {
  const known = new Map<string, number>();
  return (name) => {
    let index = known.get(name);
    if (index === undefined) {
      index = module.importFunction('rt', name, signatureOf(name));
      known.set(name, index);
    }
    return index;
  };
}

export class RuntimeImports {
  readonly memory: WebAssembly.Memory;
  private readonly runtime: Record<string, unknown>;

  constructor(memory: WebAssembly.Memory, runtime: WebAssembly.Exports) {
    this.memory = memory;
    this.runtime = { ...runtime };
  }

  /** Adds a function that generated code may import (the interpreter's way in). */
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
