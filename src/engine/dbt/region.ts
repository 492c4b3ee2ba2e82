/**
 * Lowers a region to one WebAssembly function: guest registers in locals, loops and merges structured, calls and returns
 * inside it as jumps. What the registers' locals and the flags are known to hold where paths meet (`arrive`):
 *
 *   in a loop            its registers in locals, those it writes not stored; flags in locals
 *   elsewhere            nothing unstored; locals that hold their registers on every path; flags in memory
 *   at the dispatch node nothing
 */
import { constOf } from '../../ir/builder.js';
import type { Statement, Value } from '../../ir/value.js';
import type { FunctionBody } from '../../wasm/module.js';
import { GPR_INDEX } from '../../x86/lift.js';
import * as S from '../../x86/state.js';
import type { FunctionIndex } from './lower.js';
import { isLinked } from './page-links.js';
import * as R from './record.js';
import { isSamePage, type LinkSlot } from './region-exits.js';
import type { FlowNode, RegionFlow } from './region-flow.js';
import type { Region } from './region-former.js';
import { type Frame, placeOf } from './region-guests.js';
import type { LiftedBlock, LiftedInsn } from './region-registers.js';
import { RegionResume } from './region-resume.js';

const DISPATCH = 0;
/** What gates add to the number of a landing. */
const BEHIND_GATE = 1;
/** The function's parameter. */
const RECORD = 0;

export class RegionLowering extends RegionResume {
  private readonly region: Region;
  private readonly flow: RegionFlow;
  private readonly handlerType: number;
  private readonly landings: number | undefined;
  /** Number of the landing that the dispatch node goes to; on the way to a gate the same plus BEHIND_GATE, or 0. */
  private readonly next: number;
  private node = 0;
  /** Depth right after opening the WebAssembly block or loop of a node. */
  private readonly labels = new Map<number, number>();
  /** Registers cached on every path that came to a merge so far. */
  private readonly cachedAt = new Map<number, number>();

  /** `table`: linear-memory address of the landings by page offset, where the region has one. */
  constructor(
    functions: FunctionIndex,
    handlerType: number,
    region: Region,
    flow: RegionFlow,
    slot: LinkSlot,
    table: number | undefined,
  ) {
    super(functions, region.key, slot);
    this.landings = table;
    this.region = region;
    this.flow = flow;
    this.handlerType = handlerType;
    this.next = this.emit.allocate('i32');
    this.reservePages(flow.paged.accesses);
  }

  lower(): FunctionBody {
    const e = this.emit;
    this.loadBudget();
    if (this.hasDispatch) {
      e.get(RECORD);
      e.load('i32', 4, R.HEADER_ENTRY);
      e.set(this.next);
    }
    if (this.flow.structure.isLoopHeader[0]) {
      this.arrive(0);
      this.begin(0);
    }
    this.withExits(() => this.tree(0));
    return e.finish(this.handlerType);
  }
  private get hasDispatch(): boolean {
    return this.flow.nodes[DISPATCH]?.kind === 'dispatch';
  }

  // ---- control flow ----
  private tree(node: number): void {
    const e = this.emit;
    const { isLoopHeader, isMerge, dominated } = this.flow.structure;
    const isLoop = isLoopHeader[node] || (this.hasDispatch && node === DISPATCH);
    const children = dominated[node] as readonly number[];
    if (isLoop) {
      e.loop();
      this.labels.set(node, e.depth);
    }
    // The merge point that comes last in order is the outermost block.
    for (let n = children.length - 1; n >= 0; n--) {
      const merge = children[n] as number;
      if (!isMerge[merge]) continue;
      e.block();
      this.labels.set(merge, e.depth);
    }
    this.body(node);
    for (const merge of children) {
      if (!isMerge[merge]) continue;
      e.end();
      this.begin(merge);
      this.tree(merge);
    }
    if (isLoop) e.end();
  }

