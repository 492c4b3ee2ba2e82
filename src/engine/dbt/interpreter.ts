/**
 * The interpreter: a table of handlers made on demand, one per instruction form, all generated from the definitions.
 * New forms of a block are compiled together as one small module that shares the table.
 */
import { type FunctionBody, ModuleBuilder } from '../../wasm/module.js';
import { decode, insnOfFields } from '../../x86/decode/decoder.js';
import { formKey } from '../../x86/decode/fields.js';
import { formNumber } from '../../x86/decode/form.js';
import type { Insn } from '../../x86/insn.js';
import { NO_REGISTER, SEG } from '../../x86/insn.js';
import { endsBlock, semantics } from '../../x86/semantics/index.js';
import * as S from '../../x86/state.js';
import { COMMON_FORMS_64 } from './common-forms.js';
import { FormCache } from './form-cache.js';
import { HandlerLowering, type HandlerTypes } from './handler.js';
import { declareMemory, HANDLER_SIGNATURE, importedFunctions, type RuntimeImports } from './imports.js';

/** Table entries: handlers that are no instruction first, forms next, regions from REGIONS on. */
export const HANDLER_INVALID = 0;
export const HANDLER_HEADER = 1;
export const HANDLER_CLOSE = 2;
export const HANDLER_LOOKUP = 3;
const FIRST_FORM = 4;
export const FIRST_REGION = 4096;
/** Room for regions grows: every module that imports the table costs as much time and memory as the table is long. */
const INITIAL_TABLE_SIZE = FIRST_REGION + 1024;
export const MAX_TABLE_SIZE = 32768;
/** More instructions than a block has. */
const ROOM_FOR_A_BLOCK = 256;

/** Mode bits that change what a handler does; the rest of the key it reads at run time or not at all. */
const INTEGER_MODES = S.KEY_FLAT | S.KEY_STACK32 | S.KEY_VM86 | S.KEY_PROTECTED | S.KEY_CODE64 | S.KEY_CODE32;
const FLOATING_MODES = INTEGER_MODES | S.KEY_FPU_TRAP | S.KEY_NO_SSE | S.KEY_SSE_UNMASKED;
/** Instructions on x87, MMX or SSE state whose operands do not show it. */
const FLOATING_MNEMONIC = /^(f|cvt|emms|ldmxcsr|stmxcsr|xsave|xrstor)/;
/** By number of the form. */
const floating: (boolean | undefined)[] = [];

function isFloating(insn: Insn): boolean {
  if (FLOATING_MNEMONIC.test(insn.mnemonic)) return true;
  return insn.operands.some((op) => op.kind === 'reg' && (op.file === 'xmm' || op.file === 'mmx' || op.file === 'st'));
}

function modesOf(insn: Insn, form: number): number {
  floating[form] ??= isFloating(insn);
  return floating[form] ? FLOATING_MODES : INTEGER_MODES;
}

/** Handlers of forms that exist, by the modes that matter and the rest of the form. */
class HandlerNumbers {
  private readonly byModes: Map<number, Map<number, number>>;

  constructor(from?: HandlerNumbers) {
    this.byModes = new Map([...(from?.byModes ?? [])].map(([modes, numbers]) => [modes, new Map(numbers)]));
  }
  find(modes: number, detail: number): number | undefined {
    return this.byModes.get(modes)?.get(detail);
  }
  add(modes: number, detail: number, index: number): void {
    const numbers = this.byModes.get(modes);
    if (numbers === undefined) this.byModes.set(modes, new Map([[detail, index]]));
    else numbers.set(detail, index);
  }
  clear(): void {
    this.byModes.clear();
  }
}

interface PendingForm {
  readonly index: number;
  readonly insn: Insn;
  readonly key: number;
}

