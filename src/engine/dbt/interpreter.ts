/**
 * The interpreter: a table of handlers made on demand, one per instruction form, all generated from the definitions.
 * New forms of a block are compiled together as one small module that shares the table.
 */
import { ModuleBuilder } from '../../wasm/module.js';
import { decode, insnOfFields } from '../../x86/decode/decoder.js';
import { formKey } from '../../x86/decode/fields.js';
import { formNumber } from '../../x86/decode/form.js';
import type { Insn } from '../../x86/insn.js';
import { endsBlock, semantics } from '../../x86/semantics/index.js';
import * as S from '../../x86/state.js';
import { COMMON_FORMS_64, HOT_FORMS_64 } from './common-forms.js';
import { effectOn, type FlagEffect, UNKNOWN, usefulFor } from './flag-knowledge.js';
import { FormCache } from './form-cache.js';
import type { HandlerTypes } from './handler-flow.js';
import { detailOf, FLOATING_MODES, liftForm, modesOf } from './handler-forms.js';
import { type HandlerBody, handlerFunction, handlerLoop } from './handler-loop.js';
import { declareMemory, importedFunctions, type RuntimeImports } from './imports.js';
import type { RuntimeFunctions } from './lower.js';
import { FIRST_REGION, HANDLER_STUB } from './record.js';
import { HANDLER_SIGNATURE } from './signatures.js';

/** Table entries: handlers that are no instruction first, forms next, regions from REGIONS on. */
export const HANDLER_INVALID = 0;
export const HANDLER_HEADER = 1;
export const HANDLER_CLOSE = 2;
export const HANDLER_LOOKUP = 3;
const FIRST_FORM = 4;
/** Room for regions grows: every module that imports the table costs as much time and memory as the table is long. */
const INITIAL_TABLE_SIZE = FIRST_REGION + 1024;
export const MAX_TABLE_SIZE = 32768;
/** More instructions than a block has. */
const ROOM_FOR_A_BLOCK = 256;

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
}

/** A form's handler, made for what is known of the flags before it (UNKNOWN, but for conditional jumps). */
interface FormHandler {
  readonly index: number;
  readonly insn: Insn;
  readonly key: number;
  readonly known: number;
}

/** What follows an instruction in its block. */
const GOES_ON = 0;
const ENDS = 1;
const BRANCHES = 2;
const JUMPS_INDIRECTLY = 3;

/** How programs call functions of shared libraries: JMP through a word of the global offset table, with ENDBR64 before it or not. */
const STUB_JUMP = 'ff2500000000';
const STUB_BEGIN = 'f30f1efa';

export class Interpreter {
  readonly table: WebAssembly.Table;
  /** Runs from a record until something must be done; returns STATUS_*. Exceptions are delivered on the way. */
  readonly run: (record: number) => number;
  /** Mnemonics met that have no definition: they raise #UD. */
  readonly undefinedMnemonics = new Set<string>();
  modules = 0;
  private readonly imports: RuntimeImports;
  private forms: HandlerNumbers;
  private readonly known = new FormCache();
  /** By handler: GOES_ON, ENDS, BRANCHES; the form; its effect on the flags where that was asked for. */
  private readonly last = new Uint8Array(FIRST_REGION);
  private made: FormHandler[] = [];
  private readonly effects: (FlagEffect | undefined)[] = [];
  /** Conditional jumps by what is known before them. */
  private readonly jumps = new Map<number, number>();
  private pending: FormHandler[] = [];
  private nextForm: number;
  private stubJump = 0;
  private stubBegin = 0;

  constructor(imports: RuntimeImports) {
    this.imports = imports;
    this.table = new WebAssembly.Table({ element: 'anyfunc', initial: INITIAL_TABLE_SIZE });
    const { module, forms, made } = commonHandlers();
    const exports = imports.instantiate(module, this.table);
    this.run = exports['run'] as (record: number) => number;
    this.modules = 1;
    this.forms = new HandlerNumbers(forms);
    this.nextForm = FIRST_FORM;
    this.takeCommon(forms, made);
  }

  private takeCommon(forms: HandlerNumbers, made: readonly FormHandler[]): void {
    this.forms = new HandlerNumbers(forms);
    this.nextForm = FIRST_FORM + made.length;
    this.made = [];
    for (const handler of made) {
      this.made[handler.index] = handler;
      const { insn, key, known, index } = handler;
      if (known !== UNKNOWN) this.jumps.set(jumpOf(this.handler(insn, key), known), index);
    }
    this.stubJump = this.handler(insnOf(STUB_JUMP), COMMON_KEY);
    this.stubBegin = this.handler(insnOf(STUB_BEGIN), COMMON_KEY);
  }

  get formCount(): number {
    return this.nextForm - FIRST_FORM;
  }

