/**
 * A decoded instruction as text: Intel syntax in the dialect of `objdump -M intel`, with the manual's mnemonics.
 * The text says what the instruction does, not how it was encoded: redundant prefixes and zero displacements are gone.
 */
import {
  BASE_RIP,
  type ImmediateOperand,
  type Insn,
  type MemoryOperand,
  NO_REGISTER,
  type Operand,
  type RegisterOperand,
  SEG,
} from './insn.js';

/** Condition codes, SDM Vol. 1, appendix B "EFLAGS Condition Codes". */
const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'] as const;
/** FCMOVcc spells two of them differently, and P as U. */
const X87_CONDITIONS: Readonly<Record<number, string>> = {
  2: 'b',
  3: 'nb',
  4: 'e',
  5: 'ne',
  6: 'be',
  7: 'nbe',
  10: 'u',
  11: 'nu',
};

const LEGACY_NAMES = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'] as const;
const LOW_BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'] as const;
const HIGH_BYTES = ['ah', 'ch', 'dh', 'bh'] as const;
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;
const NEW_SUFFIX: Readonly<Record<number, string>> = { 1: 'b', 2: 'w', 4: 'd', 8: '' };

const POINTERS: Readonly<Record<number, string>> = {
  0: '',
  1: 'BYTE PTR ',
  2: 'WORD PTR ',
  4: 'DWORD PTR ',
  6: 'FWORD PTR ',
  8: 'QWORD PTR ',
  10: 'TBYTE PTR ',
  16: 'XMMWORD PTR ',
};

/** CMPPS and its kin with an immediate below 8. SDM Vol. 2, "CMPPS", table of pseudo-ops. */
const PREDICATES = ['eq', 'lt', 'le', 'unord', 'neq', 'nlt', 'nle', 'ord'] as const;
/** PCLMULQDQ's pseudo-ops by bits 0 and 4 of the immediate. */
const CARRYLESS: Readonly<Record<number, string>> = { 0: 'lqlq', 1: 'hqlq', 16: 'lqhq', 17: 'hqhq' };

const STRINGS: ReadonlySet<string> = new Set(['movs', 'cmps', 'stos', 'lods', 'scas', 'ins', 'outs']);
/** Their memory operand exists for its segment; the assembler does not write it. */
const HIDDEN_MEMORY: ReadonlySet<string> = new Set(['maskmovq', 'maskmovdqu', 'monitor']);
/** Their operands are sized by definition, and objdump leaves the size away. */
const UNSIZED: ReadonlySet<string> = new Set(['lgdt', 'lidt', 'sgdt', 'sidt']);

/** The text of `insn`, which stands at address `rip`. */
export function disassemble(insn: Insn, rip: bigint): string {
  const pseudo = pseudoOperation(insn);
  const mnemonic = `${prefixOf(insn)}${pseudo ?? mnemonicOf(insn)}`;
  const operands = pseudo === undefined ? shownOperands(insn) : shownOperands(insn).slice(0, -1);
  if (operands.length === 0) return mnemonic;
  const texts = operands.map((operand) => operandText(insn, operand, rip));
  return `${mnemonic.padEnd(6)} ${texts.join(',')}${ripComment(insn, operands, rip)}`;
}

function prefixOf(insn: Insn): string {
  if (insn.lock) return 'lock ';
  if (insn.repeat === 'none') return '';
  const compares = insn.mnemonic === 'cmps' || insn.mnemonic === 'scas';
  return insn.repeat === 'repne' ? 'repnz ' : compares ? 'repz ' : 'rep ';
}

function mnemonicOf(insn: Insn): string {
  switch (insn.mnemonic) {
    case 'jcc':
    case 'setcc':
    case 'cmovcc':
      return insn.mnemonic.slice(0, -2) + CONDITIONS[insn.cond & 15];
    case 'fcmovcc':
      return `fcmov${X87_CONDITIONS[insn.cond] ?? '?'}`;
    case 'callf':
      return 'call';
    case 'jmpf':
      return 'jmp';
    case 'ud':
    case 'gp':
      return '(bad)';
    case 'mov':
      return isMovabs(insn) ? 'movabs' : 'mov';
    default:
      return insn.mnemonic;
  }
}

function isMovabs(insn: Insn): boolean {
  if (insn.codeSize !== 64) return false;
  const offset = insn.operands.some((operand) => operand.kind === 'mem' && isOffset(insn, operand));
  return offset || (insn.length >= 10 && insn.operands[1]?.kind === 'imm' && insn.operands[0]?.kind === 'reg');
}

/** A moffs: MOV of the accumulator and a bare address of full width. Told by its length: there is no ModRM or SIB. */
function isOffset(insn: Insn, memory: MemoryOperand): boolean {
  if (memory.base !== NO_REGISTER || memory.index !== NO_REGISTER) return false;
  const accumulator = insn.operands.find((operand) => operand.kind === 'reg')?.size ?? 0;
  const prefixes = (accumulator === 2 || accumulator === 8 ? 1 : 0) + (memory.seg === SEG.ds ? 0 : 1);
  return (
    insn.addressSize === 8 &&
    insn.length >= 9 + prefixes &&
    insn.operands.every((operand) => isAccumulatorOrMemory(operand))
  );
}

