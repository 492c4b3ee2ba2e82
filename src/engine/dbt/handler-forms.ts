/** Instruction forms as the interpreter tells them apart: by all that changes what a handler does. */
import { type Insn, NO_REGISTER, SEG } from '../../x86/insn.js';
import { semantics } from '../../x86/semantics/index.js';
import * as S from '../../x86/state.js';
import { DynamicLift } from './lift-dynamic.js';

/** Mode bits that change what a handler does; the rest of the key it reads at run time or not at all. */
const INTEGER_MODES = S.KEY_FLAT | S.KEY_STACK32 | S.KEY_VM86 | S.KEY_PROTECTED | S.KEY_CODE64 | S.KEY_CODE32;
/** Those of all forms: more than most depend on. */
export const FLOATING_MODES = INTEGER_MODES | S.KEY_FPU_TRAP | S.KEY_NO_SSE | S.KEY_SSE_UNMASKED;
/** Instructions on x87, MMX or SSE state whose operands do not show it. */
const FLOATING_MNEMONIC = /^(f|cvt|emms|ldmxcsr|stmxcsr|xsave|xrstor)/;
/** By number of the form. */
const floating: (boolean | undefined)[] = [];

function isFloating(insn: Insn): boolean {
  if (FLOATING_MNEMONIC.test(insn.mnemonic)) return true;
  return insn.operands.some((op) => op.kind === 'reg' && (op.file === 'xmm' || op.file === 'mmx' || op.file === 'st'));
}

export function modesOf(insn: Insn, form: number): number {
  floating[form] ??= isFloating(insn);
  return floating[form] ? FLOATING_MODES : INTEGER_MODES;
}

/** What distinguishes handlers: the form, and four bits for each memory operand (at most two): an index, the segment. */
export function detailOf(insn: Insn, form: number, modes: number): number {
  let detail = 0;
  for (const op of insn.operands) {
    if (op.kind !== 'mem') continue;
    // The handler names the segment; in 64-bit code ES CS SS DS are alike.
    const seg = op.seg >= SEG.fs || (modes & S.KEY_CODE64) === 0 ? op.seg + 1 : 0;
    detail = (detail << 4) | (op.index !== NO_REGISTER ? 8 : 0) | seg;
  }
  return (form << 8) | detail;
}

/** What instructions of a form mean. */
export function liftForm(sample: Insn, key: number): DynamicLift {
  const definition = semantics[sample.mnemonic] ?? semantics['ud'];
  if (definition === undefined) throw new Error('no definition of ud');
  // The decoder shares register operands: here each stands for its own field of the record.
  const insn: Insn = { ...sample, operands: sample.operands.map((op) => ({ ...op })) };
  const lift = new DynamicLift(key, insn);
  definition.lift(lift, insn);
  return lift;
}
