/**
 * Lowers a region to one WebAssembly function: guest registers in locals, loops and merges structured, calls and returns
 * inside it as jumps. What the registers' locals and the flags are known to hold where paths meet (`arrive`):
 *
 *   in a loop            its registers in locals, those it writes not stored; flags in locals
 *   elsewhere            nothing unstored; locals that hold their registers on every path; flags in memory
 *   at the dispatch node nothing
 */
import type { Statement } from '../../ir/value.js';
import type { FunctionBody } from '../../wasm/module.js';
import * as S from '../../x86/state.js';
import type { RuntimeFunctions } from './lower.js';
import * as R from './record.js';
import { RegionEnds } from './region-ends.js';
import type { LinkSlot } from './region-exits.js';
import type { FlowNode, RegionFlow } from './region-flow.js';
import type { Region } from './region-former.js';
import { placeOf } from './region-guests.js';
import type { LiftedBlock, LiftedInsn } from './region-registers.js';

const DISPATCH = 0;
/** What gates add to the number of a landing. */
const BEHIND_GATE = 1;
/** The function's parameter. */
const RECORD = 0;

export class RegionLowering extends RegionEnds {
  private readonly handlerType: number;
  protected readonly landings: number | undefined;
  /** Number of the landing that the dispatch node goes to; on the way to a gate the same plus BEHIND_GATE, or 0. */
  protected readonly next: number;
  /** Depth right after opening the WebAssembly block or loop of a node. */
  private readonly labels = new Map<number, number>();
  /** Registers cached on every path that came to a merge so far. */
  private readonly cachedAt = new Map<number, number>();

  /** `table`: linear-memory address of the landings by page offset, where the region has one. */
  constructor(
    functions: RuntimeFunctions,
    handlerType: number,
    region: Region,
    flow: RegionFlow,
    slot: LinkSlot,
    table: number | undefined,
  ) {
    super(functions, region, flow, slot);
    this.landings = table;
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
  protected goto(offset: number, size = 8): void {
    const to = this.nodeAt(placeOf(offset, this.frame));
    if (to === undefined || !this.mayCross(offset)) {
      this.pushCallers();
      this.leaveTo(offset, size);
      return;
    }
    this.cross(offset, false);
    this.proceed(to, offset);
  }
  protected proceed(to: number, offset: number): void {
    const from = this.node;
    if (!(this.flow.successors[from] as readonly number[]).includes(to)) {
      this.dispatch(to, offset);
      return;
    }
    // The only unbounded paths are loops: here the budget and requests of other threads are looked at.
    if (this.isBack(from, to)) this.leaveIfInterrupted(offset);
    this.edge(from, to);
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
  protected goToDispatch(landing: () => void): void {
    const e = this.emit;
    this.cleanRegisters();
    this.storeFlags();
    this.countDown();
    landing();
    e.set(this.next);
    e.br(this.labels.get(DISPATCH) as number);
  }
}
