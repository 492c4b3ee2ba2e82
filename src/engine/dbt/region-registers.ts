/**
 * Guest registers in a region. Each has a local; at every point of the code it is known which locals hold the register's
 * value (`cached`) and which of them are newer than the vCPU state in memory (`dirty`). A register is loaded where it is
 * first read, and stored where control leaves or paths meet that do not agree.
 */
import type { Statement, Value } from '../../ir/value.js';
import * as S from '../../x86/state.js';
import { Lowering } from './lower.js';

/** A lifted block of a region. */
export interface LiftedBlock {
  readonly place: number;
  readonly frame: number;
  readonly offset: number;
  readonly end: number;
  readonly count: number;
  /** Place of the function that is part of the region for the call at the end of this block. */
  readonly callee: number | undefined;
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

/** One bit for each register. */
const ALL = 0xffff;
const lowest = (mask: number): number => 31 - Math.clz32(mask & -mask);

export abstract class RegionRegisters extends Lowering {
  private readonly locals: number[] = [];
  protected cached = 0;
  protected dirty = 0;
  /** Values read from a register that has not changed since: they need no local of their own. */
  private readonly aliases: Value[][] = Array.from({ length: 16 }, () => []);
  /** Registers that have aliases. */
  private aliased = 0;

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
    for (let rest = mask & ALL & ~this.cached; rest !== 0; rest &= rest - 1) {
      const reg = lowest(rest);
      this.load(reg);
      this.emit.set(this.local(reg));
    }
  }
  /** Stores what is newer than memory, for a path that leaves: what is known here stays as it is. */
  protected storeRegisters(mask = -1): void {
    for (let rest = this.dirty & mask & ALL; rest !== 0; rest &= rest - 1) this.storeRegister(lowest(rest));
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
    (this.aliases[v.imm] as Value[]).push(v);
    this.aliased |= 1 << v.imm;
  }
  protected override pin(v: Value): void {
    super.pin(v);
    // It may be read on one path only, where loading the register would hide it from the others.
    if (v.local === -2) this.cacheRegisters(1 << v.imm);
  }
  /** Before a register changes: aliases still wanted get a local of their own. */
  protected settleAliases(reg: number): void {
    if (((this.aliased >> reg) & 1) === 0) return;
    const e = this.emit;
    const values = this.aliases[reg] as Value[];
    for (let n = 0; n < values.length; n++) {
      const v = values[n] as Value;
      if (v.uses <= 0 || v.local !== -2) continue;
      v.local = e.allocate('i64');
      this.getLocal(reg);
      e.set(v.local);
    }
    values.length = 0;
    this.aliased &= ~(1 << reg);
  }
  protected settleAllAliases(mask = ALL): void {
    for (let rest = this.aliased & mask; rest !== 0; rest &= rest - 1) this.settleAliases(lowest(rest));
  }
  /** An instruction has ended: nobody wants them any more. */
  protected forgetAliases(): void {
    for (let rest = this.aliased; rest !== 0; rest &= rest - 1) (this.aliases[lowest(rest)] as Value[]).length = 0;
    this.aliased = 0;
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
  const scan = new RegisterScan();
  for (let n = 0; n < insns.length; n++) scan.statements((insns[n] as LiftedInsn).statements);
  return scan.masks;
}

/** Registers that statements read and write, conditionals included; what is written counts as used. */
export function registersIn(statements: readonly Statement[]): RegisterMasks {
  const scan = new RegisterScan();
  scan.statements(statements);
  return scan.masks;
}

/** Registers are read where they are evaluated: no other statement needs to be looked into. */
class RegisterScan {
  private used = 0;
  private written = 0;

  get masks(): RegisterMasks {
    return { used: this.used | this.written, written: this.written };
  }
  statements(list: readonly Statement[]): void {
    for (let n = 0; n < list.length; n++) {
      const s = list[n] as Statement;
      if (s.kind === 'eval') {
        if (s.value.op === 'reg') this.used |= 1 << s.value.imm;
      } else if (s.kind === 'set') this.written |= 1 << s.reg;
      else if (s.kind === 'if') this.statements(s.then);
    }
  }
}
