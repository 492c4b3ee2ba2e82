/**
 * Bytes to a decoded instruction. Intel SDM Vol. 2, chapter "Instruction Format" and Appendix A.
 *
 *   [legacy prefixes] [REX] opcode (1-3 bytes) [ModRM] [SIB] [displacement] [immediates]
 *
 * One pass with the cursor in module variables: this is the cold path of every guest instruction, and it must not
 * allocate beyond what it returns. Reading past the end sets `overrun` and yields zeros; the end of `decode` sorts out
 * whether bytes were missing or the instruction is longer than 15 bytes.
 * VEX and EVEX are recognised but their features are not offered: #UD.
 */
import {
  BASE_RIP,
  type CodeSize,
  type FarOperand,
  type ImmediateOperand,
  type Insn,
  type MemoryOperand,
  NO_REGISTER,
  type Operand,
  type RelativeOperand,
  type Repeat,
  SEG,
} from '../insn.js';
import { asSize, CONSTANT_OPERANDS, KIND, KIND_SHIFT, LOW_MASK, SIZE_OF } from './operand.js';
import { PREFIX, PREFIXES_64, PREFIXES_LEGACY, REX_B, REX_R, REX_W, REX_X } from './prefixes.js';
import { BYTE_REGISTERS_LEGACY, CONTROL, DEBUG, GPR, MMX, SEGMENT, ST, XMM } from './registers.js';
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
  XCHG_R8,
} from './tables.js';

export { opcodeRows } from './tables.js';

/** SDM Vol. 2, "Instruction Prefixes": a longer instruction raises #GP(0). */
const MAX_LENGTH = 15;

const RSP = 4;
const RBP = 5;
const RSI = 6;
const RDI = 7;
const RAX = 0;
const RBX = 3;

/** The cursor and what the prefixes and ModRM said about the instruction being decoded. */
let code: Uint8Array = new Uint8Array(0);
let position = 0;
let limit = 0;
let overrun = false;
let invalid = false;
let mode64 = false;
let rex = 0;
/** SEG value or -1. */
let segmentOverride = -1;
let operandBytes: 1 | 2 | 4 | 8 = 4;
let addressBytes: 2 | 4 | 8 = 4;
let opcode = 0;
let modrm = 0;
let memorySegment = 0;
let memoryBase = 0;
let memoryIndex = 0;
let memoryScale = 0;
let memoryDisplacement = 0;

/**
 * Decodes the instruction at bytes[offset]; at most `available` bytes may be read. Returns 'truncated' where the
 * instruction goes on past them. What is undefined becomes `ud`, what is longer than 15 bytes `gp`.
 */
