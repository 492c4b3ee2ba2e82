/**
 * Operand codes of Intel SDM Vol. 2, Appendix A "Codes for Addressing Method" and "Codes for Operand Type", compiled to
 * small integers. Ours beside the manual's:
 *   Z    general register in the low three opcode bits (and REX.B)
 *   Ibs  immediate byte, sign-extended to the operand size; Iz is also extended where the operand size is 64
 *   BA BB BD  memory at DS:rAX, DS:rBX, DS:rDI (MONITOR, XLAT, MASKMOVQ); the segment can be overridden
 *   1    the immediate one; ST0, STi  x87 registers; XMM0  the implicit register of the blends
 *   A/B  code A where ModRM.mod is 3, code B where it is memory
 * Sizes: b w d q dq v z y as in the manual; x ps pd = 16; ss = 4, sd = 8; t = 10; p = far pointer (size + 2);
 * a = pair (2 * size); s = pseudo-descriptor (6 or 10); m = 8 in 64-bit mode, else 4; qdq = 8, or 16 with REX.W; none = 0.
 */
import type { RegisterOperand, Size } from '../insn.js';
import { gpr, segmentRegister, st, xmm } from './registers.js';
import type { OperandSizeRule } from './row.js';

export const KIND = {
  none: 0,
  memory: 1,
  gprRm: 2,
  gprReg: 3,
  gprLow: 4,
  xmmRm: 5,
  xmmReg: 6,
  mmxRm: 7,
  mmxReg: 8,
  segment: 9,
  control: 10,
  debug: 11,
  immediate: 12,
  immediateSigned: 13,
  relativeByte: 14,
  relative: 15,
  far: 16,
  offset: 17,
  source: 18,
  destination: 19,
  accumulator: 20,
  constant: 21,
  one: 22,
  stackRm: 23,
  atRax: 24,
  atRbx: 25,
  atRdi: 26,
  segmentLoad: 27,
  immediateByteSigned: 28,
} as const;

/** An operand code is `kind << KIND_SHIFT | size code`, or `| index into CONSTANT_OPERANDS`. */
export const KIND_SHIFT = 5;
export const LOW_MASK = (1 << KIND_SHIFT) - 1;

/** Size codes: the column of SIZE_OF. */
const SIZE_CODES = [
  '',
  'b',
  'w',
  'd',
  'q',
  'dq',
  'x',
  'ps',
  'pd',
  'ss',
  'sd',
  't',
  'v',
  'z',
  'y',
  'p',
  'a',
  's',
  'm',
  'qdq',
  'bs',
] as const;

/** Bytes by size code, 64-bit mode and effective operand size: index `sizeCode << 5 | mode64 << 4 | operandSize`. */
export const SIZE_OF = new Uint8Array(32 * 32);
for (const [code, name] of SIZE_CODES.entries()) {
  for (const mode64 of [0, 1]) {
    for (const size of [1, 2, 4, 8]) SIZE_OF[(code << 5) | (mode64 << 4) | size] = bytesOf(name, mode64, size);
  }
}

function bytesOf(name: (typeof SIZE_CODES)[number], mode64: number, operandSize: number): number {
  switch (name) {
    case '':
      return 0;
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'd':
    case 'ss':
      return 4;
    case 'q':
    case 'sd':
      return 8;
    case 'dq':
    case 'x':
    case 'ps':
    case 'pd':
      return 16;
    case 't':
      return 10;
    case 'v':
    case 'bs':
      return operandSize;
    case 'z':
      return operandSize === 2 ? 2 : 4;
    case 'y':
      return operandSize === 8 ? 8 : 4;
    case 'p':
      return operandSize + 2;
    case 'a':
      return operandSize * 2;
    case 's':
      return mode64 === 1 ? 10 : 6;
    case 'm':
      return mode64 === 1 ? 8 : 4;
    case 'qdq':
      return operandSize === 8 ? 16 : 8;
  }
}

/** Operands that are always the same register. */
const CONSTANTS: readonly (readonly [code: string, operand: RegisterOperand])[] = [
  ['AL', gpr(1, 0)],
  ['CL', gpr(1, 1)],
  ['AX', gpr(2, 0)],
  ['DX', gpr(2, 2)],
  ['ES', segmentRegister(0)],
  ['CS', segmentRegister(1)],
  ['SS', segmentRegister(2)],
  ['DS', segmentRegister(3)],
  ['FS', segmentRegister(4)],
  ['GS', segmentRegister(5)],
  ['XMM0', xmm(16, 0)],
  ['ST0', st(0)],
];
export const CONSTANT_OPERANDS: readonly RegisterOperand[] = CONSTANTS.map(([, operand]) => operand);

