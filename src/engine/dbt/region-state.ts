/**
 * The state of a region while it is lowered: guest registers and lazy flags in locals, how they are loaded and written
 * back, and what routines, faults and conditionals do to them.
 */
import { Builder, operandsOf } from '../../ir/builder.js';
import type { FlagsRecord, Statement, Value } from '../../ir/value.js';
import { ROUTINES } from '../../x86/routines.js';
import * as S from '../../x86/state.js';
import { conditionValue } from './flag-conditions.js';
import { type FunctionIndex, Lowering } from './lower.js';

/** A lifted block of a region. */
export interface LiftedBlock {
  readonly offset: number;
  readonly end: number;
  readonly count: number;
  readonly insns: readonly LiftedInsn[];
}
export interface LiftedInsn {
  readonly offset: number;
  readonly next: number;
  readonly statements: readonly Statement[];
  readonly ended: boolean;
}
/** What is known about the status flags: their record while its values are at hand, or only the four locals. */
type FlagsState = FlagsRecord | 'locals';

/** Condition code of CF. */
const CARRY = 2;
const NEVER_RELEASED = 1 << 20;

export abstract class RegionState extends Lowering {
  protected readonly key: number;
  private readonly registers = new Map<number, number>();
  private readonly written: readonly number[];
  protected readonly aliases = new Map<number, Set<Value>>();
  protected flags: FlagsState = 'locals';
  protected current: LiftedInsn | undefined;
  // Locals.
  protected readonly ripBaseLocal: number;
  protected readonly rip: number;
  protected readonly status: number;
  protected readonly link: number;
  protected readonly budget: number;
  private readonly ccOp: number;
  private readonly ccDst: number;
  private readonly ccSrc: number;
  private readonly ccSrc2: number;

  constructor(functions: FunctionIndex, key: number, blocks: readonly LiftedBlock[]) {
    super(['i32'], functions);
    this.key = key;
    const e = this.emit;
    this.ripBaseLocal = e.allocate('i64');
    this.rip = e.allocate('i64');
    this.status = e.allocate('i32');
    this.link = e.allocate('i32');
    this.budget = e.allocate('i32');
    this.ccOp = e.allocate('i32');
    this.ccDst = e.allocate('i64');
    this.ccSrc = e.allocate('i64');
    this.ccSrc2 = e.allocate('i64');
    const { used, written } = registersOf(blocks);
    for (const reg of used) this.registers.set(reg, e.allocate('i64'));
    this.written = [...written];
  }

  /** RIP at a page offset, truncated to `size` bytes and the mode's width, on the stack. */
  protected abstract ripAt(offset: number, size?: number): void;
  /** Leaves the region with the status that `status` pushes and RIP at a page offset. */
  protected abstract leaveWith(status: () => void, offset: number): void;
  /** Chains to the record on the stack, or returns STATUS where it is 0. */
  protected abstract follow(): void;