export function decode(bytes: Uint8Array, offset: number, available: number, codeSize: CodeSize): Insn | 'truncated' {
  const room = Math.min(available, bytes.length - offset);
  code = bytes;
  position = offset;
  limit = offset + Math.min(room, MAX_LENGTH);
  overrun = false;
  invalid = false;
  mode64 = codeSize === 64;
  rex = 0;
  segmentOverride = -1;

  const prefixes = mode64 ? PREFIXES_64 : PREFIXES_LEGACY;
  let operandPrefix = 0;
  let addressPrefix = false;
  let lock = false;
  let repeatPrefix = 0;
  for (;;) {
    if (position >= limit) return outOfBytes(room, codeSize);
    opcode = code[position++];
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
    else if (prefix >= PREFIX.segment) segmentOverride = prefix - PREFIX.segment;
  }
  if (mode64) addressBytes = addressPrefix ? 4 : 8;
  else addressBytes = (codeSize === 16) === addressPrefix ? 4 : 2;

  let map = MAP_ONE_BYTE;
  if (opcode === 0x0f) {
    map = MAP_0F;
    opcode = nextByte();
    if (opcode === 0x38) {
      map = MAP_0F38;
      opcode = nextByte();
    } else if (opcode === 0x3a) {
      map = MAP_0F3A;
      opcode = nextByte();
    }
    if (overrun) return outOfBytes(room, codeSize);
  } else if (opcode === 0xc4 || opcode === 0xc5 || opcode === 0x62) {
    if (position >= limit) return outOfBytes(room, codeSize);
    if (mode64 || code[position] >= 0xc0) return vector(offset, room, codeSize);
  }

  const column = repeatPrefix === 0xf3 ? 2 : repeatPrefix === 0xf2 ? 3 : operandPrefix >> 1;
  const slot: Slot =
    opcode === 0x90 && map === MAP_ONE_BYTE && (rex & REX_B) !== 0
      ? XCHG_R8
      : SLOTS[((mode64 ? 1 : 0) << 12) | (column << 10) | (map << 8) | opcode];
  let row: CompiledRow = slot.memory;
  if (slot.modrm) {
    if (position >= limit) return outOfBytes(room, codeSize);
    modrm = code[position++];
    if (slot.cells !== null) row = slot.cells[modrmCell(modrm)];
    else if (modrm >= 0xc0) row = slot.register;
  }
  if (row.id < 0 || (lock && !row.lock)) return undefinedAt(offset, codeSize);

  const mode = codeSize >> 5;
  operandBytes = OPERAND_SIZE[
    (row.sizeRule << 4) | (mode << 2) | operandPrefix | ((rex & REX_W) >> 3)
  ] as typeof operandBytes;
  if (row.memory) {
    if (addressBytes === 2) parseMemory16();
    else parseMemory();
  }
  const operands = parseOperands(row);
  if (overrun) return outOfBytes(room, codeSize);
  if (invalid) return undefinedAt(offset, codeSize);

  const nameSize = row.byAddressSize ? addressBytes : operandBytes;
  return {
    mnemonic: nameSize === 8 ? row.mnemonic64 : nameSize === 4 ? row.mnemonic32 : row.mnemonic16,
    length: position - offset,
    operandSize: operandBytes,
    addressSize: addressBytes,
    codeSize,
    operands,
    cond: row.cond < 0 ? opcode & 15 : row.cond,
    lock,
    repeat: repeatPrefix === 0 ? 'none' : repeatOf(row.repeat, repeatPrefix),
  };
}

/** F2 repeats MOVS, STOS, LODS, INS and OUTS as F3 does; elsewhere than on string instructions both mean nothing. */
function repeatOf(kind: number, prefix: number): Repeat {
  if (kind === REPEAT.none) return 'none';
  return kind === REPEAT.repz && prefix === 0xf2 ? 'repne' : 'rep';
}

function outOfBytes(room: number, codeSize: CodeSize): Insn | 'truncated' {
  return room < MAX_LENGTH ? 'truncated' : fault('gp', MAX_LENGTH, codeSize);
}

function undefinedAt(offset: number, codeSize: CodeSize): Insn {
  return fault('ud', position - offset, codeSize);
}

function fault(mnemonic: 'ud' | 'gp', length: number, codeSize: CodeSize): Insn {
  return {
    mnemonic,
    length,
    operandSize: 4,
    addressSize: addressBytes,
    codeSize,
    operands: [],
    cond: 0,
    lock: false,
    repeat: 'none',
  };
}

/** VEX and EVEX: prefix, opcode and ModRM are taken so that the length is that of the shortest form. */
function vector(offset: number, room: number, codeSize: CodeSize): Insn | 'truncated' {
  const payload = opcode === 0xc5 ? 1 : opcode === 0xc4 ? 2 : 3;
  position += payload + 2;
  if (position > limit) return outOfBytes(room, codeSize);
  return undefinedAt(offset, codeSize);
}

function nextByte(): number {
  if (position < limit) return code[position++];
  overrun = true;
  return 0;
}

function nextSigned8(): number {
  return (nextByte() << 24) >> 24;
}

function next16(): number {
  const low = nextByte();
  return low | (nextByte() << 8);
}

function nextSigned16(): number {
  return (next16() << 16) >> 16;
}

/** As a signed 32-bit number. */
function next32(): number {
  if (position + 4 <= limit) {
    const at = position;
    position = at + 4;
    return code[at] | (code[at + 1] << 8) | (code[at + 2] << 16) | (code[at + 3] << 24);
  }
  overrun = true;
  return 0;
}

/** SDM Vol. 2, "16-Bit Addressing Forms with the ModR/M Byte": base and index by rm. */
const BASES_16: readonly number[] = [RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX];
const INDEXES_16: readonly number[] = [RSI, RDI, RSI, RDI, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER];

