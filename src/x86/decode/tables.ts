/**
 * The opcode tables compiled for look-up: by mode, mandatory prefix, map and opcode byte to a slot, and from there by
 * ModRM to a compiled row. All strings are read here, once; the decoder sees small integers.
 */
import { oneByteGroups, twoByteGroups } from './groups.js';
import { oneByte } from './one-byte.js';
import { compileOperand, isByteRegister, KIND, KIND_SHIFT, usesModrm } from './operand.js';
import type { MandatoryPrefix, OpcodeMap, OpcodeRow, OperandSizeRule, RowBody } from './row.js';
import { threeByte3a } from './three-byte-0f3a.js';
import { threeByte38 } from './three-byte-0f38.js';
import { twoByte } from './two-byte-0f.js';
import { twoByteSimd } from './two-byte-0f-simd.js';
import { x87 } from './x87.js';

function inMap(map: OpcodeMap, rows: readonly RowBody[]): readonly OpcodeRow[] {
  return rows.map((row) => ({ map, ...row }));
}

/** Every row of every table: what this processor decodes. */
export const opcodeRows: readonly OpcodeRow[] = [
  ...inMap('', [...oneByte, ...oneByteGroups, ...x87]),
  ...inMap('0f', [...twoByte, ...twoByteGroups, ...twoByteSimd]),
  ...inMap('0f38', threeByte38),
  ...inMap('0f3a', threeByte3a),
];

/** A row for one ModRM form (register or memory), ready for the decoder. */
export interface CompiledRow {
  /** Index into `opcodeRows`; -1 for an undefined encoding. */
  readonly id: number;
  /** Of this form of the row; below MAX_ROWS. */
  readonly number: number;
  /** Mnemonics for operand (or address) sizes 2, 4 and 8. */
  readonly mnemonic16: string;
  readonly mnemonic32: string;
  readonly mnemonic64: string;
  readonly byAddressSize: boolean;
  /** Condition code; -1: the low four bits of the opcode. */
  readonly cond: number;
  /** Row of OPERAND_SIZE. */
  readonly sizeRule: number;
  readonly lock: boolean;
  readonly repeat: number;
  /** Whether the form has a memory operand coded in ModRM. */
  readonly memory: boolean;
  readonly count: number;
  readonly operand0: number;
  readonly operand1: number;
  readonly operand2: number;
  /** Kind of the memory operand that is not coded in ModRM and can have a segment override; 0: none. */
  readonly implicit: number;
  /** The operands that are read behind ModRM, in the order of their bytes; 0: none. */
  readonly first: number;
  readonly second: number;
  /** An operand may name a register that there is not. */
  readonly mayLackRegister: boolean;
  /** Has a general register of one byte among its operands. */
  readonly hasByteRegister: boolean;
}

export const REPEAT = { none: 0, rep: 1, repz: 2 } as const;

export interface Slot {
  readonly modrm: boolean;
  /** Where the form depends on ModRM.reg or .rm: index as `modrmCell` says. Else null. */
  readonly cells: readonly CompiledRow[] | null;
  /** The row where there is no ModRM, or for memory forms. */
  readonly memory: CompiledRow;
  /** The row for register forms. */
  readonly register: CompiledRow;
}

const CELLS = 72;
/** 0-7: memory forms by reg; 8-71: register forms by reg and rm. */
export function modrmCell(modrm: number): number {
  return modrm >= 0xc0 ? 8 + (modrm & 0x3f) : (modrm >> 3) & 7;
}

const SIZE_RULES: readonly OperandSizeRule[] = ['b', 'w', 'd', 'v', 'z', 'y', 'd64', 'f64', 'm'];

/** Effective operand size: index `rule << 4 | mode << 2 | (66 ? 2 : 0) | (REX.W ? 1 : 0)`; mode 0, 1, 2 is 16, 32, 64. */
export const OPERAND_SIZE = new Uint8Array(SIZE_RULES.length << 4);
for (const [rule, name] of SIZE_RULES.entries()) {
  for (const mode of [0, 1, 2]) {
    for (const prefixes of [0, 1, 2, 3]) {
      OPERAND_SIZE[(rule << 4) | (mode << 2) | prefixes] = operandSize(name, mode, prefixes >= 2, (prefixes & 1) === 1);
    }
  }
}