/** Addressing methods: [kind where mod is 3, kind where it is memory]; -1 where the form does not exist. */
const METHODS: Readonly<Record<string, readonly [reg: number, mem: number]>> = {
  E: [KIND.gprRm, KIND.memory],
  R: [KIND.gprRm, -1],
  M: [-1, KIND.memory],
  G: [KIND.gprReg, KIND.gprReg],
  Z: [KIND.gprLow, KIND.gprLow],
  W: [KIND.xmmRm, KIND.memory],
  U: [KIND.xmmRm, -1],
  V: [KIND.xmmReg, KIND.xmmReg],
  Q: [KIND.mmxRm, KIND.memory],
  N: [KIND.mmxRm, -1],
  P: [KIND.mmxReg, KIND.mmxReg],
  S: [KIND.segment, KIND.segment],
  C: [KIND.control, KIND.control],
  D: [KIND.debug, KIND.debug],
  I: [KIND.immediate, KIND.immediate],
  J: [KIND.relative, KIND.relative],
  A: [KIND.far, KIND.far],
  O: [KIND.offset, KIND.offset],
  X: [KIND.source, KIND.source],
  Y: [KIND.destination, KIND.destination],
};

/** Codes that the method-and-size reading does not cover. */
const WHOLE: Readonly<Record<string, number>> = {
  1: KIND.one << KIND_SHIFT,
  STi: KIND.stackRm << KIND_SHIFT,
  BA: KIND.atRax << KIND_SHIFT,
  BBb: (KIND.atRbx << KIND_SHIFT) | sizeCode('b'),
  BDq: (KIND.atRdi << KIND_SHIFT) | sizeCode('q'),
  BDdq: (KIND.atRdi << KIND_SHIFT) | sizeCode('dq'),
  rAX: (KIND.accumulator << KIND_SHIFT) | sizeCode('v'),
  eAX: (KIND.accumulator << KIND_SHIFT) | sizeCode('z'),
  Jb: KIND.relativeByte << KIND_SHIFT,
  Ibs: (KIND.immediateByteSigned << KIND_SHIFT) | sizeCode('v'),
  Iz: (KIND.immediateSigned << KIND_SHIFT) | sizeCode('v'),
  // MOV to a segment register: CS is not allowed. Told apart from the store by the row, which writes it `Sw!`.
  'Sw!': (KIND.segmentLoad << KIND_SHIFT) | sizeCode('w'),
};

/** What `compileOperand` has answered: the tables name few operands, many times each. */
const compiled = { reg: new Map<string, number>(), mem: new Map<string, number>() };

/** The compiled code of an operand for register (mod 3) or memory forms; -1 where that form does not exist. */
export function compileOperand(code: string, form: 'reg' | 'mem'): number {
  const known = compiled[form].get(code);
  if (known !== undefined) return known;
  const operand = readOperand(code, form);
  compiled[form].set(code, operand);
  return operand;
}

function readOperand(code: string, form: 'reg' | 'mem'): number {
  const [forRegister = code, forMemory = code] = code.includes('/') ? code.split('/') : [];
  const chosen = form === 'reg' ? forRegister : forMemory;
  const whole = WHOLE[chosen];
  if (whole !== undefined) return whole;
  const constant = CONSTANTS.findIndex(([name]) => name === chosen);
  if (constant >= 0) return (KIND.constant << KIND_SHIFT) | constant;
  const method = METHODS[chosen[0] ?? ''];
  if (method === undefined) throw new Error(`opcode table: unknown operand code '${chosen}'`);
  const kind = form === 'reg' ? method[0] : method[1];
  return kind < 0 ? -1 : (kind << KIND_SHIFT) | sizeCode(chosen.slice(1));
}

/** Whether a compiled operand is a general register of one byte; `rule`: of its row. */
export function isByteRegister(code: number, rule: OperandSizeRule): boolean {
  const kind = code >> KIND_SHIFT;
  if (kind < KIND.gprRm || kind > KIND.gprLow) return false;
  // Of the rules only this one gives operands of one byte.
  return SIZE_OF[((code & LOW_MASK) << 5) | (rule === 'b' ? 1 : 4)] === 1;
}

/** Whether an operand code is read from a ModRM byte. */
export function usesModrm(code: string): boolean {
  return code === 'STi' || /^[ERMGWUVQNPSCD]([a-z]|\/|$)/.test(code);
}

function sizeCode(name: string): number {
  const index = (SIZE_CODES as readonly string[]).indexOf(name);
  if (index < 0) throw new Error(`opcode table: unknown operand size '${name}'`);
  return index;
}

/** The sizes a memory or register operand can have, as the contract's type. */
export function asSize(bytes: number): Size {
  return bytes as Size;
}
