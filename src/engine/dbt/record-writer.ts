/**
 * Writes the instruction whose fields were read last (x86/decode/fields.ts) as a record (see record.ts), into zeroed memory: what
 * an instruction has not stays 0.
 */
import { fields, isHighByte, registerNumber } from '../../x86/decode/fields.js';
import { CONSTANT_OPERANDS, KIND, KIND_SHIFT, LOW_MASK } from '../../x86/decode/operand.js';
import { BASE_RIP, NO_REGISTER, type RegisterFile } from '../../x86/insn.js';
import * as S from '../../x86/state.js';
import * as R from './record.js';

const RDI = 7;
/** BASE and INDEX of no register, and of RIP, whose value is not in memory. */
const ZERO = S.CPU_BASE + S.ZERO;
const GPR = S.CPU_BASE + S.GPR;

/** What the record's operand slot holds: a pointer into the vCPU state for value registers, a number for the others. */
const SLOTS: Readonly<Record<RegisterFile, readonly [base: number, stride: number]>> = {
  gpr: [GPR, 8],
  xmm: [S.CPU_BASE + S.XMM, 16],
  mmx: [S.CPU_BASE + S.FPR, 16],
  st: [0, 1],
  seg: [0, 1],
  cr: [0, 1],
  dr: [0, 1],
};
/** Operand slots of the registers that are always the same. */
const CONSTANT_SLOTS = CONSTANT_OPERANDS.map(({ file, index }) => SLOTS[file][0] + SLOTS[file][1] * index);

export class RecordWriter {
  private readonly i32: Int32Array;
  private readonly u16: Uint16Array;

  constructor(memory: WebAssembly.Memory) {
    this.i32 = new Int32Array(memory.buffer);
    this.u16 = new Uint16Array(memory.buffer);
  }

  /** `offset`, `next`: where in its page the instruction is, and what follows it. */
  write(at: number, handler: number, offset: number, next: number): void {
    const { row } = fields;
    this.i32[(at + R.HANDLER) >> 2] = handler;
    this.u16[(at + R.OFFSET) >> 1] = offset;
    this.u16[(at + R.NEXT) >> 1] = next;
    if (row.count > 0) this.writeOperand(at, 0, row.operand0, next);
    if (row.count > 1) this.writeOperand(at, 1, row.operand1, next);
    if (row.count > 2) this.writeOperand(at, 2, row.operand2, next);
    if (row.second !== 0) this.i32[(at + R.SCALE) >> 2] = fields.second;
  }

  /** The record that ends a block. */
  writeClose(at: number, handler: number, next: number): void {
    this.i32[(at + R.HANDLER) >> 2] = handler;
    this.u16[(at + R.OFFSET) >> 1] = next;
    this.u16[(at + R.NEXT) >> 1] = next;
  }

  private writeOperand(at: number, n: number, code: number, next: number): void {
    const { i32 } = this;
    const slot = (at + R.OPERAND + 4 * n) >> 2;
    const kind = code >> KIND_SHIFT;
    switch (kind) {
      case KIND.gprRm:
      case KIND.gprReg:
      case KIND.gprLow: {
        const number = registerNumber(kind);
        // AH is the second byte of RAX.
        i32[slot] = isHighByte(code) ? GPR + 8 * (number & 3) + 1 : GPR + 8 * number;
        break;
      }
      case KIND.memory:
      case KIND.source:
      case KIND.offset:
      case KIND.atRax:
      case KIND.atRbx:
      case KIND.atRdi:
        this.writeMemory(at, fields.base, fields.index, fields.scale, fields.displacement, fields.displacementHigh);
        break;
      case KIND.destination:
        this.writeMemory(at, RDI, NO_REGISTER, 0, 0, 0);
        break;
      case KIND.relativeByte:
      case KIND.relative: {
        const target = next + fields.immediate;
        this.writeWide(at + R.IMMEDIATE, target, target < 0 ? -1 : 0);
        break;
      }
      case KIND.far:
        this.writeWide(at + R.IMMEDIATE, fields.immediate, 0);
        this.writeWide(at + R.DISPLACEMENT, fields.second, 0);
        break;
      case KIND.immediate:
      case KIND.immediateSigned:
      case KIND.immediateByteSigned:
        this.writeWide(at + R.IMMEDIATE, fields.immediate, fields.immediateHigh);
        break;
      case KIND.one:
        this.writeWide(at + R.IMMEDIATE, 1, 0);
        break;
      case KIND.accumulator:
        i32[slot] = GPR;
        break;
      case KIND.xmmRm:
      case KIND.xmmReg:
        i32[slot] = SLOTS.xmm[0] + SLOTS.xmm[1] * registerNumber(kind);
        break;
      case KIND.mmxRm:
      case KIND.mmxReg:
        i32[slot] = SLOTS.mmx[0] + SLOTS.mmx[1] * registerNumber(kind);
        break;
      case KIND.constant:
        i32[slot] = CONSTANT_SLOTS[code & LOW_MASK];
        break;
      default:
        i32[slot] = registerNumber(kind);
    }
  }

  private writeMemory(at: number, base: number, index: number, scale: number, low: number, high: number): void {
    const { i32 } = this;
    i32[(at + R.BASE) >> 2] = base === NO_REGISTER || base === BASE_RIP ? ZERO : GPR + 8 * base;
    i32[(at + R.INDEX) >> 2] = index === NO_REGISTER ? ZERO : GPR + 8 * index;
    i32[(at + R.SCALE) >> 2] = scale;
    this.writeWide(at + R.DISPLACEMENT, low, high);
  }
  private writeWide(at: number, low: number, high: number): void {
    this.i32[at >> 2] = low;
    this.i32[(at >> 2) + 1] = high;
  }
}
