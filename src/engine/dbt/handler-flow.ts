/** The ways from one interpreter handler to the next: records in sequence, links, what `lookup` finds, the ring of return addresses. */
import type { Value } from '../../ir/value.js';
import type { Emitter } from '../../wasm/emitter.js';
import * as S from '../../x86/state.js';
import { Lowering, type RuntimeFunctions } from './lower.js';
import { FAR, followPageLink, INDIRECT, isLinked } from './page-links.js';
import * as R from './record.js';
import { popReturn, pushReturn } from './return-ring.js';

/** Types of the module a handler belongs to. */
export interface HandlerTypes {
  /** (i32) -> i32. */
  readonly handler: number;
}

/** The function that handlers share; undefined in a function of its own. */
export interface HandlerLoops {
  /** Depths of the loops that go from block to block and from record to record. */
  readonly blocks: number;
  readonly records: number;
  /** Locals: handler of the record, and of the one behind it. */
  readonly handler: number;
  readonly next: number;
  /** The next record's handler stands right behind this one. */
  readonly isFollowed?: boolean;
}

/** Local 0: the record. */
export const RECORD = 0;

export abstract class HandlerFlow extends Lowering {
  protected readonly types: HandlerTypes;
  protected readonly key: number;
  private readonly loops: HandlerLoops | undefined;
  constructor(
    emit: Emitter,
    functions: RuntimeFunctions,
    types: HandlerTypes,
    key: number,
    loops: HandlerLoops | undefined,
  ) {
    super(emit, functions);
    this.types = types;
    this.key = key;
    this.loops = loops;
  }