/** Intel SDM Vol. 1, "Operand Size and Address Size in 64-Bit Mode" and "Operand-Size and Address-Size Attributes". */
function operandSize(rule: OperandSizeRule, mode: number, prefix66: boolean, rexW: boolean): number {
  const toggled = (mode === 0) === prefix66 ? 4 : 2;
  switch (rule) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'd':
      return 4;
    case 'v':
      return rexW ? 8 : toggled;
    case 'z':
      return rexW ? 4 : toggled;
    case 'y':
      return rexW ? 8 : 4;
    case 'd64':
      return mode === 2 ? (prefix66 && !rexW ? 2 : 8) : toggled;
    case 'f64':
      return mode === 2 ? 8 : toggled;
    case 'm':
      return mode === 2 ? 8 : 4;
  }
}

/** Rows are numbered in eleven bits. */
const MAX_ROWS = 2048;
let rows = 0;

function rowNumber(): number {
  if (rows === MAX_ROWS) throw new Error('opcode table: more rows than their numbers hold');
  return rows++;
}

function faultRow(mnemonic: 'ud' | 'gp'): CompiledRow {
  return {
    id: -1,
    number: rowNumber(),
    mnemonic16: mnemonic,
    mnemonic32: mnemonic,
    mnemonic64: mnemonic,
    byAddressSize: false,
    cond: 0,
    sizeRule: SIZE_RULES.indexOf('d'),
    lock: false,
    repeat: 0,
    memory: false,
    count: 0,
    operand0: 0,
    operand1: 0,
    operand2: 0,
    implicit: 0,
    first: 0,
    second: 0,
    mayLackRegister: false,
    hasByteRegister: false,
  };
}
export const UNDEFINED: CompiledRow = faultRow('ud');
/** More than 15 bytes. */
export const TOO_LONG: CompiledRow = faultRow('gp');
/** Kinds that are read behind ModRM. */
const READ_LAST: readonly number[] = [
  KIND.immediate,
  KIND.immediateSigned,
  KIND.immediateByteSigned,
  KIND.relativeByte,
  KIND.relative,
  KIND.far,
  KIND.offset,
];
/** Kinds whose memory operand takes a segment override. */
const IMPLICIT: readonly number[] = [KIND.source, KIND.offset, KIND.atRax, KIND.atRbx, KIND.atRdi];
const MAY_LACK: readonly number[] = [KIND.control, KIND.debug, KIND.segment, KIND.segmentLoad];

const UNDEFINED_SLOT: Slot = { modrm: false, cells: null, memory: UNDEFINED, register: UNDEFINED };

function compileRow(id: number, row: OpcodeRow, form: 'reg' | 'mem', codes: readonly number[]): CompiledRow {
  const mnemonics = mnemonicsBySize(row);
  const kinds = codes.map((code) => code >> KIND_SHIFT);
  const [first = 0, second = 0] = codes.filter((_, n) => READ_LAST.includes(kinds[n]));
  return {
    id,
    number: rowNumber(),
    mnemonic16: mnemonics[0],
    mnemonic32: mnemonics[1],
    mnemonic64: mnemonics[2],
    byAddressSize: row.byAddressSize,
    cond: row.cond >= 0 ? row.cond : row.span === 16 ? -1 : 0,
    sizeRule: SIZE_RULES.indexOf(row.operandSize),
    lock: row.lock && form === 'mem',
    repeat: REPEAT[row.repeat],
    memory: form === 'mem' && needsModrm(row),
    count: codes.length,
    operand0: codes[0] ?? 0,
    operand1: codes[1] ?? 0,
    operand2: codes[2] ?? 0,
    implicit: kinds.find((kind) => IMPLICIT.includes(kind)) ?? 0,
    first,
    second,
    mayLackRegister: kinds.some((kind) => MAY_LACK.includes(kind)),
    hasByteRegister: codes.some((code) => isByteRegister(code, row.operandSize)),
  };
}

function mnemonicsBySize(row: OpcodeRow): readonly [string, string, string] {
  const [first = '', second = first, third] = row.mnemonic.split('/');
  // Two names: 32 and 64 where the size is 'y', else 16 and 32.
  if (third === undefined && row.operandSize === 'y') return [first, first, second];
  return [first, second, third ?? second];
}

function needsModrm(row: OpcodeRow): boolean {
  return row.mod !== 'any' || row.reg >= 0 || row.rm >= 0 || row.operands.some(usesModrm);
}

