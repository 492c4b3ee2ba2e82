/** Modules of interpreter handlers, which put them into the table they import. */
import { ModuleBuilder } from '../../wasm/module.js';
import type { Insn } from '../../x86/insn.js';
import type { HandlerTypes } from './handler-flow.js';
import { liftForm } from './handler-forms.js';
import { type HandlerBody, handlerFunction } from './handler-loop.js';
import { declareMemory, importedFunctions } from './imports.js';
import type { RuntimeFunctions } from './lower.js';
import { FIRST_REGION } from './record.js';
import { HANDLER_SIGNATURE } from './signatures.js';

/** Room for regions grows: every module that imports the table costs as much time and memory as the table is long. */
export const INITIAL_TABLE_SIZE = FIRST_REGION + 1024;

/** A form's handler, made for what is known of the flags before it (UNKNOWN, but for conditional jumps). */
export interface FormHandler {
  readonly index: number;
  readonly insn: Insn;
  readonly key: number;
  readonly known: number;
}

export function bodyOf({ insn, key, known }: FormHandler): HandlerBody {
  return { key, lower: (l) => l.instruction(liftForm(insn, key), known) };
}

export interface HandlerModule {
  readonly module: ModuleBuilder;
  readonly functions: RuntimeFunctions;
  readonly types: HandlerTypes;
}

/** A module that puts what `write` makes into the table it imports. */
export function tableModule(write: (m: HandlerModule) => void): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const types: HandlerTypes = { handler: module.type(HANDLER_SIGNATURE) };
  declareMemory(module);
  module.importTable('env', 'table', INITIAL_TABLE_SIZE);
  write({ module, functions: importedFunctions(module), types });
  return module.finish();
}

/** Functions of handlers; their numbers. */
export function addHandlers({ module, functions, types }: HandlerModule, bodies: readonly HandlerBody[]): number[] {
  // Every import comes before the first function.
  return bodies.map((body) => handlerFunction(functions, types, body)).map((f) => module.addFunction(f));
}

/** The module of handlers numbered in sequence. */
export function handlersCode(handlers: readonly FormHandler[]): Uint8Array<ArrayBuffer> {
  const first = (handlers[0] as FormHandler).index;
  return tableModule((m) => m.module.elementsAt(first, addHandlers(m, handlers.map(bodyOf))));
}
