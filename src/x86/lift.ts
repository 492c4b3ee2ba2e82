/**
 * The vocabulary in which instructions are defined (src/x86/semantics): operands, addresses, stack, flags, control
 * flow, faults. A definition says what happens; where operands live (known at translation time, or found through the
 * interpreter's record) is the business of the two subclasses in lift-static.ts and lift-dynamic.ts.
 *
 * Value types: an operand of 1, 2 or 4 bytes is an i32, zero-extended; 8 bytes is an i64; 16 bytes a v128.
 * Order inside a definition: read, compute, write memory, write registers, set flags (faults then need no undo).
 */
import { Builder } from '../ir/builder.js';
import type { AccessSize, Transfer, Type, Value } from '../ir/value.js';
import { Value as Node } from '../ir/value.js';
import type { FarOperand, Insn, MemoryOperand, Operand, RelativeOperand } from './insn.js';
import { SEG } from './insn.js';
import * as S from './state.js';

export const GPR_INDEX = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rbp: 5, rsi: 6, rdi: 7 } as const;

export const FLAG = { CF: 0x1, PF: 0x4, AF: 0x10, ZF: 0x40, SF: 0x80, OF: 0x800 } as const;
export type FlagName = keyof typeof FLAG;
export const STATUS_FLAGS = 0x8d5;

/** Condition codes as in Jcc, SDM Vol. 1, appendix B. */
export const COND = {
  o: 0,
  no: 1,
  b: 2,
  ae: 3,
  e: 4,
  ne: 5,
  be: 6,
  a: 7,
  s: 8,
  ns: 9,
  p: 10,
  np: 11,
  l: 12,
  ge: 13,
  le: 14,
  g: 15,
} as const;
const condOfFlag: Partial<Record<FlagName, number>> = { CF: COND.b, PF: COND.p, ZF: COND.e, SF: COND.s, OF: COND.o };

/** Exceptions, SDM Vol. 3A, "Exception and Interrupt Vectors". */
export const VECTOR = {
  DE: 0,
  DB: 1,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  XM: 19,
} as const;

export type OperandSize = 1 | 2 | 4 | 8;
/** What an address is for: a store needs a writable segment. */
export type Access = 'read' | 'write';

export abstract class Lift extends Builder {
  /** Mode bits (KEY_* of state.ts) this code is lifted for. */
  readonly key: number;
  /** Set when the definition has ended the block. */
  ended = false;

  constructor(key: number) {
    super();
    this.key = key;
  }

  get is64(): boolean {
    return (this.key & S.KEY_CODE64) !== 0;
  }
  get isProtected(): boolean {
    return (this.key & S.KEY_PROTECTED) !== 0;
  }
  get isFlat(): boolean {
    return (this.key & (S.KEY_FLAT | S.KEY_CODE64)) !== 0;
  }

  // ---- what the two subclasses know ----
  protected abstract readGpr(op: Operand & { kind: 'reg' }): Value;
  protected abstract writeGpr(op: Operand & { kind: 'reg' }, v: Value): void;
  /** All 64 bits of a base or index register. */
  protected abstract effectiveAddress(op: MemoryOperand): Value;
  protected abstract segmentBase(op: MemoryOperand): Value;
  abstract immediate(op: Operand & { kind: 'imm' }): Value;
  /** Address of the next instruction, i64. */
  abstract next(): Value;
  /** Address of this instruction, i64. */
  abstract current(): Value;
  /** Page offset of a near target relative to `ripbase`, i64. */
  protected abstract targetOffset(op: RelativeOperand): Value;
  /** Linear-memory address (i32) of an XMM, MMX or ST register operand's state; MMX and ST are physical only for MMX. */
  abstract registerPointer(op: Operand & { kind: 'reg' }): Value;
  /** Selector (i32) and offset (i64) of a far pointer in the instruction. */
  abstract farSelector(op: FarOperand): Value;
  abstract farOffset(op: FarOperand): Value;
  /** Number of a register operand as i32 (st index, segment, control or debug register). */
  abstract registerNumber(op: Operand & { kind: 'reg' }): Value;

  // ---- operands ----
  /** An integer register, memory or immediate operand at its own size (MMX: i64; XMM and 16-byte memory: v128). */
  read(op: Operand): Value {
    switch (op.kind) {
      case 'imm':
        return this.immediate(op);
      case 'mem':
        return this.load(this.linear(op), op.size as AccessSize);
      case 'reg':
        if (op.file === 'gpr') return this.readGpr(op);
        return this.readPointer(this.registerPointer(op), op.file === 'mmx' ? 8 : 16);
      default:
        throw new TypeError(`operand kind ${op.kind} has no value`);
    }
  }