  /** A block might not find room for its forms. Guests get here only on purpose. */
  get isFull(): boolean {
    return this.nextForm > FIRST_REGION - ROOM_FOR_A_BLOCK;
  }

  /** Forgets all forms but the common ones. Nothing may refer to their handlers any more. */
  forget(): void {
    this.known.clear();
    this.jumps.clear();
    this.effects.length = 0;
    this.pending = [];
    const { forms, made } = commonHandlers();
    this.takeCommon(forms, made);
  }

  /** The same as `handler` for the instruction of so many bytes whose fields were read last. */
  handlerOfFields(key: number, length: number): number {
    const form = formKey();
    const modes = key & FLOATING_MODES;
    const known = this.known.find(form, modes);
    if (known !== 0) return known;
    const insn = insnOfFields(length);
    const index = this.handler(insn, key);
    this.last[index] = endOf(insn);
    this.known.add(form, modes, index);
    return index;
  }
  /** Whether the instructions of a handler are the last of their block. */
  endsBlock(handler: number): boolean {
    return this.last[handler] !== GOES_ON;
  }

  /** Jumps and calls whose targets are known at run time: their links stand where the closing record of others does. */
  jumpsIndirectly(handler: number): boolean {
    return this.last[handler] === JUMPS_INDIRECTLY;
  }
  /** The whole block is a stub, by the handlers of its first and last instruction. */
  isStub(first: number, last: number, count: number): boolean {
    return last === this.stubJump && (count === 1 || (count === 2 && first === this.stubBegin));
  }
  isConditionalJump(handler: number): boolean {
    return this.last[handler] === BRANCHES;
  }
  /** What the instructions of a handler do to the flags. */
  effectOf(handler: number): FlagEffect {
    let effect = this.effects[handler];
    if (effect === undefined) {
      const { insn, key } = this.made[handler] as FormHandler;
      effect = effectOn(liftForm(insn, key).statements);
      this.effects[handler] = effect;
    }
    return effect;
  }
  /** The handler of a conditional jump where so much is known of the flags; it exists after the next `flush`. */
  jumpKnowing(handler: number, flags: number): number {
    const { insn, key } = this.made[handler] as FormHandler;
    const known = usefulFor(flags, insn.cond);
    if (known === UNKNOWN) return handler;
    const jump = jumpOf(handler, known);
    let index = this.jumps.get(jump);
    if (index === undefined) {
      index = this.add(insn, key, known);
      this.jumps.set(jump, index);
    }
    return index;
  }

  /** Table index of the handler of an instruction; it exists after the next `flush`. */
  handler(insn: Insn, key: number): number {
    const form = formNumber(insn);
    const modes = key & modesOf(insn, form);
    const detail = detailOf(insn, form, modes);
    let index = this.forms.find(modes, detail);
    if (index === undefined) {
      index = this.add(insn, modes, UNKNOWN);
      this.forms.add(modes, detail, index);
      if (semantics[insn.mnemonic] === undefined) this.undefinedMnemonics.add(insn.mnemonic);
    }
    return index;
  }
  private add(insn: Insn, key: number, known: number): number {
    const index = this.nextForm++;
    if (index >= HANDLER_STUB) throw new Error('more instruction forms than the handler table holds');
    const handler = { index, insn, key, known };
    this.made[index] = handler;
    this.pending.push(handler);
    return index;
  }

  /** Compiles the forms asked for since the last call. */
  flush(): void {
    if (this.pending.length === 0) return;
    const bytes = handlersCode(this.pending);
    this.pending = [];
    this.modules++;
    this.imports.instantiate(new WebAssembly.Module(bytes), this.table);
  }
}

/** A conditional jump and what is known before it, as one number. */
function jumpOf(handler: number, known: number): number {
  return handler * FIRST_REGION + known;
}

function endOf(insn: Insn): number {
  if (insn.mnemonic === 'jcc') return BRANCHES;
  if (branches(insn)) return ENDS;
  if (insn.mnemonic === 'jmp' || insn.mnemonic === 'call') return JUMPS_INDIRECTLY;
  return endsBlock(insn) ? ENDS : GOES_ON;
}

/** Conditional branches end an interpreted block although control may fall through. */
function branches(insn: Insn): boolean {
  return insn.operands[0]?.kind === 'rel';
}

function bodyOf({ insn, key, known }: FormHandler): HandlerBody {
  return { key, lower: (l) => l.instruction(liftForm(insn, key), known) };
}

interface HandlerModule {
  readonly module: ModuleBuilder;
  readonly functions: RuntimeFunctions;
  readonly types: HandlerTypes;
}

