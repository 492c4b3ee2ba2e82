/** x87 arithmetic, comparisons and conditional moves. Intel SDM Vol. 2A, "F2XM1" to "FYL2XP1". */
import type { Operand, RegisterOperand } from '../insn.js';
import type { Definition, Definitions } from '../lift.js';
import { x87 } from './sse-guard.js';
import { act, readSigned, remember } from './x87-load.js';

/** Operation numbers are those of the reg field of opcode D8: dst = dst op src, the reversed ones dst = src op dst. */
const OPERATIONS = { add: 0, mul: 1, com: 2, comp: 3, sub: 4, subr: 5, div: 6, divr: 7 } as const;

function stack(op: Operand): RegisterOperand {
  if (op.kind !== 'reg') throw new TypeError('x87 register expected');
  return op;
}

/** FADD and its kin: a memory operand works on ST(0). */
const arithmetic = (operation: number): Definition =>
  x87((b, i) => {
    const [first, second] = i.operands;
    const number = b.i32(operation);
    if (first.kind === 'mem') {
      act(b, first.size === 8 ? 'fpu_arith_f64' : 'fpu_arith_f32', number, b.read(first));
    } else {
      act(b, 'fpu_arith', number, b.registerNumber(stack(first)), b.registerNumber(stack(second)));
    }
    remember(b, first);
  });

const arithmeticPop = (operation: number): Definition =>
  x87((b, i) => {
    const [dst, src] = i.operands;
    act(b, 'fpu_arith_pop', b.i32(operation), b.registerNumber(stack(dst)), b.registerNumber(stack(src)));
    remember(b);
  });

/** FIADD and its kin. */
const arithmeticInteger = (operation: number): Definition =>
  x87((b, i) => {
    const [src] = i.operands;
    act(b, 'fpu_arith_int', b.i32(operation), readSigned(b, src));
    remember(b, src);
  });

const families: Definitions = Object.fromEntries(
  Object.entries(OPERATIONS).flatMap(([name, number]) => {
    const integer: [string, Definition] = [`fi${name}`, arithmeticInteger(number)];
    if (name === 'com' || name === 'comp') return [integer];
    return [[`f${name}`, arithmetic(number)], [`f${name}p`, arithmeticPop(number)], integer];
  }),
);

/** FCOM, FCOMP with memory or ST(i); FCOMPP with ST(1). */
const compare = (operation: number, pops: number, quiet: 0 | 1): Definition =>
  x87((b, i) => {
    const src: Operand | undefined = i.operands[0];
    if (src?.kind === 'mem') {
      act(b, src.size === 8 ? 'fpu_arith_f64' : 'fpu_arith_f32', b.i32(operation), b.read(src));
    } else {
      const other = src === undefined ? b.i32(1) : b.registerNumber(stack(src));
      act(b, 'fpu_fcom', other, b.i32(pops), b.i32(quiet));
    }
    remember(b, src);
  });

/**
 * FCOMI, FUCOMI. The flags are set even when an unmasked exception stops the pop, as AMD's processors do it; Intel's
 * manual keeps them then.
 */
const compareFlags = (pops: boolean, quiet: 0 | 1): Definition =>
  x87((b, i) => {
    const flags = b.call('x87_fcomi', 'i32', b.registerNumber(stack(i.operands[1])), b.i32(quiet));
    if (pops) b.ifThen(b.call('x87_store_ok', 'i32'), () => act(b, 'fpu_pop'));
    remember(b);
    b.setFlags(flags);
  });

/** FCMOVcc; the condition is the integer one on RFLAGS. */
const fcmovcc: Definition = x87((b, i) => {
  const holds = b.condition(i.cond);
  act(b, 'fpu_fcmov', holds, b.registerNumber(stack(i.operands[1])));
  remember(b);
});

/** Instructions without operands, numbered as `fpu_simple` in runtime/simd/x87-calls.ts numbers them. */
const SIMPLE = [
  'fchs',
  'fabs',
  'ftst',
  'fxam',
  'fsqrt',
  'frndint',
  'fscale',
  'fxtract',
  'fprem',
  'fprem1',
  'fincstp',
  'fdecstp',
] as const; // prettier-ignore
const TRANSCENDENTAL = ['f2xm1', 'fyl2x', 'fyl2xp1', 'fptan', 'fpatan', 'fsin', 'fcos', 'fsincos'] as const;

const simple = (routine: string, number: number): Definition =>
  x87((b) => {
    act(b, routine, b.i32(number));
    remember(b);
  });

export const definitions: Definitions = {
  ...families,
  fcom: compare(OPERATIONS.com, 0, 0),
  fcomp: compare(OPERATIONS.comp, 1, 0),
  fcompp: compare(OPERATIONS.comp, 2, 0),
  fucom: compare(OPERATIONS.com, 0, 1),
  fucomp: compare(OPERATIONS.comp, 1, 1),
  fucompp: compare(OPERATIONS.comp, 2, 1),
  fcomi: compareFlags(false, 0),
  fcomip: compareFlags(true, 0),
  fucomi: compareFlags(false, 1),
  fucomip: compareFlags(true, 1),
  fcmovcc,
  ...Object.fromEntries(SIMPLE.map((name, number) => [name, simple('fpu_simple', number)])),
  ...Object.fromEntries(TRANSCENDENTAL.map((name, number) => [name, simple('fpu_transcendental', number)])),
};