  /** Reads a destination that will be written: a memory fault reports a write, as the hardware does. */
  readForWrite(op: Operand): Value {
    if (op.kind !== 'mem') return this.read(op);
    return this.loadAs('loadrmw', this.linear(op, 'write'), op.size as AccessSize);
  }

  /** Writes a whole operand. A 4-byte GPR write clears bits 63:32; narrower ones keep the rest. */
  write(op: Operand, v: Value): void {
    if (op.kind === 'mem') this.store(this.linear(op, 'write'), op.size as AccessSize, v);
    else if (op.kind === 'reg' && op.file === 'gpr') this.writeGpr(op, v);
    else if (op.kind === 'reg') this.writePointer(this.registerPointer(op), op.file === 'mmx' ? 8 : 16, v);
    else throw new TypeError(`operand kind ${op.kind} cannot be written`);
  }

  /** Low `size` bytes of an XMM or MMX register or of memory: i32 up to 4, i64 for 8, v128 for 16. */
  readLow(op: Operand, size: AccessSize): Value {
    if (op.kind === 'mem') return this.load(this.linear(op), size);
    if (op.kind === 'reg' && op.file !== 'gpr') return this.readPointer(this.registerPointer(op), size);
    return this.resize(this.read(op), op.size, size);
  }
  /** Low `size` bytes of an XMM or MMX register (the rest stays) or memory. */
  writeLow(op: Operand, size: AccessSize, v: Value): void {
    if (op.kind === 'mem') this.store(this.linear(op, 'write'), size, v);
    else if (op.kind === 'reg' && op.file !== 'gpr') this.writePointer(this.registerPointer(op), size, v);
    else throw new TypeError('writeLow of an integer register');
  }

  readPointer(pointer: Value, size: AccessSize): Value {
    const v = new Node('pointer', size === 16 ? 'v128' : size === 8 ? 'i64' : 'i32', pointer);
    v.size = size;
    return this.now(v);
  }
  writePointer(pointer: Value, size: AccessSize, value: Value): void {
    pointer.uses++;
    value.uses++;
    this.push({ kind: 'setpointer', pointer, size, value });
  }

  // ---- fixed registers ----
  /** GPR by number at a size (low byte for 1). */
  abstract reg(index: number, size: OperandSize): Value;
  abstract setReg(index: number, size: OperandSize, v: Value): void;

  // ---- memory ----
  /** Effective address without segment, truncated to the address size (LEA). i64. */
  offset(op: MemoryOperand): Value {
    return this.effectiveAddress(op);
  }
  private readonly linears: {
    readonly op: MemoryOperand;
    readonly linear: Value;
    readonly offset: Value;
    access: Access;
  }[] = [];
  /**
   * Linear address: segment base added, limit and type checked where the segments are not flat. i64. Computed once per
   * operand.
   */
  linear(op: MemoryOperand, access: Access = 'read'): Value {
    const known = this.linears.find((l) => l.op === op);
    if (known !== undefined) {
      if (access === 'write' && known.access === 'read') this.checkWritable(op, known.offset, op.size);
      known.access = access;
      return known.linear;
    }
    const offset = this.effectiveAddress(op);
    if (this.isChecked(op) && !offset.isConst) this.now(offset);
    const linear = this.linearOf(op, offset, op.size, access);
    if (!linear.isConst) this.now(linear);
    this.linears.push({ op, linear, offset, access });
    return linear;
  }
  /** Linear address of `offset` (i64) in the segment of `op`, for accesses beside the operand itself. */
  linearOf(op: MemoryOperand, offset: Value, size: number, access: Access = 'read'): Value {
    if (this.is64) return op.seg >= SEG.fs ? this.add(this.segmentBase(op), offset) : offset;
    if (access === 'write') this.checkWritable(op, offset, size);
    if (!this.isChecked(op)) return offset;
    if (access === 'read' || !this.hasTypes) this.routine('segmentCheck', this.i32(op.seg), offset, this.i32(size));
    return this.truncate(this.add(this.segmentBase(op), offset), 4);
  }
  private isChecked(op: MemoryOperand): boolean {
    return !this.is64 && !(this.isFlat && op.seg < SEG.fs);
  }
  /** In real and virtual-8086 mode every segment may be written. */
  private get hasTypes(): boolean {
    return this.isProtected && (this.key & S.KEY_VM86) === 0;
  }
  /** A store through CS is refused however flat it is. Intel SDM Vol. 3A, "Type Checking". */
  private checkWritable(op: MemoryOperand, offset: Value, size: number): void {
    if (!this.hasTypes || !(this.isChecked(op) || (!this.is64 && op.seg === SEG.cs))) return;
    this.routine('segmentCheckWrite', this.i32(op.seg), offset, this.i32(size));
  }
  load(linear: Value, size: AccessSize): Value {
    return this.loadAs('load', linear, size);
  }
  /** A load whose fault reports a write. */
  loadForWrite(linear: Value, size: AccessSize): Value {
    return this.loadAs('loadrmw', linear, size);
  }
  private loadAs(op: 'load' | 'loadrmw', linear: Value, size: AccessSize): Value {
    const type: Type = size === 16 ? 'v128' : size === 8 ? 'i64' : 'i32';
    const v = new Node(op, type, linear);
    v.size = size;
    return this.now(v);
  }
  store(linear: Value, size: AccessSize, value: Value): void {
    linear.uses++;
    value.uses++;
    this.push({ kind: 'store', address: linear, size, value });
  }