function parseMemory16(): void {
  const mod = modrm >> 6;
  const rm = modrm & 7;
  memoryScale = 0;
  if (mod === 0 && rm === 6) {
    memoryBase = NO_REGISTER;
    memoryIndex = NO_REGISTER;
    memoryDisplacement = nextSigned16();
  } else {
    memoryBase = BASES_16[rm];
    memoryIndex = INDEXES_16[rm];
    memoryDisplacement = mod === 0 ? 0 : mod === 1 ? nextSigned8() : nextSigned16();
  }
  memorySegment = segmentFor(memoryBase);
}

/** SDM Vol. 2, "32-Bit Addressing Forms with the ModR/M Byte" and "... with the SIB Byte", with REX. */
function parseMemory(): void {
  const mod = modrm >> 6;
  let base = modrm & 7;
  memoryIndex = NO_REGISTER;
  memoryScale = 0;
  let absolute = false;
  if (base === RSP) {
    const sib = nextByte();
    const index = ((sib >> 3) & 7) | ((rex & REX_X) << 2);
    if (index !== RSP) {
      memoryIndex = index;
      memoryScale = sib >> 6;
    }
    base = sib & 7;
    absolute = mod === 0 && base === RBP;
  } else if (mod === 0 && base === RBP) {
    memoryBase = mode64 ? BASE_RIP : NO_REGISTER;
    memoryDisplacement = next32();
    memorySegment = segmentFor(memoryBase);
    return;
  }
  memoryBase = absolute ? NO_REGISTER : base | ((rex & REX_B) << 3);
  memoryDisplacement = absolute || mod === 2 ? next32() : mod === 1 ? nextSigned8() : 0;
  memorySegment = segmentFor(memoryBase);
}

/** SS where the base is the stack or frame pointer (R12 and R13 are not), else DS. */
function segmentFor(base: number): number {
  if (segmentOverride >= 0) return segmentOverride;
  return base === RSP || base === RBP ? SEG.ss : SEG.ds;
}

function parseOperands(row: CompiledRow): readonly Operand[] {
  switch (row.count) {
    case 0:
      return [];
    case 1:
      return [parseOperand(row.operand0)];
    case 2:
      return [parseOperand(row.operand0), parseOperand(row.operand1)];
    default:
      return [parseOperand(row.operand0), parseOperand(row.operand1), parseOperand(row.operand2)];
  }
}

/** Called in operand order, which is the order of immediates in the byte stream. */
function parseOperand(operandCode: number): Operand {
  const low = operandCode & LOW_MASK;
  const size = SIZE_OF[(low << 5) | ((mode64 ? 1 : 0) << 4) | operandBytes];
  switch (operandCode >> KIND_SHIFT) {
    case KIND.memory:
      return memory(size, memorySegment, memoryBase, memoryIndex, memoryScale, memoryDisplacement);
    case KIND.gprRm:
      return generalRegister(size, (modrm & 7) | ((rex & REX_B) << 3));
    case KIND.gprReg:
      return generalRegister(size, regField());
    case KIND.gprLow:
      return generalRegister(size, (opcode & 7) | ((rex & REX_B) << 3));
    case KIND.xmmRm:
      return XMM[size][(modrm & 7) | ((rex & REX_B) << 3)];
    case KIND.xmmReg:
      return XMM[size][regField()];
    case KIND.mmxRm:
      return MMX[size][modrm & 7];
    case KIND.mmxReg:
      return MMX[size][(modrm >> 3) & 7];
    case KIND.immediate:
      return { kind: 'imm', size: asSize(size), value: nextUnsigned(size) };
    case KIND.immediateSigned:
      return signedImmediate(size, size === 2 ? nextSigned16() : next32());
    case KIND.immediateByteSigned:
      return signedImmediate(size, nextSigned8());
    case KIND.relativeByte:
      return relative(nextSigned8());
    case KIND.relative:
      return relative(operandBytes === 2 ? nextSigned16() : next32());
    case KIND.constant:
      return CONSTANT_OPERANDS[low];
    case KIND.accumulator:
      return GPR[size][RAX];
    case KIND.one:
      return { kind: 'imm', size: 1, value: 1n };
    default:
      return parseRareOperand(operandCode >> KIND_SHIFT, size);
  }
}

