/**
 * Guest registers in a region. Each has a local; at every point of the code it is known which locals hold the register's
 * value (`cached`) and which of them are newer than the vCPU state in memory (`dirty`). A register is loaded where it is
 * first read, and stored where control leaves or paths meet that do not agree.
 */
import { operandsOf } from '../../ir/builder.js';
import type { Statement, Value } from '../../ir/value.js';
import * as S from '../../x86/state.js';
import { Lowering } from './lower.js';

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

/** Registers as bit masks. */
export interface RegisterMasks {
  readonly used: number;
  readonly written: number;
}

const REGISTERS = 16;

export abstract class RegionRegisters extends Lowering {
  private readonly locals: number[] = [];
  protected cached = 0;
  protected dirty = 0;
  /** Values read from a register that has not changed since: they need no local of their own. */
  protected readonly aliases = new Map<number, Set<Value>>();

  private local(reg: number): number {
    this.locals[reg] ??= this.emit.allocateNew('i64');
    return this.locals[reg];
  }
  private load(reg: number): void {
    const e = this.emit;
    e.i32(0);
    e.load('i64', 8, S.CPU_BASE + S.GPR + 8 * reg);
    this.cached |= 1 << reg;
  }
  protected storeRegister(reg: number): void {
    const e = this.emit;
    e.i32(0);
    e.get(this.local(reg));
    e.store('i64', 8, S.CPU_BASE + S.GPR + 8 * reg);
  }

  /** Loads the registers of `mask` that are not at hand. */
  protected cacheRegisters(mask: number): void {
    for (const reg of bitsOf(mask & ~this.cached)) {
      this.load(reg);
      this.emit.set(this.local(reg));
    }
  }
  /** Stores what is newer than memory, for a path that leaves: what is known here stays as it is. */
  protected storeRegisters(mask = -1): void {
    for (const reg of bitsOf(this.dirty & mask)) this.storeRegister(reg);
  }
  /** The same on the path that goes on. */
  protected cleanRegisters(mask = -1): void {
    this.storeRegisters(mask);
    this.dirty &= ~mask;
  }
  /** A routine may have changed them. */
  protected forgetRegisters(): void {
    this.cached = 0;
    this.dirty = 0;
  }

  // ---- a read is an alias of the local until the register is set ----
  protected override getRegister(v: Value): void {
    this.getLocal(v.imm);
  }
  private getLocal(reg: number): void {
    if ((this.cached >> reg) & 1) {
      this.emit.get(this.local(reg));
      return;
    }
    this.load(reg);
    this.emit.tee(this.local(reg));
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
  protected override pin(v: Value): void {
    super.pin(v);
    // It may be read on one path only, where loading the register would hide it from the others.
    if (v.local === -2) this.cacheRegisters(1 << v.imm);
  }
  /** Before a register changes: aliases still wanted get a local of their own. */
  protected settleAliases(reg: number): void {
    const e = this.emit;
    for (const v of this.aliases.get(reg) ?? []) {
      if (v.uses <= 0 || v.local !== -2) continue;
      v.local = e.allocate('i64');
      this.getLocal(reg);
      e.set(v.local);
    }
    this.aliases.delete(reg);
  }
  protected override setRegister(reg: number, value: Value): void {
    this.value(value);
    // The value is on the stack: aliases are saved from under it.
    this.settleAliases(reg);
    this.emit.set(this.local(reg));
    this.cached |= 1 << reg;
    this.dirty |= 1 << reg;
  }
}

export function registersOf({ insns }: LiftedBlock): RegisterMasks {
  let masks: RegisterMasks = { used: 0, written: 0 };
  for (const { statements } of insns) {
    const more = registersIn(statements);
    masks = { used: masks.used | more.used, written: masks.written | more.written };
  }
  return masks;
}

/** Registers that statements read and write, conditionals included; what is written counts as used. */
export function registersIn(statements: readonly Statement[]): RegisterMasks {
  let used = 0;
  let written = 0;
  const seen = new Set<Value>();
  const visit = (v: Value | undefined): void => {
    if (v === undefined || seen.has(v)) return;
    seen.add(v);
    if (v.op === 'reg') used |= 1 << v.imm;
    visit(v.a);
    visit(v.b);
    visit(v.c);
    for (const a of v.args ?? []) visit(a);
  };
  const scan = (list: readonly Statement[]): void => {
    for (const s of list) {
      for (const v of operandsOf(s)) visit(v);
      if (s.kind === 'set') written |= 1 << s.reg;
      if (s.kind === 'if') scan(s.then);
    }
  };
  scan(statements);
  return { used: used | written, written };
}

function* bitsOf(mask: number): Iterable<number> {
  for (let reg = 0; reg < REGISTERS; reg++) if ((mask >> reg) & 1) yield reg;
}