  protected nextRecord(): void {
    const e = this.emit;
    e.get(RECORD);
    e.i32(R.RECORD_SIZE);
    e.op('i32.add');
    e.set(RECORD);
    if (this.loops === undefined) {
      this.call();
      return;
    }
    const { handler, next, records, isFollowed } = this.loops;
    if (isFollowed === true) return;
    e.get(next);
    e.set(handler);
    e.get(RECORD);
    e.load('i32', 4, R.RECORD_SIZE + R.HANDLER);
    e.set(next);
    e.br(records);
  }
  /** Goes on at the record whose address is in local RECORD, mostly the header of a block. */
  protected dispatch(): void {
    if (this.loops === undefined) this.call();
    else this.emit.br(this.loops.blocks);
  }
  private call(): void {
    const e = this.emit;
    e.get(RECORD);
    e.get(RECORD);
    e.load('i32', 4, R.HANDLER);
    e.returnCallIndirect(this.types.handler);
  }
  /** Goes on at the record `lookup` (or another finder) answers, or returns STATUS. The answer is on the stack. */
  protected follow(): void {
    const e = this.emit;
    e.tee(RECORD);
    e.if(undefined, true);
    this.dispatch();
    e.end();
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
    e.return();
  }
  /** Follows a link of this record; where it is not resolved, RIP is set by `rip` and looked up. */
  protected followLink(link: number, rip: () => void): void {
    const e = this.emit;
    const target = e.allocate('i32');
    e.get(RECORD);
    e.load('i32', 4, link);
    e.tee(target);
    e.if(undefined, true);
    e.get(target);
    e.set(RECORD);
    this.dispatch();
    e.end();
    e.release(target, 'i32');
    e.i32(0);
    rip();
    e.store('i64', 8, S.CPU_BASE + S.RIP);
    e.get(RECORD);
    e.i32(link);
    e.op('i32.add');
    this.functions.call(e, 'lookup');
    this.follow();
  }
  /** Goes to a relative target: by the link within the page, by that between pages, or by looking it up. */
  protected followTarget({ target, size }: { readonly target: Value; readonly size: number }): void {
    const e = this.emit;
    if (!isLinked(this.key) || size < (this.key & S.KEY_CODE64 ? 8 : 4)) {
      this.followLink(R.LINK_TAKEN, () => this.ripPlus(() => this.value(target), size));
      return;
    }
    this.pin(target);
    const header = e.allocate('i32');
    e.get(RECORD);
    e.load('i32', 4, R.LINK_TAKEN);
    e.tee(header);
    e.if();
    e.get(header);
    e.set(RECORD);
    this.dispatch();
    e.end();
    const isFar = (): void => {
      this.peek(target);
      e.i64(12n);
      e.op('i64.shr_u');
      e.i64(0n);
      e.op('i64.ne');
    };
    isFar();
    e.if();
    this.followPages(
      header,
      () => e.get(RECORD),
      R.LINK_FAR,
      () => this.ripPlus(() => this.peek(target)),
    );
    e.end();
    e.release(header, 'i32');
    e.i32(0);
    this.ripPlus(() => this.peek(target));
    e.store('i64', 8, S.CPU_BASE + S.RIP);
    e.get(RECORD);
    e.i32(R.LINK_FAR | FAR);
    e.i32(R.LINK_TAKEN);
    isFar();
    e.select('i32');
    e.op('i32.add');
    this.functions.call(e, 'lookup');
    this.discard(target);
    this.follow();
  }
  /** Goes on by the link between pages at `offset` from what `link` pushes, where it holds. */
  private followPages(header: number, link: () => void, offset: number, rip: () => void): void {
    const e = this.emit;
    const word = (n: number): void => {
      link();
      e.load('i32', 4, offset + n);
    };
    followPageLink(e, header, word, rip, () => {
      e.get(header);
      e.set(RECORD);
      this.dispatch();
    });
  }
  /** Opens `if`: this is no single step, whose record may be gone at once. */
  private ifNotStepped(): void {
    const e = this.emit;
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STEP);
    e.op('i32.eqz');
    e.if(undefined, true);
  }
  /** Notes in the ring where this call returns to. */
  protected pushReturn(): void {
    if (!isLinked(this.key)) return;
    const e = this.emit;
    const top = e.allocate('i32');
    this.ifNotStepped();
    const rip = (): void =>
      this.ripPlus(() => {
        e.get(RECORD);
        e.load('i64', 2, R.NEXT);
      });
    pushReturn(e, top, rip, () => {
      e.get(RECORD);
      e.i32(R.LINK_RETURN | FAR);
      e.op('i32.add');
    });
    e.end();
    e.release(top, 'i32');
  }
  /** Goes to a RIP: a return to where the newest call of the ring returns by that call's link, others by their own. */
  protected followRip(rip: Value, isReturn: boolean): void {
    const e = this.emit;
    this.pin(rip);
    const link = e.allocate('i32');
    e.i32(0);
    e.set(link);
    if (isLinked(this.key)) {
      if (isReturn) this.popReturn(link, rip);
      else this.followIndirect(link, rip);
    }
    e.i32(0);
    this.peek(rip);
    e.store('i64', 8, S.CPU_BASE + S.RIP);
    e.get(link);
    this.functions.call(e, 'lookup');
    e.release(link, 'i32');
    this.discard(rip);
    this.follow();
  }
  /** By the link to where this instruction went last: it stands behind the record. */
  private followIndirect(link: number, rip: Value): void {
    const e = this.emit;
    const header = e.allocate('i32');
    this.ifNotStepped();
    e.get(RECORD);
    e.i32(R.RECORD_SIZE | FAR | INDIRECT);
    e.op('i32.add');
    e.set(link);
    const pushRip = (): void => this.peek(rip);
    e.get(RECORD);
    e.load('i64', 8, R.RECORD_SIZE + R.LINK_RIP);
    pushRip();
    e.op('i64.eq');
    e.if();
    this.followPages(header, () => e.get(RECORD), R.RECORD_SIZE, pushRip);
    e.end();
    e.end();
    e.release(header, 'i32');
  }
  private popReturn(link: number, rip: Value): void {
    const e = this.emit;
    const top = e.allocate('i32');
    this.ifNotStepped();
    const pushRip = (): void => this.peek(rip);
    popReturn(e, top, pushRip, () => {
      e.tee(link);
      e.if(undefined, true);
      const header = (): void => {
        e.get(link);
        e.i32(FAR);
        e.op('i32.sub');
      };
      this.followPages(top, header, 0, pushRip);
      e.end();
    });
    e.end();
    e.release(top, 'i32');
  }

  /** To what follows this record's instruction. */
  protected followNext(link: number): void {
    this.followLink(link, () => {
      this.ripPlus(() => {
        this.emit.get(RECORD);
        this.emit.load('i64', 2, R.NEXT);
      });
    });
  }
  protected setRip(offsetField: number): void {
    const e = this.emit;
    e.i32(0);
    this.ripPlus(() => {
      e.get(RECORD);
      e.load('i64', 2, offsetField);
    });
    e.store('i64', 8, S.CPU_BASE + S.RIP);
  }
  protected ripPlus(offset: () => void, size = 8): void {
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

  protected override ripBase(): void {
    this.emit.i32(0);
    this.emit.load('i64', 8, S.CPU_BASE + S.RIP_BASE);
  }
}