  /** What is known where the paths to a labelled node have met. */
  private begin(node: number): void {
    const loop = this.flow.loops[node];
    this.cached = this.cachedAt.get(node) ?? 0;
    this.dirty = 0;
    this.pending = 0;
    this.dropFlags('memory');
    this.forgetMemory();
    if (loop === undefined) return;
    if (this.flow.structure.isLoopHeader[node]) this.cached = loop.used;
    this.dirty = loop.written;
    if (!this.flow.flagsAreDead[node]) this.flags = 'locals';
  }
  /** Makes it so, before a branch to that node. */
  private arrive(node: number): void {
    const loop = this.flow.loops[node];
    const isHeader = this.flow.structure.isLoopHeader[node];
    this.countDown();
    this.pending = 0;
    this.cleanRegisters(loop === undefined ? -1 : ~loop.written);
    if (loop !== undefined) this.cacheRegisters(isHeader ? loop.used : loop.written);
    if (this.flow.flagsAreDead[node]) this.dropFlags('memory');
    else if (loop === undefined) this.moveFlagsToMemory();
    else this.moveFlagsToLocals();
    this.cachedAt.set(node, (this.cachedAt.get(node) ?? -1) & this.cached);
  }

  private body(number: number): void {
    const node = this.flow.nodes[number] as FlowNode;
    switch (node.kind) {
      case 'dispatch':
        this.table();
        return;
      case 'landing':
        this.edge(number, node.to);
        return;
      case 'gate':
        this.gate(number, node);
        return;
      case 'block':
        this.block(number, node.lifted);
    }
  }

  private table(): void {
    const labels = (this.flow.successors[DISPATCH] as readonly number[]).map((n) => this.labels.get(n) as number);
    this.emit.get(this.next);
    this.emit.brTable(labels, labels[0] as number);
  }

  private gate(number: number, { header, ways }: FlowNode & { kind: 'gate' }): void {
    const e = this.emit;
    e.get(this.next);
    this.inCase(false, () => {
      for (const { to, landings } of ways)
        for (const landing of landings) {
          e.get(this.next);
          e.i32(landing + BEHIND_GATE);
          e.op('i32.eq');
          this.inCase(undefined, () => this.edge(number, to));
        }
    });
    this.edge(number, header);
  }
  /** A gate looks at the landing that control comes from: by a jump it comes from none. */
  private tellGate(from: number, to: number): void {
    if (this.flow.nodes[to]?.kind !== 'gate') return;
    const node = this.flow.nodes[from] as FlowNode;
    if (node.kind === 'gate') return;
    this.emit.i32(node.kind === 'landing' ? node.number + BEHIND_GATE : 0);
    this.emit.set(this.next);
  }

  private block(node: number, block: LiftedBlock): void {
    this.node = node;
    this.pending += block.count;
    // The hottest loops of the compiler, which mostly run before V8 optimizes them: there, iterators cost.
    const { insns } = block;
    for (let n = 0; n < insns.length; n++) {
      const insn = insns[n] as LiftedInsn;
      this.current = insn;
      this.beginAccesses();
      const { statements } = insn;
      for (let m = 0; m < statements.length; m++) this.statement(statements[m] as Statement);
      this.forgetAliases();
      if (insn.ended) return;
    }
    this.goto(block.end);
  }

  protected override goOn(offset: number): void {
    this.goto(offset);
  }
  /** Control goes to an offset in the frame of this block: inside the region if it is there. Ends the code path. */
  private goto(offset: number, size = 8): void {
    const to = this.nodeAt(placeOf(offset, this.frame));
    if (to === undefined || !this.mayCross(offset)) {
      this.pushCallers();
      this.leaveTo(offset, size);
      return;
    }
    this.cross(offset, false);
    this.proceed(to, offset);
  }
  private proceed(to: number, offset: number): void {
    const from = this.node;
    if (!(this.flow.successors[from] as readonly number[]).includes(to)) {
      this.dispatch(to, offset);
      return;
    }
    // The only unbounded paths are loops: here the budget and requests of other threads are looked at.
    if (this.isBack(from, to)) this.leaveIfInterrupted(offset);
    this.edge(from, to);
  }
  /** Node of the block at a place, if control can come there. */
  private nodeAt(place: number): number | undefined {
    const to = this.flow.nodeAt.get(place);
    return to === undefined || (this.flow.structure.order[to] as number) < 0 ? undefined : to;
  }
  private get frame(): number {
    const node = this.flow.nodes[this.node] as FlowNode;
    return node.kind === 'block' ? node.lifted.frame : 0;
  }

