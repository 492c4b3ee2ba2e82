/**
 * Lowers one instruction form to an interpreter handler: a function of the record's address that ends by tail-calling
 * the next record's handler. Registers, flags and RIP live in linear memory.
 */
import type { Statement, Value } from '../../ir/value.js';
import type { FunctionBody } from '../../wasm/module.js';
import type { Insn } from '../../x86/insn.js';
import type { Definition } from '../../x86/lift.js';
import * as S from '../../x86/state.js';
import { DynamicLift } from './lift-dynamic.js';
import { type FunctionIndex, Lowering } from './lower.js';
import * as R from './record.js';

/** Types of the module a handler belongs to. */
export interface HandlerTypes {
  /** (i32) -> i32. */
  readonly handler: number;
}

/** Local 0: the record. */
const RECORD = 0;

export class HandlerLowering extends Lowering {
  private readonly types: HandlerTypes;
  private readonly key: number;

  constructor(functions: FunctionIndex, types: HandlerTypes, key: number) {
    super(['i32'], functions);
    this.types = types;
    this.key = key;
  }

  /** The whole handler of an instruction of this shape. */
  instruction(sample: Insn, definition: Definition): FunctionBody {
    // The decoder shares register operands: here each stands for its own field of the record.
    const insn: Insn = { ...sample, operands: sample.operands.map((op) => ({ ...op })) };
    const lift = new DynamicLift(this.key, insn);
    definition.lift(lift, insn);
    for (const s of lift.statements) this.statement(s);
    if (lift.ended) this.emit.unreachable();
    else if (lift.statements.at(-1)?.kind === 'branch') this.followNext(R.LINK_NEXT);
    else this.nextRecord();
    return this.emit.finish(this.types.handler);
  }

  // ---- pieces of handlers ----
  private nextRecord(): void {
    const e = this.emit;
    e.get(RECORD);
    e.i32(R.RECORD_SIZE);
    e.op('i32.add');
    e.tee(RECORD);
    this.dispatch();
  }
  /** Tail-calls the handler of the record whose address is on the stack and in local RECORD. */
  private dispatch(): void {
    const e = this.emit;
    e.get(RECORD);
    e.load('i32', 4, R.HANDLER);
    e.returnCallIndirect(this.types.handler);
  }
  /** Goes on at the record `lookup` (or another finder) answers, or returns STATUS. The answer is on the stack. */
  private follow(): void {
    const e = this.emit;
    e.tee(RECORD);
    e.if();
    e.get(RECORD);
    this.dispatch();
    e.end();
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
    e.return();
  }
  /** Follows a link of this record; where it is not resolved, RIP is set by `rip` and looked up. */
  private followLink(link: number, rip: () => void): void {
    const e = this.emit;
    const target = e.allocate('i32');
    e.get(RECORD);
    e.load('i32', 4, link);
    e.tee(target);
    e.if();
    e.get(target);
    e.get(target);
    e.load('i32', 4, R.HANDLER);
    e.returnCallIndirect(this.types.handler);
    e.end();
    e.release(target, 'i32');
    e.i32(0);
    rip();
    e.store('i64', 8, S.CPU_BASE + S.RIP);
    e.get(RECORD);
    e.i32(link);
    e.op('i32.add');
    e.call(this.functions('lookup'));
    this.follow();
  }
  /** To what follows this record's instruction. */
  private followNext(link: number): void {
    this.followLink(link, () => {
      this.ripPlus(() => {
        this.emit.get(RECORD);
        this.emit.load('i64', 2, R.NEXT);
      });
    });
  }
  private setRip(offsetField: number): void {
    const e = this.emit;
    e.i32(0);
    this.ripPlus(() => {
      e.get(RECORD);
      e.load('i64', 2, offsetField);
    });
    e.store('i64', 8, S.CPU_BASE + S.RIP);
  }
  private ripPlus(offset: () => void, size = 8): void {
    const e = this.emit;
    this.ripBase();
    offset();
    e.op('i64.add');
    const bytes = this.key & S.KEY_CODE64 ? 8 : Math.min(size, 4);
    if (bytes < 8) {
      e.i64((1n << BigInt(bytes * 8)) - 1n);
      e.op('i64.and');
    }
  }

