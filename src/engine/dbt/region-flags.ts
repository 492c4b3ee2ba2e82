/**
 * The status flags in a region: a record of the operation that made them while its values are at hand, four locals in
 * loops, or the vCPU state in memory.
 */
import { Builder } from '../../ir/builder.js';
import type { FlagsRecord, Statement, Value } from '../../ir/value.js';
import * as S from '../../x86/state.js';
import { conditionValue } from './flag-conditions.js';
import { operationOf } from './flag-knowledge.js';
import { RegionMemory } from './region-memory.js';

export type FlagsPlace = 'locals' | 'memory';

/** Condition code of CF. */
const CARRY = 2;
const NEVER_RELEASED = 1 << 20;
/** Second words of the state in memory. */
const WORDS = [S.CC_DST, S.CC_SRC, S.CC_SRC2] as const;

export abstract class RegionFlags extends RegionMemory {
  /** What is known: the operation, or where to look. */
  protected flags: FlagsRecord | FlagsPlace = 'memory';
  private readonly operation = this.emit.allocate('i32');
  private readonly words = WORDS.map(() => this.emit.allocate('i64'));

  protected override recordFlags({ flags }: Statement & { kind: 'flags' }): void {
    const { dst, src, src2, x } = flags;
    this.pin(dst);
    if (src !== undefined) this.pin(src);
    if (src2 !== undefined) this.pin(src2);
    if (x !== undefined) this.pin(x);
    // A register alias would change under the record.
    this.settle(dst);
    if (src !== undefined) this.settle(src);
    if (src2 !== undefined) this.settle(src2);
    if (x !== undefined) this.settle(x);
    this.dropFlags('memory');
    this.flags = flags;
  }
  private settle(v: Value): void {
    if (v.local === -2) this.settleAliases(v.imm);
  }
  protected override setFlags(value: Value): void {
    this.pin(value);
    this.settle(value);
    this.dropFlags('memory');
    this.flags = { kind: S.CC_FLAGS, size: 1, dst: value, src: value, src2: undefined, x: undefined };
    value.uses++;
  }
  /** Forgets the record; the flags are in `place` now, or nobody wants them. */
  protected dropFlags(place: FlagsPlace): void {
    const { flags } = this;
    if (typeof flags === 'object') {
      this.discard(flags.dst);
      if (flags.src !== undefined) this.discard(flags.src);
      if (flags.src2 !== undefined) this.discard(flags.src2);
      if (flags.x !== undefined) this.discard(flags.x);
    }
    this.flags = place;
  }
  /** Both arms of a branch inherit the flags: their values must outlive either. */
  protected keepFlags(): void {
    const { flags } = this;
    if (typeof flags !== 'object') return;
    flags.dst.uses += NEVER_RELEASED;
    if (flags.src !== undefined) flags.src.uses += NEVER_RELEASED;
    if (flags.src2 !== undefined) flags.src2.uses += NEVER_RELEASED;
    if (flags.x !== undefined) flags.x.uses += NEVER_RELEASED;
  }

  /** Writes the flags to memory, without forgetting what is known. */
  protected storeFlags(): void {
    const e = this.emit;
    if (this.flags === 'memory') return;
    e.i32(0);
    this.pushOperation();
    e.store('i32', 4, S.CPU_BASE + S.CC_OP);
    for (let n = 0; n < WORDS.length; n++) {
      if (typeof this.flags === 'object' && wordOf(this.flags, n) === undefined) continue;
      e.i32(0);
      this.pushWord(n);
      e.store('i64', 8, S.CPU_BASE + (WORDS[n] as number));
    }
  }
  /** The same, on the path that goes on: they are in memory from now on. */
  protected moveFlagsToMemory(): void {
    this.storeFlags();
    this.dropFlags('memory');
  }
  protected moveFlagsToLocals(): void {
    this.copyFlagsToLocals();
    this.dropFlags('locals');
  }
  /** For a path that leaves. */
  protected copyFlagsToLocals(): void {
    if (this.flags === 'locals') return;
    const e = this.emit;
    this.pushOperation();
    e.set(this.operation);
    for (let n = 0; n < WORDS.length; n++) {
      if (typeof this.flags === 'object' && wordOf(this.flags, n) === undefined) continue;
      this.pushWord(n);
      e.set(this.words[n] as number);
    }
  }

  private pushOperation(): void {
    const e = this.emit;
    if (this.flags === 'locals') e.get(this.operation);
    else if (this.flags === 'memory') {
      e.i32(0);
      e.load('i32', 4, S.CPU_BASE + S.CC_OP);
    } else e.i32(operationOf(this.flags));
  }
  private pushWord(n: number): void {
    const e = this.emit;
    if (this.flags === 'locals') e.get(this.words[n] as number);
    else if (this.flags === 'memory') {
      e.i32(0);
      e.load('i64', 8, S.CPU_BASE + (WORDS[n] as number));
    } else {
      const v = wordOf(this.flags, n);
      if (v === undefined) e.i64Small(0);
      else {
        this.peek(v);
        if (v.type === 'i32') e.op('i64.extend_i32_u');
      }
    }
  }

  // ---- reading ----
  protected override condition(cond: number): void {
    if (typeof this.flags === 'object') {
      const direct = conditionValue(new Builder(), this.flags, cond);
      if (direct !== undefined) {
        direct.uses++;
        this.value(direct);
        return;
      }
    } else if (cond === CARRY) {
      this.carry();
      return;
    }
    this.evaluateCondition(cond);
  }
  private evaluateCondition(cond: number): void {
    const e = this.emit;
    e.i32(cond);
    if (this.flags === 'memory') {
      this.functions.call(e, 'condition');
      return;
    }
    this.pushOperation();
    for (let n = 0; n < WORDS.length; n++) this.pushWord(n);
    this.functions.call(e, 'evaluateCondition');
  }
  /** CF in a loop counted by DEC or INC: they carry it along in the record's source. */
  private carry(): void {
    const e = this.emit;
    this.pushOperation();
    e.i32(S.CC_INC << 2);
    e.op('i32.sub');
    e.i32(8);
    e.op('i32.lt_u');
    e.if('i32');
    this.pushWord(1);
    e.op('i32.wrap_i64');
    e.else();
    this.evaluateCondition(CARRY);
    e.end();
  }
  protected override flagsWord(): void {
    const e = this.emit;
    if (this.flags === 'memory') {
      this.functions.call(e, 'computeFlags');
      return;
    }
    this.pushOperation();
    for (let n = 0; n < WORDS.length; n++) this.pushWord(n);
    this.functions.call(e, 'evaluateFlags');
  }
}

function wordOf({ dst, src, src2 }: FlagsRecord, n: number): Value | undefined {
  return n === 0 ? dst : n === 1 ? src : src2;
}
