/**
 * The x87 escapes D8-DF. Intel SDM Vol. 2, Appendix A, "Escape Opcodes with ... as First Byte".
 * The 8087's and 287's leftovers (FNENI, FNDISI, FNSETPM) do nothing since the 387 and decode to FNOP; the register
 * forms that the manual leaves blank but every processor executes are the aliases marked so.
 */
import { op, type RowBody } from './row.js';

/** In ModRM.reg order; FCOM and FCOMP have one operand in register forms. */
const ARITHMETIC = ['add', 'mul', 'com', 'comp', 'sub', 'subr', 'div', 'divr'] as const;
/** With the ST(i) destination the subtract and divide pairs are swapped. */
const REVERSED = ['add', 'mul', '', '', 'subr', 'sub', 'divr', 'div'] as const;

const arithmetic: readonly RowBody[] = ARITHMETIC.flatMap((name, reg) => {
  const compare = reg === 2 || reg === 3;
  const reversed = REVERSED[reg] ?? '';
  return [
    op(0xd8, `f${name}`, 'Md', `/${reg} mem x87`),
    op(0xd8, `f${name}`, compare ? 'STi' : 'ST0,STi', `/${reg} reg x87`),
    op(0xda, `fi${name}`, 'Md', `/${reg} mem x87`),
    op(0xdc, `f${name}`, 'Mq', `/${reg} mem x87`),
    op(0xde, `fi${name}`, 'Mw', `/${reg} mem x87`),
    ...(compare
      ? [op(0xdc, `f${name}`, 'STi', `/${reg} reg x87`)] // alias
      : [
          op(0xdc, `f${reversed}`, 'STi,ST0', `/${reg} reg x87`),
          op(0xde, `f${reversed}p`, 'STi,ST0', `/${reg} reg x87`),
        ]),
  ];
});

/** FCMOVcc: condition codes B E BE U and their opposites. */
const MOVES: readonly (readonly [opcode: number, reg: number, cond: number])[] = [
  [0xda, 0, 2],
  [0xda, 1, 4],
  [0xda, 2, 6],
  [0xda, 3, 10],
  [0xdb, 0, 3],
  [0xdb, 1, 5],
  [0xdb, 2, 7],
  [0xdb, 3, 11],
];

/** D9 with mod 3 and reg 4-7: no operands. */
const D9_NO_OPERANDS: readonly (readonly [reg: number, names: readonly string[]])[] = [
  [4, ['fchs', 'fabs', '', '', 'ftst', 'fxam', '', '']],
  [5, ['fld1', 'fldl2t', 'fldl2e', 'fldpi', 'fldlg2', 'fldln2', 'fldz', '']],
  [6, ['f2xm1', 'fyl2x', 'fptan', 'fpatan', 'fxtract', 'fprem1', 'fdecstp', 'fincstp']],
  [7, ['fprem', 'fyl2xp1', 'fsqrt', 'fsincos', 'frndint', 'fscale', 'fsin', 'fcos']],
];