function parseRareOperand(kind: number, size: number): Operand {
  switch (kind) {
    case KIND.stackRm:
      return ST[modrm & 7];
    case KIND.source:
      return memory(size, segmentOverride >= 0 ? segmentOverride : SEG.ds, RSI, NO_REGISTER, 0, 0);
    case KIND.destination:
      return memory(size, SEG.es, RDI, NO_REGISTER, 0, 0);
    case KIND.offset:
      return memory(size, segmentFor(NO_REGISTER), NO_REGISTER, NO_REGISTER, 0, nextOffset());
    case KIND.atRax:
      return memory(size, segmentFor(RAX), RAX, NO_REGISTER, 0, 0);
    case KIND.atRbx:
      return memory(size, segmentFor(RBX), RBX, NO_REGISTER, 0, 0);
    case KIND.atRdi:
      return memory(size, segmentFor(RDI), RDI, NO_REGISTER, 0, 0);
    case KIND.far:
      return far(size);
    case KIND.control:
      return controlRegister(size);
    case KIND.debug:
      // There is no DR8-DR15: #UD.
      if ((rex & REX_R) !== 0) invalid = true;
      return DEBUG[size][regField()];
    case KIND.segmentLoad:
      if (((modrm >> 3) & 7) === SEG.cs) invalid = true;
      return segmentField();
    default:
      return segmentField();
  }
}

function regField(): number {
  return ((modrm >> 3) & 7) | ((rex & REX_R) << 1);
}

/** Without REX, byte registers 4-7 are AH CH DH BH. */
function generalRegister(size: number, index: number): Operand {
  return size === 1 && rex === 0 ? BYTE_REGISTERS_LEGACY[index] : GPR[size][index];
}

/** REX.R is ignored; 6 and 7 are undefined. */
function segmentField(): Operand {
  const index = (modrm >> 3) & 7;
  if (index <= SEG.gs) return SEGMENT[index];
  invalid = true;
  return SEGMENT[0];
}

/** CR0 CR2 CR3 CR4 CR8 exist. */
function controlRegister(size: number): Operand {
  const index = regField();
  if (index === 1 || (index > 4 && index !== 8)) invalid = true;
  return CONTROL[size][index];
}

function memory(size: number, seg: number, base: number, index: number, scale: number, disp: number): MemoryOperand {
  return { kind: 'mem', size: asSize(size), seg, base, index, scale, disp };
}

/** The target wraps at the operand size; in 64-bit mode that is always 8. */
function relative(disp: number): RelativeOperand {
  return { kind: 'rel', size: operandBytes, disp };
}

/** A moffs is as wide as the address. */
function nextOffset(): number {
  if (addressBytes === 2) return nextSigned16();
  const low = next32();
  return addressBytes === 4 ? low : next32() * 0x1_0000_0000 + (low >>> 0);
}

function far(size: number): FarOperand {
  const offset = operandBytes === 2 ? next16() : next32() >>> 0;
  return { kind: 'far', size: asSize(size), selector: next16(), offset };
}

/** Turns two 32-bit halves into a BigInt without BigInt arithmetic. */
const scratch = new DataView(new ArrayBuffer(8));

function nextUnsigned(size: number): bigint {
  if (size === 1) return BYTES[nextByte()];
  scratch.setUint32(0, size === 2 ? next16() : next32(), true);
  scratch.setUint32(4, size === 8 ? next32() : 0, true);
  return scratch.getBigUint64(0, true);
}

const BYTES: readonly bigint[] = Array.from({ length: 256 }, (_, value) => BigInt(value));

function signedImmediate(size: number, value: number): ImmediateOperand {
  if (value >= 0 && value < 256) return { kind: 'imm', size: asSize(size), value: BYTES[value] };
  scratch.setUint32(0, size === 2 ? value & 0xffff : value, true);
  scratch.setInt32(4, size === 8 ? value >> 31 : 0, true);
  return { kind: 'imm', size: asSize(size), value: scratch.getBigUint64(0, true) };
}
