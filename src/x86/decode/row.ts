/**
 * One row of the opcode tables: a fact in the notation of Intel SDM Vol. 2, Appendix A "Opcode Map", and of the "Opcode"
 * column of the instruction pages. The decoder, the disassembler and the generated reference read the same rows.
 *
 * A row is written `op(opcode, mnemonic, operands, attributes)`:
 *   mnemonic    alternatives by effective operand size are joined by '/': 16/32/64, or 32/64 where the size is 'y'
 *   operands    Appendix A codes joined by ','; see operand.ts for the codes and the few that we add
 *   attributes  words separated by spaces; see ATTRIBUTES below and FEATURES
 */

/** '' is the one-byte map, the others are the escape bytes. */
export type OpcodeMap = '' | '0f' | '0f38' | '0f3a';

/**
 * Mandatory prefixes as the manual writes them: `np` allows none of 66 F2 F3, `nfx` allows neither F2 nor F3, `66` `f3`
 * `f2` demand one. `any`: prefixes have their general meaning or none.
 */
export type MandatoryPrefix = 'any' | 'np' | 'nfx' | '66' | 'f3' | 'f2';

/**
 * How the effective operand size follows from code size, 66 and REX.W:
 * b, w, d: fixed at 1, 2, 4. v: 2/4/8. z: 2/4. y: 4/8 (66 ignored). d64: as v, default 8 in 64-bit mode.
 * f64: as v, always 8 in 64-bit mode. m: 8 in 64-bit mode, else 4.
 */
export type OperandSizeRule = 'b' | 'w' | 'd' | 'v' | 'z' | 'y' | 'd64' | 'f64' | 'm';

export const FEATURES = [
  'base',
  'x87',
  'cmov',
  'mmx',
  'sse',
  'sse2',
  'sse3',
  'ssse3',
  'sse4.1',
  'sse4.2',
  'popcnt',
  'movbe',
  'aes',
  'pclmulqdq',
  'sha',
  'bmi1',
  'lzcnt',
  'adx',
  'rdrand',
  'rdseed',
  'cx8',
  'cx16',
  'fxsr',
  'xsave',
  'xsaveopt',
  'xsavec',
  'xsaves',
  'fsgsbase',
  'invpcid',
  'smap',
  'rdtscp',
  'rdpid',
  'monitor',
  'clflush',
  'clflushopt',
  'clwb',
  'prefetchw',
  'msr',
  'tsc',
  'sep',
  'syscall',
  'vmx',
  'svm',
  'cet-ibt',
] as const;
export type Feature = (typeof FEATURES)[number];

export interface OpcodeRow {
  readonly map: OpcodeMap;
  /** First opcode byte of the row; it holds for `span` opcodes: 8 with a register, 16 with a condition in the low bits. */
  readonly opcode: number;
  readonly span: 1 | 8 | 16;
  readonly mnemonic: string;
  readonly operands: readonly string[];
  readonly prefix: MandatoryPrefix;
  /** ModRM.mod: memory only, register only, or either; `ignored` decodes every mod as a register. */
  readonly mod: 'any' | 'mem' | 'reg' | 'ignored';
  /** Opcode extension in ModRM.reg and ModRM.rm, or -1. */
  readonly reg: number;
  readonly rm: number;
  readonly operandSize: OperandSizeRule;
  /** Condition code, -1 where the low opcode bits give it or there is none. */
  readonly cond: number;
  readonly lock: boolean;
  /** `rep`: F2 and F3 both repeat. `repz`: F3 repeats while equal, F2 while not. */
  readonly repeat: 'none' | 'rep' | 'repz';
  readonly i64: boolean;
  readonly o64: boolean;
  /** The mnemonic's alternatives follow the address size (JCXZ, JECXZ, JRCXZ). */
  readonly byAddressSize: boolean;
  readonly feature: Feature;
}

/** A row before its map is known. */
export type RowBody = Omit<OpcodeRow, 'map'>;

/** Mutable while a row is being read. */
type RowDraft = { -readonly [Key in keyof RowBody]: RowBody[Key] };

const ATTRIBUTES: Readonly<Record<string, (row: RowDraft) => void>> = {
  lock: (row) => {
    row.lock = true;
  },
  i64: (row) => {
    row.i64 = true;
  },
  o64: (row) => {
    row.o64 = true;
  },
  d64: (row) => {
    row.operandSize = 'd64';
  },
  f64: (row) => {
    row.operandSize = 'f64';
  },
  mem: (row) => {
    row.mod = 'mem';
  },
  reg: (row) => {
    row.mod = 'reg';
  },
  'mod-ignored': (row) => {
    row.mod = 'ignored';
  },
  '+r': (row) => {
    row.span = 8;
  },
  '+cc': (row) => {
    row.span = 16;
  },
  rep: (row) => {
    row.repeat = 'rep';
  },
  repz: (row) => {
    row.repeat = 'repz';
  },
  'by-address-size': (row) => {
    row.byAddressSize = true;
  },
};
const MANDATORY: readonly string[] = ['np', 'nfx', '66', 'f3', 'f2'];

/** One row; see the head of this file. Throws on a word it does not know: a mistake in a table, found when it loads. */
export function op(opcode: number, mnemonic: string, operands = '', attributes = ''): RowBody {
  const codes = operands === '' ? [] : operands.split(',');
  const row: RowDraft = {
    opcode,
    span: 1,
    mnemonic,
    operands: codes,
    prefix: 'any',
    mod: 'any',
    reg: -1,
    rm: -1,
    operandSize: impliedOperandSize(codes),
    cond: -1,
    lock: false,
    repeat: 'none',
    i64: false,
    o64: false,
    byAddressSize: false,
    feature: 'base',
  };
  for (const word of attributes.split(' ')) if (word !== '') applyWord(row, word);
  return row;
}

function applyWord(row: RowDraft, word: string): void {
  const attribute = ATTRIBUTES[word];
  const value = word.slice(-1);
  if (attribute !== undefined) attribute(row);
  else if (MANDATORY.includes(word)) row.prefix = word as MandatoryPrefix;
  else if ((FEATURES as readonly string[]).includes(word)) row.feature = word as Feature;
  else if (/^\/[0-7]$/.test(word)) row.reg = Number(value);
  else if (/^rm[0-7]$/.test(word)) row.rm = Number(value);
  else if (/^size=[bwdvzym]$/.test(word)) row.operandSize = value as OperandSizeRule;
  else if (/^cc=\d+$/.test(word)) row.cond = Number(word.slice(3));
  else throw new Error(`opcode table: unknown attribute '${word}' on ${row.mnemonic}`);
}

/** The size rule that the operand codes themselves tell: the widest variable one, else a fixed general-register size. */
function impliedOperandSize(codes: readonly string[]): OperandSizeRule {
  const letters = codes.map((code) => code.slice(1));
  if (letters.some((letter) => letter === 'v' || letter === 'a' || letter === 'p')) return 'v';
  if (codes.some((code) => /^[EGRZIJMXYO]z$/.test(code) || code === 'rAX')) return 'v';
  if (codes.includes('eAX')) return 'z';
  if (codes.some((code) => /^[EGRMVP](y|qdq)$/.test(code) || /^.y\/.y$/.test(code))) return 'y';
  if (codes.some((code) => /^[GMRCD]m$/.test(code))) return 'm';
  const first = codes[0] ?? '';
  if (/^([EGMZXY]b|AL)$/.test(first) || codes.includes('AL')) return 'b';
  if (/^[EGS]w$/.test(first)) return 'w';
  return 'd';
}