  protected get insn(): LiftedInsn {
    return this.current as LiftedInsn;
  }
  // ---- loading and writing back ----
  protected loadState(): void {
    const e = this.emit;
    for (const [reg, local] of this.registers) {
      e.i32(0);
      e.load('i64', 8, S.CPU_BASE + S.GPR + 8 * reg);
      e.set(local);
    }
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.CC_OP);
    e.set(this.ccOp);
    for (const [local, offset] of this.ccWords()) {
      e.i32(0);
      e.load('i64', 8, S.CPU_BASE + offset);
      e.set(local);
    }
  }
  protected ccWords(): readonly (readonly [number, number])[] {
    return [
      [this.ccDst, S.CC_DST],
      [this.ccSrc, S.CC_SRC],
      [this.ccSrc2, S.CC_SRC2],
    ];
  }
  protected storeState(): void {
    const e = this.emit;
    for (const reg of this.written) {
      e.i32(0);
      e.get(this.registers.get(reg) as number);
      e.store('i64', 8, S.CPU_BASE + S.GPR + 8 * reg);
    }
    e.i32(0);
    e.get(this.ccOp);
    e.store('i32', 4, S.CPU_BASE + S.CC_OP);
    for (const [local, offset] of this.ccWords()) {
      e.i32(0);
      e.get(local);
      e.store('i64', 8, S.CPU_BASE + offset);
    }
    e.i32(0);
    e.get(this.budget);
    e.store('i32', 4, S.CPU_BASE + S.BUDGET);
  }
  // ---- registers: a read is an alias of the local until the register is set ----
  protected override getRegister(v: Value): void {
    this.emit.get(this.registers.get(v.imm) as number);
  }
  protected override evaluate(v: Value): void {
    if (v.op !== 'reg') {
      super.evaluate(v);
      return;
    }
    v.uses--;
    if (v.uses <= 0 || v.local !== -1) return;
    v.local = -2;
    let set = this.aliases.get(v.imm);
    if (set === undefined) {
      set = new Set();
      this.aliases.set(v.imm, set);
    }
    set.add(v);
  }
  /** Before a register changes: aliases still wanted get a local of their own. */
  protected settleAliases(reg: number): void {
    const e = this.emit;
    for (const v of this.aliases.get(reg) ?? []) {
      if (v.uses <= 0 || v.local !== -2) continue;
      v.local = e.allocate('i64');
      e.get(this.registers.get(reg) as number);
      e.set(v.local);
    }
    this.aliases.delete(reg);
  }
  protected override setRegister(reg: number, value: Value): void {
    this.value(value);
    // The value is on the stack: aliases are saved from under it.
    this.settleAliases(reg);
    this.emit.set(this.registers.get(reg) as number);
  }

  // ---- flags ----
  protected override recordFlags({ flags }: Statement & { kind: 'flags' }): void {
    const values = partsOf(flags);
    for (const v of values) this.pin(v);
    // A register alias would change under the record.
    for (const v of values) if (v.local === -2) this.settleAliases(v.imm);
    this.dropFlags();
    this.flags = flags;
  }
  protected override setFlags(value: Value): void {
    this.pin(value);
    if (value.local === -2) this.settleAliases(value.imm);
    this.dropFlags();
    this.flags = { kind: S.CC_FLAGS, size: 1, dst: value, src: value, src2: undefined, x: undefined };
    value.uses++;
  }
  protected dropFlags(): void {
    if (this.flags === 'locals') return;
    for (const v of partsOf(this.flags)) this.discard(v);
    this.flags = 'locals';
  }
  protected keepFlags(): void {
    if (this.flags === 'locals') return;
    for (const v of partsOf(this.flags)) v.uses += NEVER_RELEASED;
  }
  /** Writes the flags to their locals, without forgetting what is known. */
  protected flushFlags(): void {
    if (this.flags === 'locals') return;
    const e = this.emit;
    const { kind, size, dst, src, src2 } = this.flags;
    e.i32(kind * 4 + (kind === S.CC_FLAGS ? 0 : Math.log2(size)));
    e.set(this.ccOp);
    for (const [v, local] of [
      [dst, this.ccDst],
      [src, this.ccSrc],
      [src2, this.ccSrc2],
    ] as const) {
      if (v === undefined) continue;
      this.peek64(v);
      e.set(local);
    }
  }
  protected peek64(v: Value): void {
    this.peek(v);
    if (v.type === 'i32') this.emit.op('i64.extend_i32_u');
  }
  protected flagArguments(): void {
    const e = this.emit;
    if (this.flags === 'locals') {
      e.get(this.ccOp);
      e.get(this.ccDst);
      e.get(this.ccSrc);
      e.get(this.ccSrc2);
      return;
    }
    const { kind, size, dst, src, src2 } = this.flags;
    e.i32(kind * 4 + (kind === S.CC_FLAGS ? 0 : Math.log2(size)));
    for (const v of [dst, src, src2]) {
      if (v === undefined) e.i64(0n);
      else this.peek64(v);
    }
  }
  protected override condition(cond: number): void {
    const e = this.emit;
    if (this.flags !== 'locals') {
      const direct = conditionValue(new Builder(), this.flags, cond);
      if (direct !== undefined) {
        direct.uses++;
        this.value(direct);
        return;
      }
    }
    if (this.flags === 'locals' && cond === CARRY) {
      this.carryOfLocals();
      return;
    }
    e.i32(cond);
    this.flagArguments();
    e.call(this.functions('evaluateCondition'));
  }
  /** CF in a loop counted by DEC or INC: they carry it along in the record's source. */
  protected carryOfLocals(): void {
    const e = this.emit;
    e.get(this.ccOp);
    e.i32(S.CC_INC << 2);
    e.op('i32.sub');
    e.i32(8);
    e.op('i32.lt_u');
    e.if('i32');
    e.get(this.ccSrc);
    e.op('i32.wrap_i64');
    e.else();
    e.i32(CARRY);
    this.flagArguments();
    e.call(this.functions('evaluateCondition'));
    e.end();
  }
  protected override flagsWord(): void {
    this.flagArguments();
    this.emit.call(this.functions('evaluateFlags'));
  }

  // ---- the rest ----
  protected override ripBase(): void {
    this.emit.get(this.ripBaseLocal);
  }
  protected override field(): void {
    throw new Error('a region has no record');
  }
  protected override viewBase(): void {}
  protected override viewOffset(write: boolean): number {
    const mmu = (this.key & S.KEY_MMU_MASK) >> S.KEY_MMU_SHIFT;
    return S.TLB + mmu * 2 * S.TLB_SIZE + (write ? S.TLB_SIZE : 0);
  }
  protected override sideExit(): void {
    this.leaveWith(() => {
      this.emit.i32(0);
      this.emit.load('i32', 4, S.CPU_BASE + S.STATUS);
    }, this.insn.offset);
  }
  protected override raise(vector: number, error: number | undefined): void {
    const e = this.emit;
    this.leaveWith(() => {
      e.i32(vector);
      if (error === undefined) e.call(this.functions('raise'));
      else {
        e.i32(error);
        e.call(this.functions('raiseError'));
      }
    }, this.insn.offset);
  }
  protected setRip(offset: number): void {
    this.emit.i32(0);
    this.ripAt(offset);
    this.emit.store('i64', 8, S.CPU_BASE + S.RIP);
  }
  protected override compute(v: Value): void {
    if (v.op === 'call' && !leavesLocalsAlone(v.name)) {
      // It may look at registers or flags: they must be in memory. Its arguments are computed first.
      for (const a of v.args ?? []) this.pin(a);
      this.flushFlags();
      this.storeState();
      this.setRip(this.insn.offset);
      super.compute(v);
      return;
    }
    super.compute(v);
  }
  protected override routine(s: Statement & { kind: 'routine' }): void {
    const e = this.emit;
    for (const a of s.args) this.pin(a);
    for (const reg of this.aliases.keys()) this.settleAliases(reg);
    this.flushFlags();
    this.dropFlags();
    this.storeState();
    this.setRip(this.insn.offset);
    this.callRoutine(s.name, s.args);
    e.tee(this.status);
    e.if(undefined, false);
    if (s.ends) {
      e.get(this.status);
      e.i32(S.STATUS_MISS);
      e.op('i32.eq');
      e.if();
      e.call(this.functions('lookupChecked'));
      this.follow();
      e.end();
    }
    e.get(this.status);
    e.return();
    e.end();
    if (s.ends) {
      this.setRip(this.insn.next);
      e.call(this.functions('lookupChecked'));
      this.follow();
      return;
    }
    this.loadState();
  }
  protected override conditional(s: Statement & { kind: 'if' }): void {
    const e = this.emit;
    this.value(s.cond);
    const effects = effectsOf(s.then);
    for (const reg of effects.routine ? [...this.aliases.keys()] : effects.sets) this.settleAliases(reg);
    if (effects.flags || effects.routine) {
      this.flushFlags();
      this.dropFlags();
    }
    e.if();
    for (const inner of s.then) this.statement(inner);
    if (effects.flags && this.flags !== 'locals') {
      this.flushFlags();
      this.dropFlags();
    }
    e.end();
  }
}

