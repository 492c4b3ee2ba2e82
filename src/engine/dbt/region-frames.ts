/** Where a block stands in its region: its node, its frame, and the ways into other pages ([decision 15](../../../docs/decisions/0015-guests-of-regions.md)). */
import * as S from '../../x86/state.js';
import type { RuntimeFunctions } from './lower.js';
import { isUser } from './page-links.js';
import { isSamePage, type LinkSlot } from './region-exits.js';
import type { FlowNode, RegionFlow } from './region-flow.js';
import type { Region } from './region-former.js';
import type { Frame } from './region-guests.js';
import { RegionResume } from './region-resume.js';

export abstract class RegionFrames extends RegionResume {
  protected readonly region: Region;
  protected readonly flow: RegionFlow;
  /** Of the block that is lowered. */
  protected node = 0;

  constructor(functions: RuntimeFunctions, region: Region, flow: RegionFlow, slot: LinkSlot) {
    super(functions, region.key, slot);
    this.region = region;
    this.flow = flow;
  }

  /** Node of the block at a place, if control can come there. */
  protected nodeAt(place: number): number | undefined {
    const to = this.flow.nodeAt.get(place);
    return to === undefined || (this.flow.structure.order[to] as number) < 0 ? undefined : to;
  }
  protected get frame(): number {
    const node = this.flow.nodes[this.node] as FlowNode;
    return node.kind === 'block' ? node.lifted.frame : 0;
  }

  // ---- other pages ----
  private needsCrossing(offset: number): boolean {
    return !isSamePage(offset, this.insn.offset) && !isSamePage(offset, 0);
  }
  protected mayCross(offset: number): boolean {
    return !this.needsCrossing(offset) || this.region.crossings.has(offset);
  }
  /** On the way into another page: its link must lead to the block that the region was made of, or control leaves. */
  protected cross(offset: number, isCall: boolean): void {
    if (!this.needsCrossing(offset)) return;
    const e = this.emit;
    const link = this.slot('far', offset);
    e.i32(0);
    e.loadAddress('i32', 4, link);
    e.i32Address(this.region.crossings.get(offset) as number);
    e.op('i32.ne');
    e.i32(0);
    e.loadAddress('i32', 4, link, 4);
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
  protected pushCallers(): void {
    this.pushCallersOf(this.frame);
  }
  protected pushCallersOf(frame: number): void {
    if (frame === 0) return;
    const { caller, site } = this.region.frames[frame] as Frame;
    this.pushCallersOf(caller);
    this.pushReturn(site);
  }

  /** `then` if what is on the stack is not 0; it ends the code path, and what is known stays so on the other. */
  protected inCase(likely: boolean | undefined, then: () => void): void {
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
}

const generationOf = (key: number): number => (isUser(key) ? S.LINK_GENERATION_USER : S.LINK_GENERATION_SUPERVISOR);
