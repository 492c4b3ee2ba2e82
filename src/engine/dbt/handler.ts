/**
 * Lowers one instruction form to an interpreter handler: a function of the record's address that ends by tail-calling
 * the next record's handler. Registers, flags and RIP live in linear memory.
 */
import { Builder } from '../../ir/builder.js';
import type { Statement, Value } from '../../ir/value.js';
import * as S from '../../x86/state.js';
import { conditionOf, operationOf, UNKNOWN } from './flag-knowledge.js';
import { HandlerFlow, RECORD } from './handler-flow.js';
import type { DynamicLift } from './lift-dynamic.js';
import { pushInterrupted } from './page-links.js';
import * as R from './record.js';

export class HandlerLowering extends HandlerFlow {
  /** Of the flags, until this instruction changes them. */
  private known = UNKNOWN;

  /** The whole handler of an instruction, where so much is known of the flags before it. */
  instruction(lift: DynamicLift, known: number): void {
    this.known = known;
    for (const s of lift.statements) this.statement(s);
    if (lift.ended) this.emit.unreachable();
    else if (lift.statements.at(-1)?.kind === 'branch') this.followNext(R.LINK_NEXT);
    else this.nextRecord();
  }

  // ---- handlers that are no instruction ----
  /** First record of a block: budget, heat, exit requests. */
  header(): void {
    const e = this.emit;
    const n = e.allocate('i32');
    this.countBlock(n);
    e.get(RECORD);
    e.get(RECORD);
    e.load('i32', 4, R.HEADER_HEAT);
    e.i32(1);
    e.op('i32.add');
    e.tee(n);
    e.store('i32', 4, R.HEADER_HEAT);
    e.get(n);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.HOT_THRESHOLD);
    e.op('i32.eq');
    e.if(undefined, false);
    this.setRip(R.OFFSET);
    e.i32(0);
    e.get(RECORD);
    e.store('i32', 4, S.CPU_BASE + S.RECORD);
    e.i32(S.STATUS_HOT);
    e.return();
    e.end();
    e.i32(0);
    e.i32(0);
    e.load('i64', 8, S.CPU_BASE + S.COUNT_INTERPRETED);
    e.get(RECORD);
    e.load('i64', 4, R.HEADER_COUNT);
    e.op('i64.add');
    e.store('i64', 8, S.CPU_BASE + S.COUNT_INTERPRETED);
    e.release(n, 'i32');
  }
  private countBlock(n: number): void {
    const e = this.emit;
    e.i32(0);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.BUDGET);
    e.get(RECORD);
    e.load('i32', 4, R.HEADER_COUNT);
    e.op('i32.sub');
    e.tee(n);
    e.store('i32', 4, S.CPU_BASE + S.BUDGET);
    pushInterrupted(e, n);
    e.if(undefined, false);
    this.setRip(R.OFFSET);
    e.i32(S.STATUS_BUDGET);
    e.return();
    e.end();
  }
  /** The header of a block that only jumps, and the jump: `lift`. It is never translated. */
  stub(lift: DynamicLift): void {
    const e = this.emit;
    const n = e.allocate('i32');
    this.countBlock(n);
    e.release(n, 'i32');
    e.get(RECORD);
    e.get(RECORD);
    e.load('i32', 4, R.HEADER_COUNT);
    e.i32(R.RECORD_SIZE);
    e.op('i32.mul');
    e.op('i32.add');
    e.set(RECORD);
    this.instruction(lift, UNKNOWN);
  }
  /** Last record of a block that falls through. */
  close(): void {
    this.followNext(R.CLOSE_LINK);
  }
  /** Header of a block that was invalidated, met through a link: another block stands there now, or will. */
  invalid(): void {
    this.setRip(R.OFFSET);
    this.finder();
  }
  /** Record with no instruction: RIP is set, find what is there. */
  finder(): void {
    this.emit.i32(0);
    this.functions.call(this.emit, 'lookup');
    this.follow();
    this.emit.unreachable();
  }
  /** Tail-calls the record's handler: the way in, and the way from one region to another. */
  enter(): void {
    this.dispatch();
  }

  /** The way in from the run loop: faults come back here and their handlers are entered. */
  run(): void {
    const e = this.emit;
    const status = e.allocate('i32');
    e.loop();
    e.get(RECORD);
    e.get(RECORD);
    e.load('i32', 4, R.HANDLER);
    e.callIndirect(this.types.handler);
    e.tee(status);
    e.i32(S.STATUS_FAULT);
    e.op('i32.ne');
    e.if();
    e.get(status);
    e.return();
    e.end();
    this.functions.call(e, 'deliverFault');
    e.tee(RECORD);
    e.brIf(e.depth);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
    e.return();
    e.end();
    e.unreachable();
  }

  // ---- Lowering ----
  protected override getRegister(v: Value): void {
    throw new Error(`register ${v.imm} is not known to a handler`);
  }
  protected override setRegister(reg: number): void {
    throw new Error(`register ${reg} is not known to a handler`);
  }
  protected override field(v: Value): void {
    this.emit.get(RECORD);
    this.emit.load(v.type, v.size, v.imm);
  }
  protected override viewBase(_write: boolean): void {
    const e = this.emit;
    // MMU index * 2 * TLB_SIZE: the key holds it at bit 2, two views lie 2 TLB_SIZE apart.
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.BLOCK_KEY);
    e.i32(S.KEY_MMU_MASK);
    e.op('i32.and');
    e.i32(Math.log2(2 * S.TLB_SIZE) - S.KEY_MMU_SHIFT);
    e.op('i32.shl');
    e.op('i32.add');
  }
  protected override viewOffset(write: boolean): number {
    return S.TLB + (write ? S.TLB_SIZE : 0);
  }
  protected override condition(cond: number): void {
    const value = this.known === UNKNOWN ? undefined : conditionOf(new Builder(), this.known, cond);
    if (value !== undefined) {
      value.uses++;
      this.value(value);
      return;
    }
    this.emit.i32(cond);
    this.functions.call(this.emit, 'condition');
  }
  protected override flagsWord(): void {
    this.functions.call(this.emit, 'computeFlags');
  }
  private storeFlagPart(offset: number, v: Value | undefined): void {
    if (v === undefined) return;
    this.emit.i32(0);
    this.value(v);
    if (v.type === 'i32') this.emit.op('i64.extend_i32_u');
    this.emit.store('i64', 8, S.CPU_BASE + offset);
  }
  private storeOperation(op: number): void {
    this.emit.i32(0);
    this.emit.i32(op);
    this.emit.store('i32', 4, S.CPU_BASE + S.CC_OP);
  }
  protected override recordFlags({ flags }: Statement & { kind: 'flags' }): void {
    this.storeFlagPart(S.CC_DST, flags.dst);
    this.storeFlagPart(S.CC_SRC, flags.src);
    this.storeFlagPart(S.CC_SRC2, flags.src2);
    if (flags.x !== undefined) this.discard(flags.x);
    this.storeOperation(operationOf(flags));
    this.known = UNKNOWN;
  }
  protected override setFlags(value: Value): void {
    this.storeFlagPart(S.CC_SRC, value);
    this.storeOperation(S.CC_FLAGS * 4);
    this.known = UNKNOWN;
  }
  protected override sideExit(): void {
    this.setRip(R.OFFSET);
    this.emit.i32(0);
    this.emit.load('i32', 4, S.CPU_BASE + S.STATUS);
    this.emit.return();
  }
  protected override routine(s: Statement & { kind: 'routine' }): void {
    const e = this.emit;
    this.setRip(R.OFFSET);
    this.callRoutine(s.name, s.args);
    this.known = UNKNOWN;
    const status = e.allocate('i32');
    e.tee(status);
    e.if(undefined, s.ends ? undefined : false);
    if (s.ends) {
      e.get(status);
      e.i32(S.STATUS_MISS);
      e.op('i32.eq');
      e.if();
      this.functions.call(e, 'lookupChecked');
      this.follow();
      e.end();
    }
    e.get(status);
    e.return();
    e.end();
    e.release(status, 'i32');
    if (!s.ends) return;
    this.setRip(R.NEXT);
    this.functions.call(e, 'lookupChecked');
    this.follow();
  }
  protected override raise(vector: number, error: number | undefined): void {
    const e = this.emit;
    this.setRip(R.OFFSET);
    e.i32(vector);
    if (error === undefined) this.functions.call(e, 'raise');
    else {
      e.i32(error);
      this.functions.call(e, 'raiseError');
    }
    e.return();
  }
  protected override conditional(s: Statement & { kind: 'if' }): void {
    this.value(s.cond);
    const { known } = this;
    this.emit.if();
    for (const inner of s.then) this.statement(inner);
    this.emit.end();
    if (this.known !== known) this.known = UNKNOWN;
  }
  protected override terminator(s: Statement): void {
    const e = this.emit;
    switch (s.kind) {
      case 'jump':
        if (s.transfer === 'call') this.pushReturn();
        this.followTarget(s);
        return;
      case 'branch':
        this.value(s.cond);
        e.if();
        this.followTarget(s);
        e.end();
        return;
      case 'jumpto':
        if (s.transfer === 'call') this.pushReturn();
        this.followRip(s.rip, s.transfer === 'return');
        return;
      case 'leave':
        this.setRip(R.NEXT);
        e.i32(s.status);
        e.return();
        return;
      default:
        throw new Error(`statement ${s.kind} is no terminator`);
    }
  }
}
