/** x87 arithmetic, comparisons and conditional moves. Intel SDM Vol. 2A, "F2XM1" to "FYL2XP1". */
import type { Operand, RegisterOperand } from '../insn.js';
import type { Definition, Definitions } from '../lift.js';
import { x87 } from './sse-guard.js';
import { act, isAllowed, pop, readSigned, remember } from './x87-load.js';

/** Numbers of the routine that all operations on integers share. */
const OPERATIONS = { add: 0, mul: 1, sub: 4, subr: 5, div: 6, divr: 7 } as const;

function stack(op: Operand): RegisterOperand {
  if (op.kind !== 'reg') throw new TypeError('x87 register expected');
  return op;
}

/** FADD and its kin: dst = dst op src, the reversed ones dst = src op dst; a memory operand works on ST(0). */
const arithmetic = (name: string, pops: 0 | 1): Definition =>
  x87((b, i) => {
    const [first, second] = i.operands;
    if (first.kind === 'mem') act(b, `fpu_${name}_f${first.size * 8}`, b.read(first));
    else act(b, `fpu_${name}`, b.registerNumber(stack(first)), b.registerNumber(stack(second)), b.i32(pops));
    remember(b, first);
  });

/** FIADD and its kin. */
const arithmeticInteger = (operation: number): Definition =>
  x87((b, i) => {
    const [src] = i.operands;
    act(b, 'fpu_arith_int', b.i32(operation), readSigned(b, src));
    remember(b, src);
  });

const families: Definitions = Object.fromEntries(
  Object.entries(OPERATIONS).flatMap(([name, number]) => [
    [`f${name}`, arithmetic(name, 0)],
    [`f${name}p`, arithmetic(name, 1)],
    [`fi${name}`, arithmeticInteger(number)],
  ]),
);

/** FCOM, FCOMP with memory or ST(i); FCOMPP with ST(1). */
const compare = (pops: number, quiet: 0 | 1): Definition =>
  x87((b, i) => {
    const src: Operand | undefined = i.operands[0];
    if (src?.kind === 'mem') act(b, `fpu_fcom_f${src.size * 8}`, b.read(src), b.i32(pops));
    else {
      const other = src === undefined ? b.i32(1) : b.registerNumber(stack(src));
      act(b, 'fpu_fcom', other, b.i32(pops), b.i32(quiet));
    }
    remember(b, src);
  });

/** FICOM, FICOMP. */
const compareInteger = (pops: number): Definition =>
  x87((b, i) => {
    const [src] = i.operands;
    act(b, 'fpu_fcom_int', readSigned(b, src), b.i32(pops));
    remember(b, src);
  });

/**
 * FCOMI, FUCOMI. The flags are set even when an unmasked exception stops the pop, as AMD's processors do it; Intel's
 * manual keeps them then.
 */
const compareFlags = (pops: boolean, quiet: 0 | 1): Definition =>
  x87((b, i) => {
    const flags = b.call('x87_fcomi', 'i32', b.registerNumber(stack(i.operands[1])), b.i32(quiet));
    if (pops) b.ifThen(isAllowed(b), () => pop(b));
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
  fcom: compare(0, 0),
  ficom: compareInteger(0),
  ficomp: compareInteger(1),
  fcomp: compare(1, 0),
  fcompp: compare(2, 0),
  fucom: compare(0, 1),
  fucomp: compare(1, 1),
  fucompp: compare(2, 1),
  fcomi: compareFlags(false, 0),
  fcomip: compareFlags(true, 0),
  fucomi: compareFlags(false, 1),
  fucomip: compareFlags(true, 1),
  fcmovcc,
  ...Object.fromEntries(SIMPLE.map((name, number) => [name, simple('fpu_simple', number)])),
  ...Object.fromEntries(TRANSCENDENTAL.map((name, number) => [name, simple('fpu_transcendental', number)])),
};
