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

/** Mnemonic, then packed shape, to the key. Bounded: both sets are those of the opcode tables. */
const keys = new Map<string, Map<number, string>>();

/** The key of the form: mnemonic, then the attributes and operands that the form keeps. Equal forms, equal strings. */
export function formKey(insn: Insn): string {
  let shapes = keys.get(insn.mnemonic);
  if (shapes === undefined) {
    shapes = new Map();
    keys.set(insn.mnemonic, shapes);
  }
  const shape = packShape(insn);
  const known = shapes.get(shape);
  if (known !== undefined) return known;
  const key = spell(insn);
  shapes.set(shape, key);
  return key;
}

/**
 * Below 2^53: 14 bits of attributes, then a digit to base 257 per operand (there are at most four).
 *   operand: memory  1 1 1 fs/gs rip size(3);  register  file(3) high 1 size(3);  others  kind(3) 0 0 size(3)
 */
function packShape(insn: Insn): number {
  let shape =
    (insn.cond << 9) |
    ((insn.operandSize >> 1) & 4 ? 3 << 7 : (insn.operandSize >> 1) << 7) |
    ((insn.addressSize >> 2) << 5) |
    ((insn.codeSize >> 5) << 3) |
    (insn.lock ? 4 : 0) |
    REPEATS[insn.repeat];
  for (const operand of insn.operands) shape = shape * 257 + packOperand(operand) + 1;
  return shape;
}

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

function spell(insn: Insn): string {
  const parts = [`${insn.mnemonic}.${insn.cond}`, `o${insn.operandSize}a${insn.addressSize}c${insn.codeSize}`];
  if (insn.lock) parts.push('lock');
  if (insn.repeat !== 'none') parts.push(insn.repeat);
  return [...parts, ...insn.operands.map(spellOperand)].join(' ');
}

function spellOperand(operand: Operand): string {
  if (operand.kind === 'reg') return `${operand.file}${operand.high ? 'h' : ''}:${operand.size}`;
  if (operand.kind !== 'mem') return `${operand.kind}:${operand.size}`;
  return `mem${operand.seg >= SEG.fs ? '+fsgs' : ''}${operand.base === BASE_RIP ? '+rip' : ''}:${operand.size}`;
}
