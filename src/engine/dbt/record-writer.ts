/** Writes instructions as records (see record.ts). */
import { BASE_RIP, type Insn, type MemoryOperand, NO_REGISTER, type Operand } from '../../x86/insn.js';
import * as S from '../../x86/state.js';
import { HANDLER_CLOSE, type Interpreter } from './interpreter.js';
import * as R from './record.js';

export class RecordWriter {
  private readonly i32: Int32Array;
  private readonly u16: Uint16Array;
  private readonly view: DataView;
  private readonly interpreter: Interpreter;

  constructor(memory: WebAssembly.Memory, interpreter: Interpreter) {
    this.i32 = new Int32Array(memory.buffer);
    this.u16 = new Uint16Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.interpreter = interpreter;
  }

  /** Records of a block's instructions, the first of which is at a page offset, and the closing one. */
  write(first: number, insns: readonly Insn[], key: number, offset: number): void {
    let at = first;
    let next = offset;
    const end = first + insns.length * R.RECORD_SIZE + R.CLOSE_SIZE;
    this.i32.fill(0, first >> 2, end >> 2);
    for (const insn of insns) {
      this.writeInstruction(at, insn, key, next);
      next += insn.length;
      at += R.RECORD_SIZE;
    }
    this.i32[(at + R.HANDLER) >> 2] = HANDLER_CLOSE;
    this.u16[(at + R.OFFSET) >> 1] = next;
    this.u16[(at + R.NEXT) >> 1] = next;
    this.interpreter.flush();
  }

  private writeInstruction(at: number, insn: Insn, key: number, offset: number): void {
    const { i32, view } = this;
    const next = offset + insn.length;
    i32[(at + R.HANDLER) >> 2] = this.interpreter.handler(insn, key);
    this.u16[(at + R.OFFSET) >> 1] = offset;
    this.u16[(at + R.NEXT) >> 1] = next;
    let immediates = 0;
    for (let n = 0; n < insn.operands.length; n++) {
      const op = insn.operands[n] as Operand;
      switch (op.kind) {
        case 'reg':
          if (n < 3) i32[(at + R.OPERAND + 4 * n) >> 2] = registerSlot(op);
          break;
        case 'mem':
          this.writeMemory(at, op);
          break;
        case 'imm':
          if (immediates++ === 0) view.setBigUint64(at + R.IMMEDIATE, op.value, true);
          else i32[(at + R.SCALE) >> 2] = Number(op.value);
          break;
        case 'rel':
          this.writeSigned(at + R.IMMEDIATE, next + op.disp);
          break;
        case 'far':
          this.writeSigned(at + R.IMMEDIATE, op.offset);
          this.writeSigned(at + R.DISPLACEMENT, op.selector);
          break;
      }
    }
  }

  private writeMemory(at: number, op: MemoryOperand): void {
    const pointer = (index: number): number =>
      S.CPU_BASE + (index === NO_REGISTER || index === BASE_RIP ? S.ZERO : S.GPR + 8 * index);
    this.i32[(at + R.BASE) >> 2] = pointer(op.base);
    this.i32[(at + R.INDEX) >> 2] = pointer(op.index);
    this.i32[(at + R.SCALE) >> 2] = op.scale;
    this.writeSigned(at + R.DISPLACEMENT, op.disp);
  }
  /** A whole number in eight bytes. */
  private writeSigned(at: number, value: number): void {
    this.i32[at >> 2] = value;
    this.i32[(at >> 2) + 1] = Math.floor(value / 0x1_0000_0000);
  }
}

/** What the record's operand slot holds: a pointer into the vCPU state for value registers, a number for the others. */
function registerSlot(op: Operand & { kind: 'reg' }): number {
  switch (op.file) {
    case 'gpr':
      return S.CPU_BASE + S.GPR + 8 * op.index + (op.high ? 1 : 0);
    case 'xmm':
      return S.CPU_BASE + S.XMM + 16 * op.index;
    case 'mmx':
      return S.CPU_BASE + S.FPR + 16 * op.index;
    default:
      return op.index;
  }
}
