/**
 * What the interpreter knows of the lazy flags before an instruction: the operation (CC_OP) that the instructions of the
 * block before it have left. A handler made for that asks no routine for a condition.
 */
import type { Builder } from '../../ir/builder.js';
import { type FlagsRecord, Value as Node, type Statement, type Value } from '../../ir/value.js';
import * as S from '../../x86/state.js';
import { conditionValue } from './flag-conditions.js';

/** Nothing; else what is known is CC_OP + 1. */
export const UNKNOWN = 0;
/** What is known behind an instruction, or `KEEPS`: what was known before it. */
export type FlagEffect = number;
export const KEEPS = -1;

/** Pairs of condition codes that compare the operands: B, BE, L, LE. */
const COMPARES: ReadonlySet<number> = new Set([1, 3, 6, 7]);
const OVERFLOW = 0;
/** E, S, P. */
const OF_RESULT: ReadonlySet<number> = new Set([2, 4, 5]);

export function effectOn(statements: readonly Statement[]): FlagEffect {
  let effect: FlagEffect = KEEPS;
  for (const s of statements) {
    if (s.kind === 'flags') effect = operationOf(s.flags) + 1;
    else if (s.kind === 'setflags') effect = S.CC_FLAGS * 4 + 1;
    // Routines work on the state in memory.
    else if (s.kind === 'routine') effect = UNKNOWN;
    else if (s.kind === 'if' && effectOn(s.then) !== KEEPS) effect = UNKNOWN;
  }
  return effect;
}
/** CC_OP of an operation. */
export function operationOf({ kind, size }: FlagsRecord): number {
  return kind * 4 + (kind === S.CC_FLAGS ? 0 : Math.log2(size));
}

/**
 * What a jump on this condition is made for, of all that is known: the least that tells the answer, for there is a handler for
 * each.
 */
export function usefulFor(known: number, cond: number): number {
  if (known === UNKNOWN || cond >> 1 === OVERFLOW) return UNKNOWN;
  const kind = (known - 1) >> 2;
  const size = (known - 1) & 3;
  if (kind === S.CC_FLAGS) return UNKNOWN;
  // Zero, sign and parity are the result's, whatever made it.
  if (OF_RESULT.has(cond >> 1)) return S.CC_LOGIC * 4 + size + 1;
  return kind === S.CC_SUB || kind === S.CC_LOGIC ? known : UNKNOWN;
}

/** The condition on flags in memory of which so much is known, where it can be told from that. */
export function conditionOf(b: Builder, known: number, cond: number): Value | undefined {
  return conditionValue(b, flagsInState(b, known - 1, cond), cond);
}

function flagsInState(b: Builder, operation: number, cond: number): FlagsRecord {
  const kind = operation >> 2;
  const size = (1 << (operation & 3)) as 1 | 2 | 4 | 8;
  const part = (offset: number, bytes: 4 | 1 | 2 | 8): Value => {
    const v = new Node('state', bytes === 8 ? 'i64' : 'i32');
    v.imm = offset;
    v.size = bytes;
    return v;
  };
  const dst = part(S.CC_DST, size);
  const src = part(S.CC_SRC, size);
  // The first operand of a comparison is the sum of the others. Zero and sign are the difference's.
  const first = kind === S.CC_SUB && COMPARES.has(cond >> 1) ? clean(b, b.add(dst, src), size) : undefined;
  return { kind, size, dst, src, src2: undefined, x: first };
}
function clean(b: Builder, v: Value, size: number): Value {
  return size < 4 ? b.and(v, b.i32(2 ** (8 * size) - 1)) : v;
}