export class Interpreter {
  readonly table: WebAssembly.Table;
  /** Tail-calls the handler of a record: the way from one region to another. */
  readonly enter: (record: number) => number;
  /** Runs from a record until something must be done; returns STATUS_*. Exceptions are delivered on the way. */
  readonly run: (record: number) => number;
  /** Mnemonics met that have no definition: they raise #UD. */
  readonly undefinedMnemonics = new Set<string>();
  modules = 0;
  private readonly imports: RuntimeImports;
  private readonly forms: HandlerNumbers;
  private readonly known = new FormCache();
  /** By handler: 1 where its instructions are the last of their block. */
  private readonly last = new Uint8Array(FIRST_REGION);
  private pending: PendingForm[] = [];
  private nextForm: number;

  constructor(imports: RuntimeImports) {
    this.imports = imports;
    this.table = new WebAssembly.Table({ element: 'anyfunc', initial: INITIAL_TABLE_SIZE });
    const key = S.KEY_CODE64;
    const specials: readonly HandlerBody[] = [
      { key, lower: (l) => l.invalid() },
      { key, lower: (l) => l.header() },
      { key, lower: (l) => l.close() },
      { key, lower: (l) => l.finder() },
      { key, lower: (l) => l.enter() },
      { key, lower: (l) => l.run() },
    ];
    const bytes = tableModule(specials, HANDLER_INVALID, ['enter', 'run']);
    const exports = imports.instantiate(new WebAssembly.Module(bytes), this.table);
    this.enter = exports['enter'] as (record: number) => number;
    this.run = exports['run'] as (record: number) => number;
    const { module, forms, count } = commonHandlers();
    imports.instantiate(module, this.table);
    this.forms = new HandlerNumbers(forms);
    this.nextForm = FIRST_FORM + count;
    this.modules = 2;
  }

  get formCount(): number {
    return this.nextForm - FIRST_FORM;
  }

  /** A block might not find room for its forms. Guests get here only on purpose. */
  get isFull(): boolean {
    return this.nextForm > FIRST_REGION - ROOM_FOR_A_BLOCK;
  }

  /** Forgets all forms. Nothing may refer to their handlers any more. */
  forget(): void {
    this.forms.clear();
    this.known.clear();
    this.pending = [];
    this.nextForm = FIRST_FORM;
  }

  /** The same as `handler` for the instruction of so many bytes whose fields were read last. */
  handlerOfFields(key: number, length: number): number {
    const form = formKey();
    // The modes of all forms: more than most depend on.
    const modes = key & FLOATING_MODES;
    const known = this.known.find(form, modes);
    if (known !== 0) return known;
    const insn = insnOfFields(length);
    const index = this.handler(insn, key);
    this.last[index] = endsBlock(insn) || branches(insn) ? 1 : 0;
    this.known.add(form, modes, index);
    return index;
  }
  /** Whether the instructions of a handler are the last of their block. */
  endsBlock(handler: number): boolean {
    return this.last[handler] === 1;
  }

  /** Table index of the handler of an instruction; it exists after the next `flush`. */
  handler(insn: Insn, key: number): number {
    const form = formNumber(insn);
    const modes = key & modesOf(insn, form);
    const detail = detailOf(insn, form, modes);
    let index = this.forms.find(modes, detail);
    if (index === undefined) {
      index = this.nextForm++;
      if (index >= FIRST_REGION) throw new Error('more instruction forms than the handler table holds');
      this.forms.add(modes, detail, index);
      this.pending.push({ index, insn, key: modes });
      if (semantics[insn.mnemonic] === undefined) this.undefinedMnemonics.add(insn.mnemonic);
    }
    return index;
  }

  /** Compiles the forms asked for since the last call. */
  flush(): void {
    if (this.pending.length === 0) return;
    const bytes = moduleOf(this.pending);
    this.pending = [];
    this.modules++;
    this.imports.instantiate(new WebAssembly.Module(bytes), this.table);
  }
}

/** Conditional branches end an interpreted block although control may fall through. */
function branches(insn: Insn): boolean {
  return insn.operands[0]?.kind === 'rel';
}