  // ---- stack ----
  get stackSize(): OperandSize {
    return this.is64 ? 8 : this.key & S.KEY_STACK32 ? 4 : 2;
  }
  /** Stack pointer as an i64, truncated to the stack's width. */
  stackPointer(): Value {
    return this.zext64(this.reg(GPR_INDEX.rsp, this.stackSize));
  }
  setStackPointer(v: Value): void {
    this.setReg(GPR_INDEX.rsp, this.stackSize, this.resize(v, 8, this.stackSize));
  }
  private stackLinear(offset: Value, size: number): Value {
    const at = this.truncate(offset, this.stackSize);
    if (this.isFlat) return at;
    this.routine('segmentCheck', this.i32(SEG.ss), at, this.i32(size));
    return this.truncate(this.add(this.state(S.SEGMENT + SEG.ss * S.SEGMENT_STRIDE, 8), at), 4);
  }
  /** Stores `v` below the stack pointer, then moves the stack pointer. */
  pushValue(v: Value, size: OperandSize): void {
    const sp = this.now(this.sub(this.stackPointer(), this.i64(size)));
    this.store(this.stackLinear(sp, size), size, v);
    this.setStackPointer(sp);
  }
  /** The value `depth` bytes above the stack pointer. The pointer stays: see `dropStack`. */
  stackTop(size: OperandSize, depth = 0): Value {
    return this.load(this.stackLinear(this.add(this.stackPointer(), this.i64(depth)), size), size);
  }
  /** Moves the stack pointer up by `bytes` (number or i64 value). */
  dropStack(bytes: number | Value): void {
    this.setStackPointer(this.add(this.stackPointer(), typeof bytes === 'number' ? this.i64(bytes) : bytes));
  }

  // ---- flags ----
  /** x + y = r. */
  flagsAdd(size: OperandSize, x: Value, y: Value, r: Value): void {
    this.setFlagsRecord({ kind: S.CC_ADD, size, dst: r, src: y, src2: undefined, x });
  }
  /** x + y + carry = r; carry i32 0 or 1. */
  flagsAdc(size: OperandSize, x: Value, y: Value, carry: Value, r: Value): void {
    this.setFlagsRecord({ kind: S.CC_ADC, size, dst: r, src: y, src2: carry, x });
  }
  /** x - y = r. */
  flagsSub(size: OperandSize, x: Value, y: Value, r: Value): void {
    this.setFlagsRecord({ kind: S.CC_SUB, size, dst: r, src: y, src2: undefined, x });
  }
  flagsSbb(size: OperandSize, x: Value, y: Value, carry: Value, r: Value): void {
    this.setFlagsRecord({ kind: S.CC_SBB, size, dst: r, src: y, src2: carry, x });
  }
  /** CF = OF = AF = 0, the rest from r. */
  flagsLogic(size: OperandSize, r: Value): void {
    this.setFlagsRecord({ kind: S.CC_LOGIC, size, dst: r, src: undefined, src2: undefined, x: undefined });
  }
  /** INC and DEC keep CF. */
  flagsInc(size: OperandSize, r: Value): void {
    const carry = this.now(this.flag('CF'));
    this.setFlagsRecord({ kind: S.CC_INC, size, dst: r, src: carry, src2: undefined, x: undefined });
  }
  flagsDec(size: OperandSize, r: Value): void {
    const carry = this.now(this.flag('CF'));
    this.setFlagsRecord({ kind: S.CC_DEC, size, dst: r, src: carry, src2: undefined, x: undefined });
  }
  /** Any other record; see CC_* in state.ts. */
  flagsOf(kind: number, size: OperandSize, dst: Value, src: Value): void {
    this.setFlagsRecord({ kind, size, dst, src, src2: undefined, x: undefined });
  }
  /** All six status flags from a word with them in their RFLAGS places (i32; other bits must be clear). */
  setFlags(word: Value): void {
    word.uses++;
    this.push({ kind: 'setflags', value: word });
  }
  /** The six status flags in their RFLAGS places (i32). */
  flagsWord(): Value {
    return this.now(new Node('flagsword', 'i32'));
  }
  /** One status flag as 0 or 1 (i32). */
  flag(name: FlagName): Value {
    const cond = condOfFlag[name];
    if (cond !== undefined) return this.condition(cond);
    return this.and(this.shru(this.flagsWord(), this.i32(4)), this.i32(1));
  }
  /** Condition code 0-15 on the current flags: 0 or 1 (i32). */
  condition(cond: number): Value {
    const v = new Node('cond', 'i32');
    v.imm = cond;
    return this.now(v);
  }