  // ---- handlers that are no instruction ----
  /** First record of a block: budget, heat, exit requests. */
  header(): FunctionBody {
    const e = this.emit;
    const n = e.allocate('i32');
    e.i32(0);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.BUDGET);
    e.get(RECORD);
    e.load('i32', 4, R.HEADER_COUNT);
    e.op('i32.sub');
    e.tee(n);
    e.store('i32', 4, S.CPU_BASE + S.BUDGET);
    e.get(n);
    e.i32(0);
    e.op('i32.lt_s');
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.EXIT_REQUEST);
    e.op('i32.or');
    e.if();
    this.setRip(R.OFFSET);
    e.i32(S.STATUS_BUDGET);
    e.return();
    e.end();
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
    e.if();
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
    this.nextRecord();
    return e.finish(this.types.handler);
  }
  /** Last record of a block that falls through. */
  close(): FunctionBody {
    this.followNext(R.CLOSE_LINK);
    return this.emit.finish(this.types.handler);
  }
  /** Header of a block that was invalidated, met through a link: another block stands there now, or will. */
  invalid(): FunctionBody {
    this.setRip(R.OFFSET);
    return this.finder();
  }
  /** Record with no instruction: RIP is set, find what is there. */
  finder(): FunctionBody {
    this.emit.i32(0);
    this.emit.call(this.functions('lookup'));
    this.follow();
    this.emit.unreachable();
    return this.emit.finish(this.types.handler);
  }
  /** Tail-calls the record's handler: the way in, and the way from one region to another. */
  enter(): FunctionBody {
    this.emit.get(RECORD);
    this.dispatch();
    return this.emit.finish(this.types.handler);
  }

  /** The way in from the run loop: faults come back here and their handlers are entered. */
  run(): FunctionBody {
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
    e.call(this.functions('deliverFault'));
    e.tee(RECORD);
    e.brIf(e.depth);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
    e.return();
    e.end();
    e.unreachable();
    return e.finish(this.types.handler);
  }

  // ---- Lowering ----
  protected override getRegister(v: Value): void {
    throw new Error(`register ${v.imm} is not known to a handler`);
  }
  protected override setRegister(reg: number): void {
    throw new Error(`register ${reg} is not known to a handler`);
  }
  protected override ripBase(): void {
    this.emit.i32(0);
    this.emit.load('i64', 8, S.CPU_BASE + S.RIP_BASE);
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
    this.emit.i32(cond);
    this.emit.call(this.functions('condition'));
  }
  protected override flagsWord(): void {
    this.emit.call(this.functions('computeFlags'));
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
    this.storeOperation(flags.kind * 4 + Math.log2(flags.size));
  }
  protected override setFlags(value: Value): void {
    this.storeFlagPart(S.CC_SRC, value);
    this.storeOperation(S.CC_FLAGS * 4);
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
    const status = e.allocate('i32');
    e.tee(status);
    e.if();
    if (s.ends) {
      e.get(status);
      e.i32(S.STATUS_MISS);
      e.op('i32.eq');
      e.if();
      e.call(this.functions('lookupChecked'));
      this.follow();
      e.end();
    }
    e.get(status);
    e.return();
    e.end();
    e.release(status, 'i32');
    if (!s.ends) return;
    this.setRip(R.NEXT);
    e.call(this.functions('lookupChecked'));
    this.follow();
  }
  protected override raise(vector: number, error: number | undefined): void {
    const e = this.emit;
    this.setRip(R.OFFSET);
    e.i32(vector);
    if (error === undefined) e.call(this.functions('raise'));
    else {
      e.i32(error);
      e.call(this.functions('raiseError'));
    }
    e.return();
  }
  protected override conditional(s: Statement & { kind: 'if' }): void {
    this.value(s.cond);
    this.emit.if();
    for (const inner of s.then) this.statement(inner);
    this.emit.end();
  }
  protected override terminator(s: Statement): void {
    const e = this.emit;
    switch (s.kind) {
      case 'jump':
        this.followLink(R.LINK_TAKEN, () => this.ripPlus(() => this.value(s.target), s.size));
        return;
      case 'branch':
        this.value(s.cond);
        e.if();
        this.followLink(R.LINK_TAKEN, () => this.ripPlus(() => this.value(s.target), s.size));
        e.end();
        return;
      case 'jumpto':
        e.i32(0);
        this.value(s.rip);
        e.store('i64', 8, S.CPU_BASE + S.RIP);
        e.i32(0);
        e.call(this.functions('lookup'));
        this.follow();
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
