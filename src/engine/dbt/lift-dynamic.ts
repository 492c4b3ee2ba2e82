/**
 * Lifting with operands unknown: every register number, displacement and immediate is a field of the record the
 * handler gets. The interpreter is the translator run with nothing known.
 */
import type { Value } from '../../ir/value.js';
import { Value as Node } from '../../ir/value.js';
import {
  BASE_RIP,
  type FarOperand,
  type ImmediateOperand,
  type Insn,
  type MemoryOperand,
  NO_REGISTER,
  type Operand,
  type RegisterOperand,
  type RelativeOperand,
} from '../../x86/insn.js';
import { Lift, type OperandSize } from '../../x86/lift.js';
import * as S from '../../x86/state.js';
import * as R from './record.js';

export class DynamicLift extends Lift {
  private readonly insn: Insn;
  private readonly hasMemory: boolean;

  constructor(key: number, insn: Insn) {
    super(key);
    this.insn = insn;
    this.hasMemory = insn.operands.some((op) => op.kind === 'mem');
  }

  private field(offset: number, size: 2 | 4 | 8): Value {
    const v = new Node('field', size === 8 ? 'i64' : 'i32');
    v.imm = offset;
    v.size = size;
    return v;
  }
  private slot(op: Operand): Value {
    return this.field(R.OPERAND + 4 * this.insn.operands.indexOf(op), 4);
  }

  protected override readGpr(op: RegisterOperand): Value {
    return this.readPointer(this.slot(op), op.size as OperandSize);
  }
  protected override writeGpr(op: RegisterOperand, v: Value): void {
    if (op.size === 4) this.writePointer(this.slot(op), 8, this.zext64(v));
    else this.writePointer(this.slot(op), op.size as OperandSize, v);
  }
  override reg(index: number, size: OperandSize): Value {
    return this.state(S.GPR + 8 * index, size);
  }
  override setReg(index: number, size: OperandSize, v: Value): void {
    if (size === 4) this.setState(S.GPR + 8 * index, 8, this.zext64(v));
    else this.setState(S.GPR + 8 * index, size, v);
  }

  protected override effectiveAddress(op: MemoryOperand): Value {
    const disp = this.field(R.DISPLACEMENT, 8);
    if (op.base === BASE_RIP) return this.truncate(this.add(this.next(), disp), this.insn.addressSize);
    let at = this.add(this.readPointer(this.field(R.BASE, 4), 8), disp);
    if (op.index !== NO_REGISTER) {
      at = this.add(at, this.shl(this.readPointer(this.field(R.INDEX, 4), 8), this.zext64(this.field(R.SCALE, 4))));
    }
    return this.truncate(at, this.insn.addressSize);
  }
  protected override segmentBase(op: MemoryOperand): Value {
    return this.state(S.SEGMENT + op.seg * S.SEGMENT_STRIDE + S.SEGMENT_BASE, 8);
  }
  override immediate(op: ImmediateOperand): Value {
    const first = this.insn.operands.find((o) => o.kind === 'imm');
    // ENTER and EXTRQ-like forms have a second immediate: it takes the scale field, free without a memory operand.
    if (first !== op && !this.hasMemory) return this.resize(this.field(R.SCALE, 4), 4, op.size);
    const v = this.field(R.IMMEDIATE, 8);
    return op.size === 8 ? v : this.wrap(v);
  }

  override farSelector(_op: FarOperand): Value {
    return this.wrap(this.field(R.DISPLACEMENT, 8));
  }
  override farOffset(_op: FarOperand): Value {
    return this.field(R.IMMEDIATE, 8);
  }

  private ripPlus(offset: Value): Value {
    const rip = this.add(this.now(new Node('ripbase', 'i64')), offset);
    return this.is64 ? rip : this.truncate(rip, 4);
  }
  override next(): Value {
    return this.ripPlus(this.zext64(this.field(R.NEXT, 2)));
  }
  override current(): Value {
    return this.ripPlus(this.zext64(this.field(R.OFFSET, 2)));
  }
  protected override targetOffset(_op: RelativeOperand): Value {
    return this.field(R.IMMEDIATE, 8);
  }
  override registerPointer(op: RegisterOperand): Value {
    return this.slot(op);
  }
  override registerNumber(op: RegisterOperand): Value {
    return this.slot(op);
  }
}