  /**
   * A near target outside of the code segment raises #GP(0) before anything has changed. Intel SDM Vol. 2, "JMP". In real
   * and virtual-8086 mode 16 bits reach no further than the segment. A branch looks at its target only if it is `taken`.
   */
  checkTarget(op: RelativeOperand, taken?: Value): void {
    if (!this.isBounded(op.size)) return;
    const check = (): void => {
      const target = this.add(new Node('ripbase', 'i64'), this.targetOffset(op));
      this.routine('codeCheck', this.truncate(target, op.size as OperandSize));
    };
    if (taken === undefined) check();
    else this.ifThen(taken.isConst ? taken : this.now(taken), check);
  }
  /** The same for an indirect target (i64, already truncated to the operand size). */
  checkRip(rip: Value, size: number): void {
    if (this.isBounded(size)) this.routine('codeCheck', rip.isConst ? rip : this.now(rip));
  }
  private isBounded(size: number): boolean {
    return !this.isFlat && (this.hasTypes || size > 2);
  }

  // ---- control flow: each ends the block, except `branch` which falls through when not taken ----
  jump(op: RelativeOperand, transfer: Transfer = 'jump'): void {
    const target = this.targetOffset(op);
    target.uses++;
    this.push({ kind: 'jump', target, size: op.size, transfer });
    this.ended = true;
  }
  branch(cond: Value, op: RelativeOperand): void {
    const target = this.targetOffset(op);
    cond.uses++;
    target.uses++;
    this.push({ kind: 'branch', cond, target, size: op.size });
  }
  /** Near indirect jump; `rip` i64, already truncated to the operand size. */
  jumpTo(rip: Value, transfer: Transfer = 'jump'): void {
    rip.uses++;
    this.push({ kind: 'jumpto', rip, transfer });
    this.ended = true;
  }
  /** Retires the instruction and leaves compiled code with STATUS_* (RIP is the next instruction). */
  leave(status: number): void {
    this.push({ kind: 'leave', status });
    this.ended = true;
  }

  // ---- faults and routines ----
  raise(vector: number, error?: number): void {
    this.push({ kind: 'raise', vector, error });
  }
  raiseIf(cond: Value, vector: number, error?: number): void {
    this.ifThen(cond, () => this.raise(vector, error));
  }
  /** #GP(0) unless CPL is 0. */
  requireCpl0(): void {
    this.raiseIf(this.ne(this.state(S.CPL, 4), this.i32(0)), VECTOR.GP, 0);
  }
  /**
   * A routine of the runtime that works on the vCPU state in memory and returns a status (STATUS_OK: go on).
   * RIP is exact inside it. Anything else than STATUS_OK leaves at once, without retiring the instruction here.
   */
  routine(name: string, ...args: Value[]): void {
    for (const a of args) a.uses++;
    this.push({ kind: 'routine', name, args, ends: false });
  }
  /** The same as the last act of an instruction that may change mode, mapping or RIP: the block ends. STATUS_OK means: next instruction. */
  routineEnds(name: string, ...args: Value[]): void {
    for (const a of args) a.uses++;
    this.push({ kind: 'routine', name, args, ends: true });
    this.ended = true;
  }
}

/** What an instruction means. `ends`: it always ends a block (needed before lifting, when blocks are cut). */
export interface Definition {
  readonly lift: (b: Lift, i: Insn) => void;
  readonly ends: boolean;
}
export const define = (lift: (b: Lift, i: Insn) => void): Definition => ({ lift, ends: false });
export const defineEnd = (lift: (b: Lift, i: Insn) => void): Definition => ({ lift, ends: true });
/** Mnemonic -> definition. */
export type Definitions = Record<string, Definition>;
