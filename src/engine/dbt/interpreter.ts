/**
 * The interpreter: a table of handlers made on demand, one per instruction form, all generated from the definitions.
 * New forms of a block are compiled together as one small module that shares the table.
 */
import { insnOfFields } from '../../x86/decode/decoder.js';
import { formKey } from '../../x86/decode/fields.js';
import { formNumber } from '../../x86/decode/form.js';
import type { Insn } from '../../x86/insn.js';
import { endsBlock, semantics } from '../../x86/semantics/index.js';
import {
  COMMON_KEY,
  commonHandlers,
  FIRST_FORM,
  type HandlerNumbers,
  insnOf,
  STUB_BEGIN,
  STUB_JUMP,
} from './common-handlers.js';
import { effectOn, type FlagEffect, UNKNOWN, usefulFor } from './flag-knowledge.js';
import { FormCache } from './form-cache.js';
import { detailOf, FLOATING_MODES, liftForm, modesOf } from './handler-forms.js';
import { type FormHandler, handlersCode, INITIAL_TABLE_SIZE } from './handler-modules.js';
import type { RuntimeImports } from './imports.js';
import { FIRST_REGION, HANDLER_STUB } from './record.js';

export const MAX_TABLE_SIZE = 32768;
/** More instructions than a block has. */
const ROOM_FOR_A_BLOCK = 256;

/** What follows an instruction in its block. */
const GOES_ON = 0;
const ENDS = 1;
const BRANCHES = 2;
const JUMPS_INDIRECTLY = 3;

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
    this.forms = forms.copy();
    this.nextForm = FIRST_FORM;
    this.takeCommon(forms, made);
  }

  private takeCommon(forms: HandlerNumbers, made: readonly FormHandler[]): void {
    this.forms = forms.copy();
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