export const x87: readonly RowBody[] = [
  ...arithmetic,
  ...MOVES.map(([opcode, reg, cond]) => op(opcode, 'fcmovcc', 'ST0,STi', `/${reg} reg cc=${cond} x87`)),
  ...D9_NO_OPERANDS.flatMap(([reg, names]) =>
    names.flatMap((name, rm) => (name === '' ? [] : [op(0xd9, name, '', `/${reg} reg rm${rm} x87`)])),
  ),

  op(0xd9, 'fld', 'Md', '/0 mem x87'),
  op(0xd9, 'fst', 'Md', '/2 mem x87'),
  op(0xd9, 'fstp', 'Md', '/3 mem x87'),
  // 14 or 28 bytes (FNSAVE and FRSTOR: 94 or 108) by operand size.
  op(0xd9, 'fldenv', 'M', '/4 mem size=z x87'),
  op(0xd9, 'fldcw', 'Mw', '/5 mem x87'),
  op(0xd9, 'fnstenv', 'M', '/6 mem size=z x87'),
  op(0xd9, 'fnstcw', 'Mw', '/7 mem x87'),
  op(0xd9, 'fld', 'STi', '/0 reg x87'),
  op(0xd9, 'fxch', 'STi', '/1 reg x87'),
  op(0xd9, 'fnop', '', '/2 reg rm0 x87'),
  op(0xd9, 'fstp', 'STi', '/3 reg x87'), // alias

  op(0xda, 'fucompp', '', '/5 reg rm1 x87'),

  op(0xdb, 'fild', 'Md', '/0 mem x87'),
  op(0xdb, 'fisttp', 'Md', '/1 mem sse3'),
  op(0xdb, 'fist', 'Md', '/2 mem x87'),
  op(0xdb, 'fistp', 'Md', '/3 mem x87'),
  op(0xdb, 'fld', 'Mt', '/5 mem x87'),
  op(0xdb, 'fstp', 'Mt', '/7 mem x87'),
  op(0xdb, 'fneni', '', '/4 reg rm0 x87'),
  op(0xdb, 'fndisi', '', '/4 reg rm1 x87'),
  op(0xdb, 'fnclex', '', '/4 reg rm2 x87'),
  op(0xdb, 'fninit', '', '/4 reg rm3 x87'),
  op(0xdb, 'fnsetpm', '', '/4 reg rm4 x87'),
  op(0xdb, 'fucomi', 'ST0,STi', '/5 reg x87'),
  op(0xdb, 'fcomi', 'ST0,STi', '/6 reg x87'),

  op(0xdd, 'fld', 'Mq', '/0 mem x87'),
  op(0xdd, 'fisttp', 'Mq', '/1 mem sse3'),
  op(0xdd, 'fst', 'Mq', '/2 mem x87'),
  op(0xdd, 'fstp', 'Mq', '/3 mem x87'),
  op(0xdd, 'frstor', 'M', '/4 mem size=z x87'),
  op(0xdd, 'fnsave', 'M', '/6 mem size=z x87'),
  op(0xdd, 'fnstsw', 'Mw', '/7 mem x87'),
  op(0xdd, 'ffree', 'STi', '/0 reg x87'),
  op(0xdd, 'fxch', 'STi', '/1 reg x87'), // alias
  op(0xdd, 'fst', 'STi', '/2 reg x87'),
  op(0xdd, 'fstp', 'STi', '/3 reg x87'),
  op(0xdd, 'fucom', 'STi', '/4 reg x87'),
  op(0xdd, 'fucomp', 'STi', '/5 reg x87'),

  op(0xde, 'fcomp', 'STi', '/2 reg x87'), // alias
  op(0xde, 'fcompp', '', '/3 reg rm1 x87'),

  op(0xdf, 'fild', 'Mw', '/0 mem x87'),
  op(0xdf, 'fisttp', 'Mw', '/1 mem sse3'),
  op(0xdf, 'fist', 'Mw', '/2 mem x87'),
  op(0xdf, 'fistp', 'Mw', '/3 mem x87'),
  op(0xdf, 'fbld', 'Mt', '/4 mem x87'),
  op(0xdf, 'fild', 'Mq', '/5 mem x87'),
  op(0xdf, 'fbstp', 'Mt', '/6 mem x87'),
  op(0xdf, 'fistp', 'Mq', '/7 mem x87'),
  op(0xdf, 'ffreep', 'STi', '/0 reg x87'), // undocumented by Intel: FFREE, then pop
  op(0xdf, 'fxch', 'STi', '/1 reg x87'), // alias
  op(0xdf, 'fstp', 'STi', '/2 reg x87'), // alias
  op(0xdf, 'fstp', 'STi', '/3 reg x87'), // alias
  op(0xdf, 'fnstsw', 'AX', '/4 reg rm0 x87'),
  op(0xdf, 'fucomip', 'ST0,STi', '/5 reg x87'),
  op(0xdf, 'fcomip', 'ST0,STi', '/6 reg x87'),
];
