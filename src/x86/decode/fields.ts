/**
 * Bytes to the fields of an instruction: which row of the opcode tables, and every number that the bytes hold. Intel SDM
 * Vol. 2, chapter "Instruction Format" and Appendix A.
 *
 *   [legacy prefixes] [REX] opcode (1-3 bytes) [ModRM] [SIB] [displacement] [immediates]
 *
 * This is the cold path of every guest instruction: one pass over the bytes into one record of small integers, which the
 * next call overwrites; nothing is allocated. decoder.ts makes a value of it.
 * VEX and EVEX are recognised but their features are not offered: #UD.
 */
import { BASE_RIP, type CodeSize, NO_REGISTER, SEG } from '../insn.js';
import { KIND, KIND_SHIFT, LOW_MASK, SIZE_OF } from './operand.js';
import { PREFIX, PREFIXES_64, PREFIXES_LEGACY, REX_B, REX_R, REX_W, REX_X } from './prefixes.js';
import {
  type CompiledRow,
  MAP_0F,
  MAP_0F3A,
  MAP_0F38,
  MAP_ONE_BYTE,
  modrmCell,
  OPERAND_SIZE,
  REPEAT,
  SLOTS,
  type Slot,
  TOO_LONG,
  UNDEFINED,
  XCHG_R8,
} from './tables.js';

/** SDM Vol. 2, "Instruction Prefixes": a longer instruction raises #GP(0). */
const MAX_LENGTH = 15;

const RSP = 4;
const RBP = 5;
const RSI = 6;
const RDI = 7;
const RAX = 0;
const RBX = 3;

/** What `readFields` found. 64-bit numbers are two signed halves, which every engine keeps as small integers. */
export interface Fields {
  row: CompiledRow;
  codeSize: CodeSize;
  operandSize: 1 | 2 | 4 | 8;
  addressSize: 2 | 4 | 8;
  opcode: number;
  modrm: number;
  /** The REX prefix, 0: none. */
  rex: number;
  cond: number;
  lock: boolean;
  /** Of REPEATS. */
  repeat: number;
  /** The memory operand that can have a segment override, where the row has one; as in MemoryOperand. */
  segment: number;
  base: number;
  index: number;
  scale: number;
  displacement: number;
  displacementHigh: number;
  /** First immediate (extended as the manual says, as an unsigned number), displacement of a jump, or offset of a far pointer. */
  immediate: number;
  immediateHigh: number;
  /** Second immediate, or selector of a far pointer. */
  second: number;
}

export const REPEATS = { none: 0, rep: 1, repne: 2 } as const;

export const fields: Fields = {
  row: UNDEFINED,
  codeSize: 64,
  operandSize: 4,
  addressSize: 8,
  opcode: 0,
  modrm: 0,
  rex: 0,
  cond: 0,
  lock: false,
  repeat: 0,
  segment: 0,
  base: NO_REGISTER,
  index: NO_REGISTER,
  scale: 0,
  displacement: 0,
  displacementHigh: 0,
  immediate: 0,
  immediateHigh: 0,
  second: 0,
};

/**
 * Reads the instruction at bytes[offset] into `fields`; its length, or 0 where it goes on past the `available` bytes. What
 * is undefined becomes row UNDEFINED, what is longer than 15 bytes TOO_LONG. Bytes behind those available are looked at, but
 * do not matter then.
 */
