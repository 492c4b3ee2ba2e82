/**
 * Lowers a region to one WebAssembly function: guest registers and lazy flags in locals, loops and merges structured,
 * one common way out that writes the locals back.
 *
 *   block $exit
 *     (body: blocks and loops)
 *   end
 *   write back; RIP; chain to the next block, or return the status
 */
import { constOf } from '../../ir/builder.js';
import type { Statement, Value } from '../../ir/value.js';
import type { FunctionBody } from '../../wasm/module.js';
import * as S from '../../x86/state.js';
import type { FlowGraph, FlowStructure } from './control-flow.js';
import type { FunctionIndex } from './lower.js';
import { EXIT, type LinkSlot, RegionExits } from './region-exits.js';
import type { LiftedBlock } from './region-state.js';

export class RegionLowering extends RegionExits {
  private readonly blocks: readonly LiftedBlock[];
  private readonly graph: FlowGraph;
  private readonly flow: FlowStructure;
  protected override readonly slot: LinkSlot;
  private readonly handlerType: number;
  /** Page offset -> block number. */
  private readonly byOffset = new Map<number, number>();
  private node = 0;
  /** Depth right after opening the WebAssembly block or loop of a node. */
  private readonly labels = new Map<number, number>();

  constructor(
    functions: FunctionIndex,
    handlerType: number,
    key: number,
    blocks: readonly LiftedBlock[],
    graph: FlowGraph,
    flow: FlowStructure,
    slot: LinkSlot,
  ) {
    super(functions, key, blocks);
    this.blocks = blocks;
    this.graph = graph;
    this.flow = flow;
    this.slot = slot;
    this.handlerType = handlerType;
    for (const [n, block] of blocks.entries()) this.byOffset.set(block.offset, n);
  }

  region(): FunctionBody {
    const e = this.emit;
    this.loadState();
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.BUDGET);
    e.set(this.budget);
    e.i32(0);
    e.load('i64', 8, S.CPU_BASE + S.RIP_BASE);
    e.set(this.ripBaseLocal);
    e.block();
    this.tree(0);
    e.end();
    this.epilogue();
    return e.finish(this.handlerType);
  }
  // ---- control flow ----
  private tree(node: number): void {
    const e = this.emit;
    const { isLoopHeader, isMerge, dominated } = this.flow;
    const merges = (dominated[node] as readonly number[]).filter((n) => isMerge[n]);
    if (isLoopHeader[node]) {
      this.flags = 'locals';
      e.loop();
      this.labels.set(node, e.depth);
    }
    // The merge point that comes last in order is the outermost block.
    for (const merge of [...merges].reverse()) {
      e.block();
      this.labels.set(merge, e.depth);
    }
    this.body(node);
    for (const merge of merges) {
      e.end();
      this.flags = 'locals';
      this.tree(merge);
    }
    if (isLoopHeader[node]) e.end();
  }

  private body(node: number): void {
    const block = this.blocks[node] as LiftedBlock;
    this.node = node;
    const e = this.emit;
    e.get(this.budget);
    e.i32(block.count);
    e.op('i32.sub');
    e.set(this.budget);
    for (const insn of block.insns) {
      this.current = insn;
      for (const s of insn.statements) this.statement(s);
      this.aliases.clear();
      if (insn.ended) return;
    }
    this.goto(node, block.end);
  }

  /** Control goes from block `from` to a page offset: inside the region if it is there. Ends the code path. */
  private goto(from: number, offset: number, size = 8): void {
    const e = this.emit;
    const to = this.byOffset.get(offset);
    const { order, dropped, isMerge, isLoopHeader } = this.flow;
    const isEdge = to !== undefined && (this.graph.successors[from] as readonly number[]).includes(to);
    if (!isEdge || (order[to] as number) < 0 || dropped.has(from * this.blocks.length + to)) {
      this.leaveTo(offset, size);
      return;
    }
    const back = (order[to] as number) <= (order[from] as number);
    if (back) {
      this.flushFlags();
      // The only unbounded paths are loops: here the budget and requests of other threads are looked at.
      e.get(this.budget);
      e.i32(0);
      e.op('i32.lt_s');
      e.i32(0);
      e.load('i32', 4, S.CPU_BASE + S.EXIT_REQUEST);
      e.op('i32.or');
      e.if(undefined, false);
      this.leaveWith(() => e.i32(S.STATUS_BUDGET), offset);
      e.end();
      e.br(this.labels.get(to) as number);
      return;
    }
    if (isMerge[to]) {
      this.flushFlags();
      e.br(this.labels.get(to) as number);
      return;
    }
    if (isLoopHeader[to]) this.flushFlags();
    this.tree(to);
  }

  protected override terminator(s: Statement): void {
    const e = this.emit;
    const node = this.node;
    switch (s.kind) {
      case 'jump':
        if (s.transfer === 'call') this.pushReturn();
        this.goto(node, offsetOf(s.target), s.size);
        return;
      case 'branch': {
        this.value(s.cond);
        // Both arms inherit the flags: their values must outlive either.
        this.keepFlags();
        const flags = this.flags;
        const current = this.current;
        e.if();
        this.goto(node, offsetOf(s.target), s.size);
        e.end();
        this.flags = flags;
        this.current = current;
        this.node = node;
        return;
      }
      case 'jumpto':
        this.flushFlags();
        this.value(s.rip);
        e.set(this.rip);
        if (s.transfer === 'call') this.pushReturn();
        if (s.transfer === 'return' && (this.key & S.KEY_CODE64) !== 0) this.popReturn();
        else {
          e.i32(0);
          e.set(this.link);
        }
        e.i32(0);
        e.set(this.status);
        e.br(EXIT);
        return;
      case 'leave':
        this.leaveWith(() => e.i32(s.status), this.insn.next);
        return;
      default:
        throw new Error(`statement ${s.kind} is no terminator`);
    }
  }
}

const offsetOf = (v: Value): number => Number(BigInt.asIntN(64, constOf(v)));
