/** The register operands, made once: the decoder hands out the same objects again and again. */
import type { RegisterFile, RegisterOperand, Size } from '../insn.js';

/** Byte registers as an instruction without REX names them: 4-7 are AH CH DH BH. SDM Vol. 2, "REX Prefixes". */
export const BYTE_REGISTERS_LEGACY: readonly RegisterOperand[] = [
  ...file('gpr', 1, 4),
  ...[0, 1, 2, 3].map((index): RegisterOperand => ({ kind: 'reg', file: 'gpr', size: 1, index, high: true })),
];

const NONE: readonly RegisterOperand[] = [];
/** By size in bytes, then index. */
export const GPR: readonly (readonly RegisterOperand[])[] = bySize('gpr', [1, 2, 4, 8]);
export const XMM: readonly (readonly RegisterOperand[])[] = bySize('xmm', [2, 4, 8, 16]);
export const MMX: readonly (readonly RegisterOperand[])[] = bySize('mmx', [4, 8]);
export const SEGMENT: readonly RegisterOperand[] = file('seg', 2, 6);
/** By size: 4 outside 64-bit mode, 8 inside. */
export const CONTROL: readonly (readonly RegisterOperand[])[] = bySize('cr', [4, 8]);
export const DEBUG: readonly (readonly RegisterOperand[])[] = bySize('dr', [4, 8]);
export const ST: readonly RegisterOperand[] = file('st', 10, 8);

export function gpr(size: 1 | 2 | 4 | 8, index: number): RegisterOperand {
  return at(GPR[size], index);
}

export function xmm(size: 4 | 8 | 16, index: number): RegisterOperand {
  return at(XMM[size], index);
}

export function segmentRegister(index: number): RegisterOperand {
  return at(SEGMENT, index);
}

export function st(index: number): RegisterOperand {
  return at(ST, index);
}

function at(registers: readonly RegisterOperand[] | undefined, index: number): RegisterOperand {
  const register = registers?.[index];
  if (register === undefined) throw new Error(`no register ${index}`);
  return register;
}

function bySize(name: RegisterFile, sizes: readonly Size[]): readonly (readonly RegisterOperand[])[] {
  return Array.from({ length: 17 }, (_, size) => (sizes.includes(size as Size) ? file(name, size as Size, 16) : NONE));
}

function file(name: RegisterFile, size: Size, count: number): readonly RegisterOperand[] {
  return Array.from({ length: count }, (_, index) => ({ kind: 'reg', file: name, size, index, high: false }) as const);
}