function isAccumulatorOrMemory(operand: Operand): boolean {
  return operand.kind === 'mem' || (operand.kind === 'reg' && operand.file === 'gpr' && operand.index === 0);
}

function pseudoOperation(insn: Insn): string | undefined {
  const last = insn.operands[insn.operands.length - 1];
  if (last?.kind !== 'imm') return undefined;
  const value = Number(last.value);
  const compare = /^cmp(ps|pd|ss|sd)$/.exec(insn.mnemonic);
  if (compare !== null) return value < 8 ? `cmp${PREDICATES[value]}${compare[1]}` : undefined;
  if (insn.mnemonic !== 'pclmulqdq') return undefined;
  const halves = CARRYLESS[value];
  return halves === undefined ? undefined : `pclmul${halves}dq`;
}

function shownOperands(insn: Insn): readonly Operand[] {
  const { mnemonic, operands } = insn;
  if (HIDDEN_MEMORY.has(mnemonic)) return operands.filter((operand) => operand.kind !== 'mem');
  const size = operands[0]?.size ?? 0;
  const accumulator: RegisterOperand = { kind: 'reg', file: 'gpr', size, index: 0, high: false };
  if (mnemonic === 'stos') return [...operands, accumulator];
  if (mnemonic === 'lods' || mnemonic === 'scas') return [accumulator, ...operands];
  return operands;
}

function operandText(insn: Insn, operand: Operand, rip: bigint): string {
  switch (operand.kind) {
    case 'reg':
      return registerText(operand);
    case 'mem':
      return memoryText(insn, operand);
    case 'imm':
      return immediateText(operand);
    case 'rel':
      return hex(wrap(rip + BigInt(insn.length + operand.disp), operand.size));
    case 'far':
      return `${hex(operand.selector)}:${hex(operand.offset)}`;
  }
}

function immediateText(operand: ImmediateOperand): string {
  return hex(operand.value);
}

/** The name of a register as assemblers write it. */
export function registerText(register: RegisterOperand): string {
  switch (register.file) {
    case 'gpr':
      return generalName(register);
    case 'seg':
      return SEGMENTS[register.index] ?? '?';
    case 'mmx':
      return `mm${register.index}`;
    case 'st':
      return register.index === 0 ? 'st' : `st(${register.index})`;
    default:
      return `${register.file}${register.index}`;
  }
}

function generalName({ size, index, high }: RegisterOperand): string {
  if (high) return HIGH_BYTES[index] ?? '?';
  if (index >= 8) return `r${index}${NEW_SUFFIX[size] ?? ''}`;
  if (size === 1) return LOW_BYTES[index] ?? '?';
  const name = LEGACY_NAMES[index] ?? '?';
  return size === 2 ? name : size === 4 ? `e${name}` : `r${name}`;
}

function addressRegister(insn: Insn, index: number): string {
  if (index === BASE_RIP) return insn.addressSize === 8 ? 'rip' : 'eip';
  return generalName({ kind: 'reg', file: 'gpr', size: insn.addressSize, index, high: false });
}

function memoryText(insn: Insn, memory: MemoryOperand): string {
  const size = UNSIZED.has(insn.mnemonic) ? '' : (POINTERS[memory.size] ?? '');
  const { base, index } = memory;
  if (base === NO_REGISTER && index === NO_REGISTER) {
    return `${size}${SEGMENTS[memory.seg] ?? '?'}:${hex(wrap(BigInt(memory.disp), insn.addressSize))}`;
  }
  const parts: string[] = [];
  if (base !== NO_REGISTER) parts.push(addressRegister(insn, base));
  if (index !== NO_REGISTER) {
    const scale = insn.addressSize === 2 ? '' : `*${1 << memory.scale}`;
    parts.push(`${addressRegister(insn, index)}${scale}`);
  }
  const sign = memory.disp < 0 ? '-' : '+';
  const displacement = memory.disp === 0 ? '' : `${sign}${hex(Math.abs(memory.disp))}`;
  return `${size}${segmentText(insn, memory)}[${parts.join('+')}${displacement}]`;
}

/** Shown where it is not the default of the base, and always on string instructions and XLAT, as objdump does. */
function segmentText(insn: Insn, memory: MemoryOperand): string {
  const usual = memory.base === 4 || memory.base === 5 ? SEG.ss : SEG.ds;
  const always = STRINGS.has(insn.mnemonic) || insn.mnemonic === 'xlat';
  return always || memory.seg !== usual ? `${SEGMENTS[memory.seg] ?? '?'}:` : '';
}

function ripComment(insn: Insn, operands: readonly Operand[], rip: bigint): string {
  for (const operand of operands) {
    if (operand.kind !== 'mem' || operand.base !== BASE_RIP) continue;
    return `        # ${hex(wrap(rip + BigInt(insn.length + operand.disp), insn.addressSize))}`;
  }
  return '';
}

function wrap(value: bigint, bytes: number): bigint {
  return BigInt.asUintN(bytes * 8, value);
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
