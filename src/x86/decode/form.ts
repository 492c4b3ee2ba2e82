/**
 * The form of an instruction: what is left of it without register numbers, immediates and displacements. Two
 * instructions with the same form are executed by the same generated handler.
 */
import { BASE_RIP, type Insn, type Operand, type RegisterFile, SEG } from '../insn.js';

const FILES: Readonly<Record<RegisterFile, number>> = { gpr: 0, seg: 1, cr: 2, dr: 3, mmx: 4, xmm: 5, st: 6 };
const REPEATS = { none: 0, rep: 1, repne: 2 } as const;
/** Operand sizes 0 1 2 4 6 8 10 16 in three bits. */
const SIZE_NUMBER = new Uint8Array(17);
for (const [number, size] of [0, 1, 2, 4, 6, 8, 10, 16].entries()) SIZE_NUMBER[size] = number;

interface Shapes {
  /** Packed shape to number, for at most two operands: small integers, which a Map finds fastest. */
  readonly few: Map<number, number>;
  readonly many: Map<number, number>;
}
/** By mnemonic. Bounded: mnemonics and shapes are those of the opcode tables. */
const known = new Map<string, Shapes>();
let count = 0;

/** The number of the form: mnemonic, attributes and operands that it keeps. Equal forms, equal numbers, from 0 as they are met. */
export function formNumber(insn: Insn): number {
  let shapes = known.get(insn.mnemonic);
  if (shapes === undefined) {
    shapes = { few: new Map(), many: new Map() };
    known.set(insn.mnemonic, shapes);
  }
  const isFew = insn.operands.length <= 2;
  const shape = isFew ? packFew(insn) : packMany(insn);
  const numbers = isFew ? shapes.few : shapes.many;
  let number = numbers.get(shape);
  if (number === undefined) {
    number = count++;
    numbers.set(shape, number);
  }
  return number;
}

/** 13 bits: condition(4) operand size(2) address size(2) code size(2) lock repeat(2). */
function packAttributes(insn: Insn): number {
  return (
    (insn.cond << 9) |
    ((insn.operandSize >> 1) & 4 ? 3 << 7 : (insn.operandSize >> 1) << 7) |
    ((insn.addressSize >> 2) << 5) |
    ((insn.codeSize >> 5) << 3) |
    (insn.lock ? 4 : 0) |
    REPEATS[insn.repeat]
  );
}

/** 31 bits: the attributes, the number of operands in two bits, a byte per operand. */
function packFew(insn: Insn): number {
  const { operands } = insn;
  const [first, second] = operands;
  return (
    (packAttributes(insn) << 18) |
    (operands.length << 16) |
    (first === undefined ? 0 : packOperand(first) << 8) |
    (second === undefined ? 0 : packOperand(second))
  );
}

/** Below 2^53: the attributes, then a digit to base 257 per operand (there are at most four). */
function packMany(insn: Insn): number {
  let shape = packAttributes(insn);
  for (const operand of insn.operands) shape = shape * 257 + packOperand(operand) + 1;
  return shape;
}

/** A byte: memory  1 1 1 fs/gs rip size(3);  register  file(3) high 1 size(3);  others  kind(3) 0 0 size(3). */
function packOperand(operand: Operand): number {
  const size = SIZE_NUMBER[operand.size];
  switch (operand.kind) {
    case 'reg':
      return (FILES[operand.file] << 5) | (operand.high ? 0x10 : 0) | 8 | size;
    case 'mem':
      return 0xe0 | (operand.seg >= SEG.fs ? 0x10 : 0) | (operand.base === BASE_RIP ? 8 : 0) | size;
    case 'imm':
      return size;
    case 'rel':
      return 0x20 | size;
    case 'far':
      return 0x40 | size;
  }
}