  // ---- other pages ----
  private needsCrossing(offset: number): boolean {
    return !isSamePage(offset, this.insn.offset) && !isSamePage(offset, 0);
  }
  private mayCross(offset: number): boolean {
    return !this.needsCrossing(offset) || this.region.crossings.has(offset);
  }
  /** On the way into another page: its link must lead to the block that the region was made of, or control leaves. */
  private cross(offset: number, isCall: boolean): void {
    if (!this.needsCrossing(offset)) return;
    const e = this.emit;
    const link = this.slot('far', offset);
    e.i32(0);
    e.load('i32', 4, link);
    e.i32(this.region.crossings.get(offset) as number);
    e.op('i32.ne');
    e.i32(0);
    e.load('i32', 4, link + 4);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + generationOf(this.key));
    e.op('i32.ne');
    e.op('i32.or');
    e.if(undefined, false);
    this.pushCallers();
    if (isCall) this.pushReturn();
    this.leaveTo(offset);
    e.end();
  }
  /** Notes where the calls that led to this frame return to, for control leaves it otherwise than by a return. */
  private pushCallers(): void {
    this.pushCallersOf(this.frame);
  }
  private pushCallersOf(frame: number): void {
    if (frame === 0) return;
    const { caller, site } = this.region.frames[frame] as Frame;
    this.pushCallersOf(caller);
    this.pushReturn(site);
  }
  protected override get isPagedLoop(): boolean {
    return this.flow.paged.isPaged[this.node] ?? false;
  }
  private isBack(from: number, to: number): boolean {
    const { order } = this.flow.structure;
    return (order[to] as number) <= (order[from] as number);
  }
  private edge(from: number, to: number): void {
    const { isMerge, isLoopHeader } = this.flow.structure;
    this.tellGate(from, to);
    if (isMerge[to] || this.isBack(from, to)) {
      this.arrive(to);
      this.emit.br(this.labels.get(to) as number);
      return;
    }
    if (isLoopHeader[to]) {
      this.arrive(to);
      this.begin(to);
    }
    this.tree(to);
  }
  private leaveIfInterrupted(offset: number): void {
    const e = this.emit;
    this.countDown();
    this.pending = 0;
    this.pushInterrupted();
    e.if(undefined, false);
    this.leaveWith(() => e.i32(S.STATUS_BUDGET), offset);
    e.end();
  }
  /** To a block of the region that can only be reached through the dispatch node. */
  private dispatch(to: number, offset: number): void {
    const { nodes } = this.flow;
    let node = nodes[to] as FlowNode;
    if (node.kind === 'gate') node = nodes[node.header] as FlowNode;
    const landing = node.kind === 'block' ? this.flow.landingAt.get(node.lifted.place) : undefined;
    if (landing === undefined) {
      this.pushCallers();
      this.leaveTo(offset);
      return;
    }
    this.leaveIfInterrupted(offset);
    this.goToDispatch(() => this.emit.i32(landing));
  }
  /** To the landing whose number `landing` pushes. */
  private goToDispatch(landing: () => void): void {
    const e = this.emit;
    this.cleanRegisters();
    this.storeFlags();
    this.countDown();
    landing();
    e.set(this.next);
    e.br(this.labels.get(DISPATCH) as number);
  }

  // ---- the ends of blocks ----
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
  /** `then` if what is on the stack is not 0; it ends the code path, and what is known stays so on the other. */
  private inCase(likely: boolean | undefined, then: () => void): void {
    const e = this.emit;
    this.keepFlags();
    const { flags, current, node, cached, dirty, pending, knowledge } = this;
    const free = e.freeLocals;
    e.if(undefined, likely);
    then();
    e.end();
    e.freeLocals = free;
    this.knowledge = knowledge;
    this.flags = flags;
    this.current = current;
    this.node = node;
    this.cached = cached;
    this.dirty = dirty;
    this.pending = pending;
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
    e.load('i32', 1, table);
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

const generationOf = (key: number): number =>
  (key & S.KEY_CPL_MASK) === S.KEY_CPL_MASK ? S.LINK_GENERATION_USER : S.LINK_GENERATION_SUPERVISOR;
const offsetOf = (v: Value): number => Number(BigInt.asIntN(64, constOf(v)));
