/** What routines, faults and conditionals do to the state that a region holds in locals. */
import type { Statement, Value } from '../../ir/value.js';
import { Emitter } from '../../wasm/emitter.js';
import { ROUTINES } from '../../x86/routines.js';
import * as S from '../../x86/state.js';
import type { RuntimeFunctions } from './lower.js';
import { RegionFlags } from './region-flags.js';
import { type LiftedInsn, registersIn } from './region-registers.js';

export abstract class RegionState extends RegionFlags {
  protected override readonly key: number;
  protected current: LiftedInsn | undefined;
  /** Instructions begun since BUDGET was last counted down. */
  protected pending = 0;
  protected readonly budget: number;
  /** Scratch: the status of a routine, a header. */
  protected readonly status: number;

  constructor(functions: RuntimeFunctions, key: number) {
    super(new Emitter(['i32']), functions);
    this.key = key;
    this.budget = this.emit.allocate('i32');
    this.status = this.emit.allocate('i32');
  }

  /** RIP at a page offset, in the mode's width, on the stack. */
  protected abstract ripAt(offset: number): void;
  /** Leaves the region with the status that `status` pushes and RIP at a page offset. */
  protected abstract leaveWith(status: () => void, offset: number): void;
  /** After a routine that has set RIP, everything in memory: goes there. */
  protected abstract transferred(routine: string): void;
  /** After a routine that ends its block, everything in memory: goes to the next instruction. */
  protected abstract resume(routine: string): void;

  protected get insn(): LiftedInsn {
    return this.current as LiftedInsn;
  }

  protected override ripBase(): void {
    const e = this.emit;
    e.i32(0);
    e.load('i64', 8, S.CPU_BASE + S.RIP_BASE);
  }
  protected override field(): void {
    throw new Error('a region has no record');
  }
  protected override viewBase(): void {}
  protected override viewOffset(write: boolean): number {
    const mmu = (this.key & S.KEY_MMU_MASK) >> S.KEY_MMU_SHIFT;
    return S.TLB + mmu * 2 * S.TLB_SIZE + (write ? S.TLB_SIZE : 0);
  }

  // ---- budget ----
  /** Counts what is pending down; on a path that leaves, `pending` itself stays. */
  protected countDown(): void {
    if (this.pending === 0) return;
    const e = this.emit;
    e.get(this.budget);
    e.i32(this.pending);
    e.op('i32.sub');
    e.set(this.budget);
  }
  protected loadBudget(): void {
    const e = this.emit;
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.BUDGET);
    e.set(this.budget);
  }
  protected storeBudget(): void {
    const e = this.emit;
    e.i32(0);
    e.get(this.budget);
    e.store('i32', 4, S.CPU_BASE + S.BUDGET);
  }

  // ---- faults and routines ----
  protected setRip(offset: number): void {
    this.emit.i32(0);
    this.ripAt(offset);
    this.emit.store('i64', 8, S.CPU_BASE + S.RIP);
  }
  protected override raise(vector: number, error: number | undefined): void {
    const e = this.emit;
    this.leaveWith(() => {
      e.i32(vector);
      if (error === undefined) this.functions.call(e, 'raise');
      else {
        e.i32(error);
        this.functions.call(e, 'raiseError');
      }
    }, this.insn.offset);
  }
  protected override compute(v: Value): void {
    if (v.op === 'call' && !leavesLocalsAlone(v.name)) {
      // It may look at registers or flags: they must be in memory. Its arguments are computed first.
      if (v.args !== undefined) for (const a of v.args) this.pin(a);
      this.cleanRegisters();
      this.storeFlags();
      this.setRip(this.insn.offset);
      super.compute(v);
      this.forgetMemory();
      this.forgetPages();
      return;
    }
    super.compute(v);
  }
  protected override routine(s: Statement & { kind: 'routine' }): void {
    const e = this.emit;
    for (const a of s.args) this.pin(a);
    this.settleAllAliases();
    this.moveFlagsToMemory();
    this.cleanRegisters();
    this.countDown();
    this.pending = 0;
    this.storeBudget();
    this.setRip(this.insn.offset);
    this.callRoutine(s.name, s.args);
    e.tee(this.status);
    e.if(undefined, s.ends ? undefined : false);
    if (s.ends) {
      e.get(this.status);
      e.i32(S.STATUS_MISS);
      e.op('i32.eq');
      e.if();
      this.transferred(s.name);
      e.end();
    }
    e.get(this.status);
    e.return();
    e.end();
    this.forgetRegisters();
    if (s.ends) this.resume(s.name);
  }
  protected override conditional(s: Statement & { kind: 'if' }): void {
    const e = this.emit;
    this.value(s.cond);
    const { flags, routine } = effectsOf(s.then);
    const { written } = registersIn(s.then);
    this.settleAllAliases(routine ? undefined : written);
    // What the arm changes has one place on both paths.
    this.cacheRegisters(written);
    if (routine) {
      this.cleanRegisters();
      this.countDown();
      this.pending = 0;
    }
    if (flags || routine) this.moveFlagsToMemory();
    const { cached, dirty } = this;
    e.if();
    const outer = this.isConditional;
    this.isConditional = true;
    for (const inner of s.then) this.statement(inner);
    this.isConditional = outer;
    if (flags) this.moveFlagsToMemory();
    if (routine) this.cleanRegisters();
    e.end();
    if (routine) this.forgetRegisters();
    else {
      this.cached = cached;
      this.dirty = dirty | written;
    }
  }
}

function leavesLocalsAlone(routine: string): boolean {
  const r = ROUTINES[routine];
  return r !== undefined && (r.pure || r.confined === true);
}

/** What statements change, those inside conditionals included. */
function effectsOf(statements: readonly Statement[]): { flags: boolean; routine: boolean } {
  const out = { flags: false, routine: false };
  const scan = (list: readonly Statement[]): void => {
    for (const s of list) {
      if (s.kind === 'flags' || s.kind === 'setflags') out.flags = true;
      else if (s.kind === 'routine') out.routine = true;
      else if (s.kind === 'if') scan(s.then);
    }
  };
  scan(statements);
  return out;
}