function leavesLocalsAlone(routine: string): boolean {
  const r = ROUTINES[routine];
  return r !== undefined && (r.pure || r.confined === true);
}

function partsOf(flags: FlagsRecord): Value[] {
  return [flags.dst, flags.src, flags.src2, flags.x].filter((v): v is Value => v !== undefined);
}

/** What statements change, those inside conditionals included. */
function effectsOf(statements: readonly Statement[]): { sets: Set<number>; flags: boolean; routine: boolean } {
  const out = { sets: new Set<number>(), flags: false, routine: false };
  const scan = (list: readonly Statement[]): void => {
    for (const s of list) {
      if (s.kind === 'set') out.sets.add(s.reg);
      else if (s.kind === 'flags' || s.kind === 'setflags') out.flags = true;
      else if (s.kind === 'routine') out.routine = true;
      else if (s.kind === 'if') scan(s.then);
    }
  };
  scan(statements);
  return out;
}

function registersOf(blocks: readonly LiftedBlock[]): { used: Set<number>; written: Set<number> } {
  const used = new Set<number>();
  const written = new Set<number>();
  const seen = new Set<Value>();
  const visit = (v: Value | undefined): void => {
    if (v === undefined || seen.has(v)) return;
    seen.add(v);
    if (v.op === 'reg') used.add(v.imm);
    visit(v.a);
    visit(v.b);
    visit(v.c);
    for (const a of v.args ?? []) visit(a);
  };
  const scan = (list: readonly Statement[]): void => {
    for (const s of list) {
      for (const v of operandsOf(s)) visit(v);
      if (s.kind === 'set') {
        used.add(s.reg);
        written.add(s.reg);
      }
      if (s.kind === 'if') scan(s.then);
    }
  };
  for (const block of blocks) for (const insn of block.insns) scan(insn.statements);
  return { used, written };
}