/** A module that puts what `write` makes into the table it imports. */
function tableModule(write: (m: HandlerModule) => void): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const types: HandlerTypes = { handler: module.type(HANDLER_SIGNATURE) };
  declareMemory(module);
  module.importTable('env', 'table', INITIAL_TABLE_SIZE);
  write({ module, functions: importedFunctions(module), types });
  return module.finish();
}

/** Functions of handlers; their numbers. */
function addHandlers({ module, functions, types }: HandlerModule, bodies: readonly HandlerBody[]): number[] {
  // Every import comes before the first function.
  return bodies.map((body) => handlerFunction(functions, types, body)).map((f) => module.addFunction(f));
}

/** The module of handlers numbered in sequence. */
function handlersCode(handlers: readonly FormHandler[]): Uint8Array<ArrayBuffer> {
  const first = (handlers[0] as FormHandler).index;
  return tableModule((m) => m.module.elementsAt(first, addHandlers(m, handlers.map(bodyOf))));
}

// ---- what every interpreter begins with ----

interface CommonForms {
  readonly forms: HandlerNumbers;
  /** In the order of their numbers, from FIRST_FORM on; the first `hot` of them share a function. */
  readonly made: readonly FormHandler[];
  readonly hot: number;
}

/** The forms that 64-bit code mostly uses. */
function commonForms(): CommonForms {
  const forms = new HandlerNumbers();
  const made: FormHandler[] = [];
  const seen = new Set<string>();
  const add = (text: string): void => {
    const [last = '', before] = text.split('+').reverse();
    const insn = insnOf(last);
    const known =
      before === undefined ? UNKNOWN : usefulFor(effectOn(liftForm(insnOf(before), COMMON_KEY).statements), insn.cond);
    const form = formNumber(insn);
    const key = COMMON_KEY & modesOf(insn, form);
    const detail = detailOf(insn, form, key);
    const name = `${key} ${detail} ${known}`;
    if (seen.has(name)) return;
    seen.add(name);
    const index = FIRST_FORM + made.length;
    if (known === UNKNOWN) forms.add(key, detail, index);
    made.push({ index, insn, key, known });
  };
  for (const text of HOT_FORMS_64.split(' ')) add(text);
  const hot = made.length;
  for (const text of COMMON_FORMS_64.split(' ')) add(text);
  return { forms, made, hot };
}
const COMMON_KEY = S.KEY_CODE64 | S.KEY_FLAT | S.KEY_PROTECTED | S.KEY_LONG;

function insnOf(encoding: string): Insn {
  const bytes = Uint8Array.from(encoding.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  const insn = decode(bytes, 0, bytes.length, 64);
  if (insn === 'truncated') throw new Error(`${encoding} is no instruction`);
  return insn;
}

/** Handlers that are no instruction, by their numbers, and the ways in. */
const SPECIAL: readonly HandlerBody['lower'][] = [
  (l) => l.invalid(),
  // Met in front of the table (handler-loop.ts).
  (l) => l.enter(),
  (l) => l.close(),
  (l) => l.finder(),
];
const RUN: HandlerBody['lower'] = (l) => l.run();
/** Translated code comes to it: it has no use for the loop of the hottest. */
const STUB: HandlerBody['lower'] = (l) => l.stub(liftForm(insnOf(STUB_JUMP), COMMON_KEY));

/** The module of their handlers and of those that are no instruction, which is always the same: hosts may compile it ahead. */
export function commonHandlersCode(): Uint8Array<ArrayBuffer> {
  return codeOf(commonForms());
}
function codeOf({ made, hot }: CommonForms): Uint8Array<ArrayBuffer> {
  const special = (lower: HandlerBody['lower']): HandlerBody => ({ key: S.KEY_CODE64, lower });
  const inLoop = [...SPECIAL.map(special), ...made.slice(0, hot).map(bodyOf)];
  return tableModule((m) => {
    const loopBody = handlerLoop(m.functions, m.types, HANDLER_INVALID, HANDLER_HEADER, inLoop);
    const others = addHandlers(m, [...[RUN, STUB].map(special), ...made.slice(hot).map(bodyOf)]);
    const loop = m.module.addFunction(loopBody);
    const [run, stub, ...rest] = others as [number, number, ...number[]];
    m.module.export('run', run);
    m.module.elementsAt(HANDLER_INVALID, [...inLoop.map(() => loop), ...rest]);
    m.module.elementsAt(HANDLER_STUB, [stub]);
  });
}

interface CommonHandlers extends CommonForms {
  readonly module: WebAssembly.Module;
}
let common: CommonHandlers | undefined;

/** Handlers of common forms, made once in a thread: at the first call, or of `compiled`, which is their code. */
export function commonHandlers(compiled?: WebAssembly.Module): CommonHandlers {
  if (common !== undefined) return common;
  const forms = commonForms();
  common = { module: compiled ?? new WebAssembly.Module(codeOf(forms)), ...forms };
  return common;
}
