/**
 * A decoded instruction: what the decoder produces and every evaluator, the disassembler and the lifter consume.
 * Names and operand order are the manual's (destination first). Intel SDM Vol. 2, "Instruction Format".
 */

/** Bytes: 1, 2, 4, 8, 10 (x87 80-bit), 16; 0 where a memory operand has no size (LEA, INVLPG, FXSAVE…). */
export type Size = 0 | 1 | 2 | 4 | 6 | 8 | 10 | 16;

export const SEG = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 } as const;

/** Register files. `gpr` index 0-15; with `high`, index 0-3 names AH CH DH BH. */
export type RegisterFile = 'gpr' | 'seg' | 'cr' | 'dr' | 'mmx' | 'xmm' | 'st';

export interface RegisterOperand {
  readonly kind: 'reg';
  readonly file: RegisterFile;
  readonly size: Size;
  readonly index: number;
  /** AH CH DH BH: bits 15:8 of GPR `index` (0-3). */
  readonly high: boolean;
}

export const NO_REGISTER = -1;
/** `base` of a RIP-relative memory operand; its address is the address of the next instruction plus `disp`. */
export const BASE_RIP = 16;

export interface MemoryOperand {
  readonly kind: 'mem';
  readonly size: Size;
  /** Effective segment after overrides and defaults, a SEG value. */
  readonly seg: number;
  /** GPR index, BASE_RIP or NO_REGISTER. */
  readonly base: number;
  /** GPR index or NO_REGISTER. */
  readonly index: number;
  /** log2 of the scale: 0-3. */
  readonly scale: number;
  /** Signed displacement. A 64-bit moffs is exact while its absolute value is below 2^53 (always, where canonical). */
  readonly disp: number;
}

export interface ImmediateOperand {
  readonly kind: 'imm';
  /** Size the instruction uses it at, after sign extension. */
  readonly size: Size;
  /** Already sign-extended where the manual says so; as an unsigned `size`-byte number (0 <= value < 2^(8*size)). */
  readonly value: bigint;
}

/** Near branch target: next instruction's address plus `disp`, truncated to the operand size. */
export interface RelativeOperand {
  readonly kind: 'rel';
  readonly size: Size;
  readonly disp: number;
}

/** ptr16:16 and ptr16:32. */
export interface FarOperand {
  readonly kind: 'far';
  readonly size: Size;
  readonly selector: number;
  readonly offset: number;
}

export type Operand = RegisterOperand | MemoryOperand | ImmediateOperand | RelativeOperand | FarOperand;

export type Repeat = 'none' | 'rep' | 'repne';

/** Code size and mode the bytes were decoded for. */
export type CodeSize = 16 | 32 | 64;

export interface Insn {
  /**
   * The manual's mnemonic in lower case. Conditional families are one mnemonic with `cond`: `jcc`, `setcc`, `cmovcc`,
   * `fcmovcc`. String instructions are `movs cmps stos lods scas ins outs` with `operandSize` giving the element.
   * Mnemonics that the manual shares between unrelated instructions are told apart: `movsd` (SSE2) is `movsd`, the
   * string move is `movs`; `cmpsd` (SSE2) is `cmpsd`, the string compare is `cmps`.
   * What is undefined decodes to `ud` (raises #UD), never to an error.
   */
  readonly mnemonic: string;
  /** Bytes, 1-15. */
  readonly length: number;
  /** Effective operand size of the general instruction in bytes (1 for byte forms). */
  readonly operandSize: 1 | 2 | 4 | 8;
  /** Effective address size in bytes. */
  readonly addressSize: 2 | 4 | 8;
  readonly codeSize: CodeSize;
  readonly operands: readonly Operand[];
  /** Condition code 0-15 of jcc/setcc/cmovcc (SDM Vol. 1, appendix B), else 0. */
  readonly cond: number;
  readonly lock: boolean;
  readonly repeat: Repeat;
}
