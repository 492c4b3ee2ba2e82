/**
 * A decoded instruction as a value, from the fields of its bytes (fields.ts). Register operands are shared objects; who needs
 * no value works on the fields.
 */
import type { CodeSize, ImmediateOperand, Insn, MemoryOperand, Operand, Repeat } from '../insn.js';
import { NO_REGISTER, SEG } from '../insn.js';
import { fields, isHighByte, operandSizeOf, readFields, registerNumber } from './fields.js';
import { asSize, CONSTANT_OPERANDS, KIND, KIND_SHIFT, LOW_MASK } from './operand.js';
import { BYTE_REGISTERS_LEGACY, CONTROL, DEBUG, GPR, MMX, SEGMENT, ST, XMM } from './registers.js';
import type { CompiledRow } from './tables.js';

export { opcodeRows } from './tables.js';

/**
 * Decodes the instruction at bytes[offset]; at most `available` bytes count. Returns 'truncated' where the instruction
 * goes on past them. What is undefined becomes `ud`, what is longer than 15 bytes `gp`.
 */
export function decode(bytes: Uint8Array, offset: number, available: number, codeSize: CodeSize): Insn | 'truncated' {
  const length = readFields(bytes, offset, available, codeSize);
  return length === 0 ? 'truncated' : insnOfFields(length);
}

const RDI = 7;
const REPEAT_NAMES: readonly Repeat[] = ['none', 'rep', 'repne'];

/** The instruction of so many bytes that was read last. */
export function insnOfFields(length: number): Insn {
  const { row, operandSize, addressSize, codeSize, cond, lock, repeat } = fields;
  const nameSize = row.byAddressSize ? addressSize : operandSize;
  return {
    mnemonic: nameSize === 8 ? row.mnemonic64 : nameSize === 4 ? row.mnemonic32 : row.mnemonic16,
    length,
    operandSize,
    addressSize,
    codeSize,
    operands: operandsOf(row),
    cond,
    lock,
    repeat: REPEAT_NAMES[repeat],
  };
}

function operandsOf(row: CompiledRow): readonly Operand[] {
  switch (row.count) {
    case 0:
      return [];
    case 1:
      return [operand(row.operand0)];
    case 2:
      return [operand(row.operand0), row.second === 0 ? operand(row.operand1) : secondImmediate(row)];
    default:
      return [operand(row.operand0), operand(row.operand1), operand(row.operand2)];
  }
}

function operand(code: number): Operand {
  const size = operandSizeOf(code);
  const kind = code >> KIND_SHIFT;
  switch (kind) {
    case KIND.memory:
    case KIND.source:
    case KIND.offset:
    case KIND.atRax:
    case KIND.atRbx:
    case KIND.atRdi:
      return memory(size);
    case KIND.destination:
      return { kind: 'mem', size: asSize(size), seg: SEG.es, base: RDI, index: NO_REGISTER, scale: 0, disp: 0 };
    case KIND.gprRm:
    case KIND.gprReg:
    case KIND.gprLow:
      return isHighByte(code) ? BYTE_REGISTERS_LEGACY[registerNumber(kind)] : GPR[size][registerNumber(kind)];
    case KIND.accumulator:
      return GPR[size][registerNumber(kind)];
    case KIND.xmmRm:
    case KIND.xmmReg:
      return XMM[size][registerNumber(kind)];
    case KIND.mmxRm:
    case KIND.mmxReg:
      return MMX[size][registerNumber(kind)];
    case KIND.stackRm:
      return ST[registerNumber(kind)];
    case KIND.control:
      return CONTROL[size][registerNumber(kind)];
    case KIND.debug:
      return DEBUG[size][registerNumber(kind)];
    case KIND.segment:
    case KIND.segmentLoad:
      return SEGMENT[registerNumber(kind)];
    case KIND.constant:
      return CONSTANT_OPERANDS[code & LOW_MASK];
    case KIND.one:
      return { kind: 'imm', size: 1, value: 1n };
    case KIND.relativeByte:
    case KIND.relative:
      // The target wraps at the operand size; in 64-bit mode that is always 8.
      return { kind: 'rel', size: fields.operandSize, disp: fields.immediate };
    case KIND.far:
      return { kind: 'far', size: asSize(size), selector: fields.second, offset: fields.immediate >>> 0 };
    default:
      return { kind: 'imm', size: asSize(size), value: firstImmediate() };
  }
}

function memory(size: number): MemoryOperand {
  const { segment: seg, base, index, scale, displacement, displacementHigh } = fields;
  const disp = displacementHigh === displacement >> 31 ? displacement : wide(displacement, displacementHigh);
  return { kind: 'mem', size: asSize(size), seg, base, index, scale, disp };
}

/** Exact below 2^53. */
function wide(low: number, high: number): number {
  return high * 0x1_0000_0000 + (low >>> 0);
}

/** Turns two 32-bit halves into a BigInt without BigInt arithmetic. */
const scratch = new DataView(new ArrayBuffer(8));
const BYTES: readonly bigint[] = Array.from({ length: 256 }, (_, value) => BigInt(value));

function firstImmediate(): bigint {
  const { immediate, immediateHigh } = fields;
  if (immediateHigh === 0 && immediate >= 0 && immediate < 256) return BYTES[immediate];
  scratch.setInt32(0, immediate, true);
  scratch.setInt32(4, immediateHigh, true);
  return scratch.getBigUint64(0, true);
}
function secondImmediate(row: CompiledRow): ImmediateOperand {
  return { kind: 'imm', size: asSize(operandSizeOf(row.second)), value: BigInt(fields.second) };
}