export function readFields(bytes: Uint8Array, offset: number, available: number, codeSize: CodeSize): number {
  const room = Math.min(available, bytes.length - offset);
  const limit = offset + Math.min(room, MAX_LENGTH);
  const mode64 = codeSize === 64;
  const prefixes = mode64 ? PREFIXES_64 : PREFIXES_LEGACY;
  let at = offset;
  let opcode = 0;
  let rex = 0;
  let operandPrefix = 0;
  let addressPrefix = false;
  let lock = false;
  let repeatPrefix = 0;
  let override = -1;
  fields.codeSize = codeSize;
  for (;;) {
    if (at >= limit) return outOfBytes(room);
    opcode = bytes[at++];
    const prefix = prefixes[opcode];
    if (prefix === PREFIX.none) break;
    if (prefix === PREFIX.rex) {
      rex = opcode;
      continue;
    }
    // A REX that is not right before the opcode is ignored.
    rex = 0;
    if (prefix === PREFIX.operandSize) operandPrefix = 2;
    else if (prefix === PREFIX.addressSize) addressPrefix = true;
    else if (prefix === PREFIX.lock) lock = true;
    else if (prefix === PREFIX.rep || prefix === PREFIX.repne) repeatPrefix = opcode;
    else if (prefix >= PREFIX.segment) override = prefix - PREFIX.segment;
  }
  const addressSize = mode64 ? (addressPrefix ? 4 : 8) : (codeSize === 16) === addressPrefix ? 4 : 2;
  fields.addressSize = addressSize;
  fields.rex = rex;

  let map = MAP_ONE_BYTE;
  if (opcode === 0x0f) {
    map = MAP_0F;
    opcode = bytes[at++] | 0;
    if (opcode === 0x38 || opcode === 0x3a) {
      map = opcode === 0x38 ? MAP_0F38 : MAP_0F3A;
      opcode = bytes[at++] | 0;
    }
    if (at > limit) return outOfBytes(room);
  } else if (opcode === 0xc4 || opcode === 0xc5 || opcode === 0x62) {
    if (at >= limit) return outOfBytes(room);
    // Prefix, opcode and ModRM are taken so that the length is that of the shortest form.
    if (mode64 || bytes[at] >= 0xc0) {
      at += (opcode === 0xc5 ? 1 : opcode === 0xc4 ? 2 : 3) + 2;
      return at > limit ? outOfBytes(room) : undefinedAt(at - offset);
    }
  }
  fields.opcode = opcode;

  const column = repeatPrefix === 0xf3 ? 2 : repeatPrefix === 0xf2 ? 3 : operandPrefix >> 1;
  const slot: Slot =
    opcode === 0x90 && map === MAP_ONE_BYTE && (rex & REX_B) !== 0
      ? XCHG_R8
      : SLOTS[((mode64 ? 1 : 0) << 12) | (column << 10) | (map << 8) | opcode];
  let row: CompiledRow = slot.memory;
  let modrm = 0;
  if (slot.modrm) {
    if (at >= limit) return outOfBytes(room);
    modrm = bytes[at++];
    if (slot.cells !== null) row = slot.cells[modrmCell(modrm)];
    else if (modrm >= 0xc0) row = slot.register;
  }
  if (row.id < 0 || (lock && !row.lock)) return undefinedAt(at - offset);

  fields.row = row;
  fields.modrm = modrm;
  fields.operandSize = OPERAND_SIZE[
    (row.sizeRule << 4) | ((codeSize >> 5) << 2) | operandPrefix | ((rex & REX_W) >> 3)
  ] as Fields['operandSize'];
  fields.cond = row.cond < 0 ? opcode & 15 : row.cond;
  fields.lock = lock;
  fields.repeat = repeatPrefix === 0 ? REPEATS.none : repeatOf(row.repeat, repeatPrefix);
  if (row.memory) {
    at = addressSize === 2 ? readMemory16(bytes, at, override) : readMemory(bytes, at, override);
  } else if (row.implicit !== 0) {
    setMemory(override >= 0 ? override : SEG.ds, IMPLICIT_BASES[row.implicit], NO_REGISTER, 0, 0);
  }
  if (row.first !== 0) {
    at = readFirst(bytes, at, row.first);
    if (row.second !== 0) at = readSecond(bytes, at, row.second);
  }
  if (at > limit) return outOfBytes(room);
  if (row.mayLackRegister && lacksRegister(row)) return undefinedAt(at - offset);
  return at - offset;
}

/** F2 repeats MOVS, STOS, LODS, INS and OUTS as F3 does; elsewhere than on string instructions both mean nothing. */
function repeatOf(kind: number, prefix: number): number {
  if (kind === REPEAT.none) return REPEATS.none;
  return kind === REPEAT.repz && prefix === 0xf2 ? REPEATS.repne : REPEATS.rep;
}

function outOfBytes(room: number): number {
  return room < MAX_LENGTH ? 0 : fault(TOO_LONG, MAX_LENGTH);
}

function undefinedAt(length: number): number {
  return fault(UNDEFINED, length);
}

function fault(row: CompiledRow, length: number): number {
  fields.row = row;
  fields.operandSize = 4;
  fields.cond = 0;
  fields.lock = false;
  fields.repeat = REPEATS.none;
  return length;
}