/** What distinguishes handlers: the form, and four bits for each memory operand (at most two): an index, the segment. */
function detailOf(insn: Insn, form: number, modes: number): number {
  let detail = 0;
  for (const op of insn.operands) {
    if (op.kind !== 'mem') continue;
    // The handler names the segment; in 64-bit code ES CS SS DS are alike.
    const seg = op.seg >= SEG.fs || (modes & S.KEY_CODE64) === 0 ? op.seg + 1 : 0;
    detail = (detail << 4) | (op.index !== NO_REGISTER ? 8 : 0) | seg;
  }
  return (form << 8) | detail;
}

/** The module that puts the handlers of forms, numbered in sequence, into the table it imports. */
function moduleOf(forms: readonly PendingForm[]): Uint8Array<ArrayBuffer> {
  const bodies = forms.map(({ insn, key }): HandlerBody => {
    const definition = semantics[insn.mnemonic] ?? semantics['ud'];
    if (definition === undefined) throw new Error('no definition of ud');
    return { key, lower: (l) => l.instruction(insn, definition) };
  });
  return tableModule(bodies, (forms[0] as PendingForm).index);
}

interface HandlerBody {
  readonly key: number;
  readonly lower: (l: HandlerLowering) => FunctionBody;
}

/** The bodies go into the table from `first` on; the last ones are exported by name instead. */
function tableModule(
  bodies: readonly HandlerBody[],
  first: number,
  exported: readonly string[] = [],
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const types: HandlerTypes = { handler: module.type(HANDLER_SIGNATURE) };
  declareMemory(module);
  module.importTable('env', 'table', INITIAL_TABLE_SIZE);
  const functions = importedFunctions(module);
  const lowered = bodies.map(({ key, lower }) => lower(new HandlerLowering(functions, types, key)));
  const indexes = lowered.map((f) => module.addFunction(f));
  const inTable = indexes.length - exported.length;
  module.elementsAt(first, indexes.slice(0, inTable));
  for (const [n, name] of exported.entries()) module.export(name, indexes[inTable + n] as number);
  return module.finish();
}

// ---- what every interpreter begins with ----

interface CommonForms {
  readonly forms: HandlerNumbers;
  readonly pending: readonly PendingForm[];
}

/** The forms that 64-bit code mostly uses. */
function commonForms(): CommonForms {
  const key = S.KEY_CODE64 | S.KEY_FLAT | S.KEY_PROTECTED | S.KEY_LONG;
  const forms = new HandlerNumbers();
  const pending: PendingForm[] = [];
  for (const text of COMMON_FORMS_64.split(' ')) {
    const bytes = Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
    const insn = decode(bytes, 0, bytes.length, 64);
    if (insn === 'truncated') continue;
    const form = formNumber(insn);
    const modes = key & modesOf(insn, form);
    const detail = detailOf(insn, form, modes);
    if (forms.find(modes, detail) !== undefined) continue;
    const index = FIRST_FORM + pending.length;
    forms.add(modes, detail, index);
    pending.push({ index, insn, key: modes });
  }
  return { forms, pending };
}

/** The module of their handlers, which is always the same: hosts may compile it ahead. */
export function commonHandlersCode(): Uint8Array<ArrayBuffer> {
  return moduleOf(commonForms().pending);
}

interface CommonHandlers {
  readonly module: WebAssembly.Module;
  readonly forms: HandlerNumbers;
  readonly count: number;
}
let common: CommonHandlers | undefined;

/** Handlers of common forms, made once in a thread: at the first call, or of `compiled`, which is their code. */
export function commonHandlers(compiled?: WebAssembly.Module): CommonHandlers {
  if (common !== undefined) return common;
  const { forms, pending } = commonForms();
  const module = compiled ?? new WebAssembly.Module(moduleOf(pending));
  common = { module, forms, count: pending.length };
  return common;
}
