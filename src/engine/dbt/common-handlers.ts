/**
 * What every interpreter begins with: the handlers that are no instruction, those of common forms, and those of pairs of them. They are
 * one module, always the same.
 */
import { decode } from '../../x86/decode/decoder.js';
import { formNumber } from '../../x86/decode/form.js';
import type { Insn } from '../../x86/insn.js';
import * as S from '../../x86/state.js';
import { COMMON_FORMS_64, HOT_FORMS_64, HOT_PAIRS_64 } from './common-forms.js';
import { effectOn, UNKNOWN, usefulFor } from './flag-knowledge.js';
import { detailOf, liftForm, modesOf } from './handler-forms.js';
import { type HandlerBody, handlerLoop } from './handler-loop.js';
import { addHandlers, bodyOf, type FormHandler, tableModule } from './handler-modules.js';
import { HANDLER_STUB } from './record.js';

/** Table entries: handlers that are no instruction first, then those of pairs, of forms, and regions from FIRST_REGION on. */
export const HANDLER_INVALID = 0;
export const HANDLER_HEADER = 1;
export const HANDLER_CLOSE = 2;
export const HANDLER_LOOKUP = 3;
const FIRST_PAIR = 4;
export const FIRST_FORM = FIRST_PAIR + HOT_PAIRS_64.split(' ').length;

/** How programs call functions of shared libraries: JMP through a word of the global offset table, with ENDBR64 before it or not. */
export const STUB_JUMP = 'ff2500000000';
export const STUB_BEGIN = 'f30f1efa';

/** Handlers of forms that exist, by the modes that matter and the rest of the form. */
export class HandlerNumbers {
  private readonly byModes = new Map<number, Map<number, number>>();

  copy(): HandlerNumbers {
    const copy = new HandlerNumbers();
    for (const [modes, numbers] of this.byModes) copy.byModes.set(modes, new Map(numbers));
    return copy;
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

type Pair = readonly [first: number, second: number];

export interface CommonForms {
  readonly forms: HandlerNumbers;
  /** In the order of their numbers, from FIRST_FORM on; the first `hot` of them share a function. */
  readonly made: readonly FormHandler[];
  readonly hot: number;
  /** Handlers of two of those in sequence, from FIRST_PAIR on: their own. */
  readonly pairs: readonly Pair[];
}

/** The forms that 64-bit code mostly uses. */
function commonForms(): CommonForms {
  const forms = new HandlerNumbers();
  const made: FormHandler[] = [];
  const byName = new Map<string, number>();
  const add = (text: string): number => {
    const [last = '', before] = text.split('+').reverse();
    const insn = insnOf(last);
    const known =
      before === undefined ? UNKNOWN : usefulFor(effectOn(liftForm(insnOf(before), COMMON_KEY).statements), insn.cond);
    const form = formNumber(insn);
    const key = COMMON_KEY & modesOf(insn, form);
    const detail = detailOf(insn, form, key);
    const name = `${key} ${detail} ${known}`;
    const added = byName.get(name);
    if (added !== undefined) return added;
    const index = FIRST_FORM + made.length;
    byName.set(name, index);
    if (known === UNKNOWN) forms.add(key, detail, index);
    made.push({ index, insn, key, known });
    return index;
  };
  for (const text of HOT_FORMS_64.split(' ')) add(text);
  const hot = made.length;
  for (const text of COMMON_FORMS_64.split(' ')) add(text);
  const pairs = HOT_PAIRS_64.split(' ').map((text) => text.split('~').map(add) as unknown as Pair);
  return { forms, made, hot, pairs };
}
export const COMMON_KEY = S.KEY_CODE64 | S.KEY_FLAT | S.KEY_PROTECTED | S.KEY_LONG;

export function insnOf(encoding: string): Insn {
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
function codeOf({ made, hot, pairs }: CommonForms): Uint8Array<ArrayBuffer> {
  const special = (lower: HandlerBody['lower']): HandlerBody => ({ key: S.KEY_CODE64, lower });
  const body = (n: number): HandlerBody => bodyOf(made[n - FIRST_FORM] as FormHandler);
  const pair = ([first, second]: Pair): HandlerBody => ({ ...body(first), second: body(second) });
  const inLoop = [...SPECIAL.map(special), ...pairs.map(pair), ...made.slice(0, hot).map(bodyOf)];
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

export interface CommonHandlers extends CommonForms {
  readonly module: WebAssembly.Module;
  /** Handler of two records in sequence by their handlers; 0: they have none together. */
  pairOf(first: number, second: number): number;
}
let common: CommonHandlers | undefined;

/** Handlers of common forms, made once in a thread: at the first call, or of `compiled`, which is their code. */
export function commonHandlers(compiled?: WebAssembly.Module): CommonHandlers {
  if (common !== undefined) return common;
  const forms = commonForms();
  common = { module: compiled ?? new WebAssembly.Module(codeOf(forms)), ...forms, pairOf: pairNumbers(forms) };
  return common;
}

function pairNumbers({ hot, pairs }: CommonForms): CommonHandlers['pairOf'] {
  const numbers = new Uint16Array(hot * hot);
  const at = (first: number, second: number): number => (first - FIRST_FORM) * hot + (second - FIRST_FORM);
  for (const [n, [first, second]] of pairs.entries()) numbers[at(first, second)] = FIRST_PAIR + n;
  const isHot = (handler: number): boolean => handler >= FIRST_FORM && handler < FIRST_FORM + hot;
  return (first, second) => (isHot(first) && isHot(second) ? (numbers[at(first, second)] as number) : 0);
}