function signed8(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) >> 24;
}
function unsigned16(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8);
}
function signed16(bytes: Uint8Array, at: number): number {
  return (unsigned16(bytes, at) << 16) >> 16;
}
function signed32(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

// ---- memory operands: each reader returns where the bytes go on ----

function setMemory(segment: number, base: number, index: number, scale: number, displacement: number): void {
  fields.segment = segment;
  fields.base = base;
  fields.index = index;
  fields.scale = scale;
  fields.displacement = displacement;
  fields.displacementHigh = displacement >> 31;
}

/** Bases of memory operands that have no ModRM, by kind. */
const IMPLICIT_BASES: readonly number[] = Object.values(KIND).map((kind) =>
  kind === KIND.source ? RSI : kind === KIND.atRax ? RAX : kind === KIND.atRbx ? RBX : kind === KIND.atRdi ? RDI : -1,
);

/** SDM Vol. 2, "16-Bit Addressing Forms with the ModR/M Byte": base and index by rm. */
const BASES_16: readonly number[] = [RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX];
const INDEXES_16: readonly number[] = [RSI, RDI, RSI, RDI, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER];

function readMemory16(bytes: Uint8Array, from: number, override: number): number {
  const mod = fields.modrm >> 6;
  const rm = fields.modrm & 7;
  if (mod === 0 && rm === 6) {
    setMemory(segmentFor(NO_REGISTER, override), NO_REGISTER, NO_REGISTER, 0, signed16(bytes, from));
    return from + 2;
  }
  const base = BASES_16[rm];
  const displacement = mod === 0 ? 0 : mod === 1 ? signed8(bytes, from) : signed16(bytes, from);
  setMemory(segmentFor(base, override), base, INDEXES_16[rm], 0, displacement);
  return from + mod;
}

/** SDM Vol. 2, "32-Bit Addressing Forms with the ModR/M Byte" and "... with the SIB Byte", with REX. */
function readMemory(bytes: Uint8Array, from: number, override: number): number {
  const { rex, modrm } = fields;
  const mod = modrm >> 6;
  let at = from;
  let base = modrm & 7;
  let index = NO_REGISTER;
  let scale = 0;
  let isAbsolute = false;
  if (base === RSP) {
    const sib = bytes[at++];
    const number = ((sib >> 3) & 7) | ((rex & REX_X) << 2);
    if (number !== RSP) {
      index = number;
      scale = sib >> 6;
    }
    base = sib & 7;
    isAbsolute = mod === 0 && base === RBP;
  } else if (mod === 0 && base === RBP) {
    base = fields.codeSize === 64 ? BASE_RIP : NO_REGISTER;
    setMemory(segmentFor(base, override), base, NO_REGISTER, 0, signed32(bytes, at));
    return at + 4;
  }
  base = isAbsolute ? NO_REGISTER : base | ((rex & REX_B) << 3);
  let displacement = 0;
  if (isAbsolute || mod === 2) {
    displacement = signed32(bytes, at);
    at += 4;
  } else if (mod === 1) {
    displacement = signed8(bytes, at++);
  }
  setMemory(segmentFor(base, override), base, index, scale, displacement);
  return at;
}

/** SS where the base is the stack or frame pointer (R12 and R13 are not), else DS. */
function segmentFor(base: number, override: number): number {
  if (override >= 0) return override;
  return base === RSP || base === RBP ? SEG.ss : SEG.ds;
}

// ---- immediates: each reader returns where the bytes go on ----

function readFirst(bytes: Uint8Array, at: number, code: number): number {
  const size = operandSizeOf(code);
  switch (code >> KIND_SHIFT) {
    case KIND.immediate:
      return setImmediateTo(unsigned(bytes, at, size), size === 8 ? signed32(bytes, at + 4) : 0, at + size);
    case KIND.immediateSigned:
      return size === 2
        ? setImmediateTo(unsigned16(bytes, at), 0, at + 2)
        : setExtended(signed32(bytes, at), size, at + 4);
    case KIND.immediateByteSigned:
      return setExtended(signed8(bytes, at), size, at + 1);
    case KIND.relativeByte:
      return setImmediateTo(signed8(bytes, at), 0, at + 1);
    case KIND.relative:
      if (fields.operandSize === 2) return setImmediateTo(signed16(bytes, at), 0, at + 2);
      return setImmediateTo(signed32(bytes, at), 0, at + 4);
    case KIND.far: {
      const bytesOfOffset = fields.operandSize === 2 ? 2 : 4;
      fields.second = unsigned16(bytes, at + bytesOfOffset);
      return setImmediateTo(unsigned(bytes, at, bytesOfOffset), 0, at + bytesOfOffset + 2);
    }
    default:
      return readOffset(bytes, at);
  }
}

/** Of up to four bytes. */
function unsigned(bytes: Uint8Array, at: number, size: number): number {
  return size === 1 ? bytes[at] | 0 : size === 2 ? unsigned16(bytes, at) : signed32(bytes, at);
}

function setImmediateTo(low: number, high: number, next: number): number {
  fields.immediate = low;
  fields.immediateHigh = high;
  return next;
}
function setExtended(value: number, size: number, next: number): number {
  return setImmediateTo(size === 2 ? value & 0xffff : value, size === 8 ? value >> 31 : 0, next);
}

/** A moffs is as wide as the address. */
function readOffset(bytes: Uint8Array, at: number): number {
  const { addressSize } = fields;
  fields.displacement = addressSize === 2 ? signed16(bytes, at) : signed32(bytes, at);
  fields.displacementHigh = addressSize === 8 ? signed32(bytes, at + 4) : fields.displacement >> 31;
  return at + addressSize;
}

/** Only plain immediates come second: ENTER's. */
function readSecond(bytes: Uint8Array, at: number, code: number): number {
  const size = operandSizeOf(code);
  fields.second = unsigned(bytes, at, size);
  return at + size;
}

// ---- operands ----

export function operandSizeOf(code: number): number {
  return SIZE_OF[((code & LOW_MASK) << 5) | ((fields.codeSize === 64 ? 1 : 0) << 4) | fields.operandSize];
}

/** Number of the register that an operand of this kind names. */
export function registerNumber(kind: number): number {
  const { modrm, rex } = fields;
  switch (kind) {
    case KIND.gprRm:
    case KIND.xmmRm:
      return (modrm & 7) | ((rex & REX_B) << 3);
    case KIND.gprLow:
      return (fields.opcode & 7) | ((rex & REX_B) << 3);
    case KIND.mmxRm:
    case KIND.stackRm:
      return modrm & 7;
    case KIND.mmxReg:
    case KIND.segment:
    case KIND.segmentLoad:
      return (modrm >> 3) & 7;
    case KIND.accumulator:
      return RAX;
    default:
      return ((modrm >> 3) & 7) | ((rex & REX_R) << 1);
  }
}

/** Without REX, byte registers 4-7 are AH CH DH BH. */
export function isHighByte(code: number): boolean {
  const kind = code >> KIND_SHIFT;
  return (
    kind >= KIND.gprRm &&
    kind <= KIND.gprLow &&
    fields.rex === 0 &&
    registerNumber(kind) > 3 &&
    operandSizeOf(code) === 1
  );
}

/** Registers that do not exist: DR8-DR15, most control registers, segment registers 6 and 7, CS as a destination. */
function lacksRegister(row: CompiledRow): boolean {
  return lacks(row.operand0) || (row.count > 1 && lacks(row.operand1));
}
function lacks(code: number): boolean {
  const kind = code >> KIND_SHIFT;
  const number = registerNumber(kind);
  switch (kind) {
    case KIND.debug:
      return number > 7;
    case KIND.control:
      return number === 1 || (number > 4 && number !== 8);
    case KIND.segmentLoad:
      return number === SEG.cs || number > SEG.gs;
    case KIND.segment:
      return number > SEG.gs;
    default:
      return false;
  }
}

// ---- forms ----

/**
 * 31 bits that say more than which handler fits the instruction (see form.ts): row(11), operand size(2), address size(2),
 * code size(2), LOCK, repetition(2), condition(4), index, RIP, segment(3), a bit for each of two operands that is AH CH DH BH.
 */
export function formKey(): number {
  const { row, operandSize, addressSize } = fields;
  const sizes = ((operandSize === 8 ? 3 : operandSize >> 1) << 4) | ((addressSize >> 2) << 2) | (fields.codeSize >> 5);
  let key = (row.number << 20) | (sizes << 14) | (fields.repeat << 11) | (fields.cond << 7);
  if (fields.lock) key |= 1 << 13;
  if (row.memory || row.implicit !== 0) {
    key |= fields.segment << 2;
    if (fields.index !== NO_REGISTER) key |= 1 << 6;
    if (fields.base === BASE_RIP) key |= 1 << 5;
  }
  if (row.hasByteRegister && fields.rex === 0) {
    if (isHighByte(row.operand0)) key |= 2;
    if (row.count > 1 && isHighByte(row.operand1)) key |= 1;
  }
  return key;
}
