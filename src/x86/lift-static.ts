/** Lifting with operands known: what the translator and the slow evaluator use. */
import type { Value } from '../ir/value.js';
import { Value as Node } from '../ir/value.js';
import {
  BASE_RIP,
  type FarOperand,
  type ImmediateOperand,
  type Insn,
  type MemoryOperand,
  NO_REGISTER,
  type RegisterOperand,
  type RelativeOperand,
} from './insn.js';
import { Lift, type OperandSize } from './lift.js';
import * as S from './state.js';

/**
 * Where a kernel is loaded at random, the addresses in its code differ from one start to the next: its own, which lie in the
 * second-last GiB, and the distances from there to what is said by small offsets from a segment's base.
 */
export const mayBeAddress = (value: number): boolean =>
  (value >= -(2 ** 31) && value < -(2 ** 30)) || (value >= 2 ** 30 && value < 2 ** 31);

export class StaticLift extends Lift {
  /** Page offset of the instruction: RIP is `ripbase` plus this. */
  private readonly offsetInPage: number;
  private readonly insn: Insn;

  constructor(key: number, insn: Insn, offsetInPage: number) {
    super(key);
    this.insn = insn;
    this.offsetInPage = offsetInPage;
  }

  private gpr(index: number): Value {
    const v = new Node('reg', 'i64');
    v.imm = index;
    return this.now(v);
  }
  private setGpr(reg: number, value: Value): void {
    value.uses++;
    this.push({ kind: 'set', reg, value });
  }

  override reg(index: number, size: OperandSize): Value {
    const all = this.gpr(index);
    return size === 8 ? all : this.truncate(this.wrap(all), size);
  }
  override setReg(index: number, size: OperandSize, v: Value): void {
    if (size === 8) this.setGpr(index, v);
    else if (size === 4) this.setGpr(index, this.zext64(v));
    else this.insert(index, v, 0, size);
  }
  /** Replaces `size` bytes at bit `shift` of a register. */
  private insert(index: number, v: Value, shift: number, size: number): void {
    const mask = ((1n << BigInt(size * 8)) - 1n) << BigInt(shift);
    const kept = this.and(this.gpr(index), this.i64(~mask));
    const placed = this.shl(this.zext64(this.truncate(v, size)), this.i64(shift));
    this.setGpr(index, this.or(kept, placed));
  }

  protected override readGpr(op: RegisterOperand): Value {
    if (!op.high) return this.reg(op.index, op.size as OperandSize);
    return this.and(this.shru(this.wrap(this.gpr(op.index)), this.i32(8)), this.i32(255));
  }
  protected override writeGpr(op: RegisterOperand, v: Value): void {
    if (op.high) this.insert(op.index, v, 8, 1);
    else this.setReg(op.index, op.size as OperandSize, v);
  }

  protected override effectiveAddress(op: MemoryOperand): Value {
    let at: Value | undefined;
    if (op.base === BASE_RIP) at = this.next();
    else if (op.base !== NO_REGISTER) at = this.gpr(op.base);
    if (op.index !== NO_REGISTER) {
      const scaled = this.shl(this.gpr(op.index), this.i64(op.scale));
      at = at === undefined ? scaled : this.add(at, scaled);
    }
    const disp = mayBeAddress(op.disp) ? this.address(op.disp) : this.i64(op.disp);
    at = at === undefined ? disp : this.add(at, disp);
    return this.truncate(at, this.insn.addressSize);
  }
  protected override segmentBase(op: MemoryOperand): Value {
    return this.state(S.SEGMENT + op.seg * S.SEGMENT_STRIDE + S.SEGMENT_BASE, 8);
  }
  override immediate(op: ImmediateOperand): Value {
    const value = op.size === 8 ? Number(BigInt.asIntN(64, op.value)) : 0;
    return mayBeAddress(value) ? this.address(value) : this.constant(op.size, op.value);
  }
  private address(value: number): Value {
    const v = new Node('address', 'i64');
    v.big = BigInt(value);
    v.imm = this.offsetInPage;
    v.size = this.insn.length;
    return v;
  }

  private ripPlus(offset: number): Value {
    const rip = this.add(new Node('ripbase', 'i64'), this.i64(offset));
    return this.is64 ? rip : this.truncate(rip, 4);
  }
  override next(): Value {
    return this.ripPlus(this.offsetInPage + this.insn.length);
  }
  override current(): Value {
    return this.ripPlus(this.offsetInPage);
  }
  protected override targetOffset(op: RelativeOperand): Value {
    return this.i64(this.offsetInPage + this.insn.length + op.disp);
  }
  override registerPointer(op: RegisterOperand): Value {
    if (op.file === 'xmm') return this.i32(S.CPU_BASE + S.XMM + 16 * op.index);
    return this.i32(S.CPU_BASE + S.FPR + 16 * op.index);
  }
  override farSelector(op: FarOperand): Value {
    return this.i32(op.selector);
  }
  override farOffset(op: FarOperand): Value {
    return this.i64(op.offset);
  }
  override registerNumber(op: RegisterOperand): Value {
    return this.i32(op.index);
  }
}
