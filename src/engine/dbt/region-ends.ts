/** The ends of blocks: jumps, calls and returns, as far as the region holds where they go. */
import { constOf } from '../../ir/builder.js';
import type { Statement, Value } from '../../ir/value.js';
import { GPR_INDEX } from '../../x86/lift.js';
import { isLinked } from './page-links.js';
import { isSamePage } from './region-exits.js';
import type { FlowNode } from './region-flow.js';
import { RegionFrames } from './region-frames.js';
import { type Frame, placeOf } from './region-guests.js';

export abstract class RegionEnds extends RegionFrames {
  /** Address of the landings by page offset, where the region has such a table. */
  protected abstract readonly landings: number | undefined;
  /** Local: number of the landing that the dispatch node goes to. */
  protected abstract readonly next: number;

  /** Control goes to an offset in the frame of this block: inside the region if it is there. Ends the code path. */
  protected abstract goto(offset: number, size?: number): void;
  /** The same to a node that is there. */
  protected abstract proceed(to: number, offset: number): void;
  /** To the landing whose number `landing` pushes. */
  protected abstract goToDispatch(landing: () => void): void;

  protected override terminator(s: Statement): void {
    switch (s.kind) {
      case 'jump':
        if (s.transfer === 'call') this.callTo(offsetOf(s.target), s.size);
        else this.goto(offsetOf(s.target), s.size);
        return;
      case 'branch':
        this.branch(s);
        return;
      case 'jumpto':
        this.jumpTo(s);
        return;
      case 'leave':
        this.leaveWith(() => this.emit.i32(s.status), this.insn.next);
        return;
      default:
        throw new Error(`statement ${s.kind} is no terminator`);
    }
  }
  /**
   * Outside of loops a store costs the guest little, and V8 less than values that many ways out want. The stack pointer changes too
   * often for that.
   */
  protected override mayLeave(): void {
    if (this.flow.loops[this.node] === undefined) this.cleanRegisters(~(1 << GPR_INDEX.rsp));
  }
  /** To a function that is part of the region for this call, or one of the region's page, or out of the region. */
  private callTo(offset: number, size: number): void {
    const { callee } = (this.flow.nodes[this.node] as FlowNode & { kind: 'block' }).lifted;
    const inlined = callee === undefined ? undefined : this.nodeAt(callee);
    if (inlined !== undefined && this.mayCross(offset)) {
      this.cross(offset, true);
      this.proceed(inlined, offset);
      return;
    }
    if (this.frame === 0 && isSamePage(offset, 0) && this.flow.nodeAt.has(offset)) {
      this.goto(offset, size);
      return;
    }
    this.pushCallers();
    this.pushReturn();
    this.leaveTo(offset, size);
  }

  private branch(s: Statement & { kind: 'branch' }): void {
    this.value(s.cond);
    this.mayLeave();
    this.inCase(undefined, () => this.goto(offsetOf(s.target), s.size));
  }
  private jumpTo(s: Statement & { kind: 'jumpto' }): void {
    const e = this.emit;
    this.value(s.rip);
    e.set(this.rip);
    if (this.frame === 0) this.jumpInside(s.transfer === 'return');
    else if (s.transfer === 'return') this.returnInside();
    else this.pushCallers();
    if (s.transfer === 'call') this.pushReturn();
    if (s.transfer === 'return' && isLinked(this.key)) {
      this.leaveToCaller();
      return;
    }
    this.leaveToRip();
  }
  /** From a function that is part of the region: to its caller. */
  private returnInside(): void {
    const e = this.emit;
    const { caller, site } = this.region.frames[this.frame] as Frame;
    e.get(this.rip);
    this.ripAt(site);
    e.op('i64.eq');
    this.inCase(true, () => {
      const to = this.nodeAt(placeOf(site, caller));
      if (to !== undefined) this.proceed(to, site);
      else {
        this.pushCallersOf(caller);
        this.leaveTo(site);
      }
    });
  }
  /** RIP (in its local) may be where the region has a landing. */
  private jumpInside(isReturn: boolean): void {
    const e = this.emit;
    const sites = this.region.returnSites.filter((site) => this.flow.landingAt.has(site));
    if (this.landings === undefined && !(isReturn && sites.length > 0)) return;
    this.countDown();
    this.pending = 0;
    const { cached, dirty } = this;
    const delta = e.allocate('i64');
    e.get(this.rip);
    this.ripBase();
    e.op('i64.sub');
    e.tee(delta);
    e.i64(4096n);
    e.op('i64.lt_u');
    e.if();
    this.pushInterrupted();
    e.op('i32.eqz');
    e.if(undefined, true);
    if (this.landings !== undefined) this.landByTable(delta, this.landings);
    else for (const site of sites) this.landAt(delta, site);
    e.end();
    e.end();
    this.cached = cached;
    this.dirty = dirty;
    e.release(delta, 'i64');
  }
  private landAt(delta: number, site: number): void {
    const e = this.emit;
    const { dirty } = this;
    e.get(delta);
    e.i64(BigInt(site));
    e.op('i64.eq');
    e.if();
    this.goToDispatch(() => e.i32(this.flow.landingAt.get(site) as number));
    e.end();
    this.dirty = dirty;
  }
  private landByTable(delta: number, table: number): void {
    const e = this.emit;
    e.get(delta);
    e.op('i32.wrap_i64');
    e.loadAddress('i32', 1, table);
    e.tee(this.next);
    e.if();
    this.goToDispatch(() => {
      e.get(this.next);
      e.i32(1);
      e.op('i32.sub');
    });
    e.end();
  }
}

const offsetOf = (v: Value): number => Number(BigInt.asIntN(64, constOf(v)));