/** Which of the prefix columns none, 66, F3, F2 a row fills. F2 and F3 win over 66 as mandatory prefixes. */
const COLUMNS: Readonly<Record<MandatoryPrefix, readonly number[]>> = {
  any: [0, 1, 2, 3],
  np: [0],
  nfx: [0, 1],
  66: [1],
  f3: [2],
  f2: [3],
};

const MAPS: readonly OpcodeMap[] = ['', '0f', '0f38', '0f3a'];
export const MAP_ONE_BYTE = 0;
export const MAP_0F = 1;
export const MAP_0F38 = 2;
export const MAP_0F3A = 3;

/** Index `mode64 << 12 | prefix column << 10 | map << 8 | opcode`. */
export const SLOTS: readonly Slot[] = buildSlots();

/** 90 with REX.B. */
export const XCHG_R8: Slot = requireSlot((1 << 12) | 0x91);

function requireSlot(index: number): Slot {
  return SLOTS[index] ?? UNDEFINED_SLOT;
}

/** The more a row demands, the later it is placed, over the rows that demand less. */
function precision(row: OpcodeRow): number {
  const prefix = row.prefix === 'any' ? 0 : 8;
  return prefix + (row.reg >= 0 ? 4 : 0) + (row.mod === 'any' ? 0 : 2) + (row.rm >= 0 ? 1 : 0);
}

function buildSlots(): readonly Slot[] {
  const slots = Array<Slot>(1 << 13).fill(UNDEFINED_SLOT);
  const ordered = opcodeRows.map((row, id) => ({ row, id })).sort((a, b) => precision(a.row) - precision(b.row));
  for (const { row, id } of ordered) {
    const register = row.mod === 'mem' ? UNDEFINED : compileForm(id, row, 'reg');
    const memory = row.mod === 'reg' ? UNDEFINED : compileForm(id, row, row.mod === 'ignored' ? 'reg' : 'mem');
    // Slots that were alike stay alike: most are made once and stand in many places.
    const placed = new Map<Slot, Slot>();
    for (const index of slotIndexes(row)) {
      const old = slots[index] as Slot;
      const slot = placed.get(old) ?? place(old, row, memory, register);
      placed.set(old, slot);
      slots[index] = slot;
    }
  }
  return slots;
}

/** A row whose operands cannot be in this form (`R` in memory, `M` in a register) is undefined there. */
function compileForm(id: number, row: OpcodeRow, form: 'reg' | 'mem'): CompiledRow {
  const codes = row.operands.map((code) => compileOperand(code, form));
  return codes.every((code) => code >= 0) ? compileRow(id, row, form, codes) : UNDEFINED;
}

function slotIndexes(row: OpcodeRow): readonly number[] {
  const modes = row.i64 ? [0] : row.o64 ? [1] : [0, 1];
  const map = MAPS.indexOf(row.map);
  const indexes: number[] = [];
  for (const mode of modes) {
    for (const column of COLUMNS[row.prefix]) {
      for (let opcode = row.opcode; opcode < row.opcode + row.span; opcode++) {
        indexes.push((mode << 12) | (column << 10) | (map << 8) | opcode);
      }
    }
  }
  return indexes;
}

/** A slot with a row over what was there. */
function place(old: Slot, row: OpcodeRow, memory: CompiledRow, register: CompiledRow): Slot {
  const modrm = old.modrm || needsModrm(row);
  if (row.reg < 0 && row.rm < 0 && old.cells === null) {
    return {
      modrm,
      cells: null,
      memory: memory === UNDEFINED ? old.memory : memory,
      register: register === UNDEFINED ? old.register : register,
    };
  }
  const cells = Array.from({ length: CELLS }, (_, cell) => {
    const isMemory = cell < 8;
    const reg = isMemory ? cell : (cell - 8) >> 3;
    const rm = isMemory ? -1 : cell & 7;
    const isOurs = (row.reg < 0 || row.reg === reg) && (row.rm < 0 || row.rm === rm);
    const compiled = isMemory ? memory : register;
    if (isOurs && compiled !== UNDEFINED) return compiled;
    return old.cells?.[cell] ?? (isMemory ? old.memory : old.register);
  });
  const [first = UNDEFINED] = cells;
  return { modrm, cells, memory: first, register: cells[8] ?? UNDEFINED };
}
