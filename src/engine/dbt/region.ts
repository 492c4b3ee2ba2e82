/**
 * Lowers a region to one WebAssembly function: guest registers and lazy flags in locals, loops and merges structured,
 * one common way out that writes the locals back.
 *
 *   block $exit
 *     (body: blocks and loops)
 *   end
 *   write back; RIP; chain to the next block, or return the status
 */
import { Builder, constOf, operandsOf } from '../../ir/builder.js';
import type { FlagsRecord, Statement, Value } from '../../ir/value.js';
import type { FunctionBody } from '../../wasm/module.js';
import { ROUTINES } from '../../x86/routines.js';
import * as S from '../../x86/state.js';
import type { FlowGraph, FlowStructure } from './control-flow.js';
import { conditionValue } from './flag-conditions.js';
import { type FunctionIndex, Lowering } from './lower.js';
import * as R from './record.js';

/** A lifted block of a region. */
export interface LiftedBlock {
  readonly offset: number;
  readonly end: number;
  readonly count: number;
  readonly insns: readonly LiftedInsn[];
}
export interface LiftedInsn {
  readonly offset: number;
  readonly next: number;
  readonly statements: readonly Statement[];
  readonly ended: boolean;
}

/** Hands out the linear-memory words that link an exit to a block: of the same page, or (`between` pages) of any. */
export type LinkSlot = (target: number, between: boolean) => number;

/** What is known about the status flags: their record while its values are at hand, or only the four locals. */
type FlagsState = FlagsRecord | 'locals';

const EXIT = 1;
/** Condition code of CF. */
const CARRY = 2;
const RECORD_PARAMETER = 0;
const NEVER_RELEASED = 1 << 20;

export class RegionLowering extends Lowering {
  private readonly key: number;
  private readonly blocks: readonly LiftedBlock[];
  private readonly graph: FlowGraph;
  private readonly flow: FlowStructure;
  private readonly slot: LinkSlot;
  private readonly handlerType: number;
  /** Page offset -> block number. */
  private readonly byOffset = new Map<number, number>();
  private readonly registers = new Map<number, number>();
  private readonly written: readonly number[];
  private readonly aliases = new Map<number, Set<Value>>();
  private flags: FlagsState = 'locals';
  private current: LiftedInsn | undefined;
  private node = 0;
  /** Depth right after opening the WebAssembly block or loop of a node. */
  private readonly labels = new Map<number, number>();
  // Locals.
  private readonly ripBaseLocal: number;
  private readonly rip: number;
  private readonly status: number;
  private readonly link: number;
  private readonly budget: number;
  private readonly ccOp: number;
  private readonly ccDst: number;
  private readonly ccSrc: number;
  private readonly ccSrc2: number;

  constructor(
    functions: FunctionIndex,
    handlerType: number,
    key: number,
    blocks: readonly LiftedBlock[],
    graph: FlowGraph,
    flow: FlowStructure,
    slot: LinkSlot,
  ) {
    super(['i32'], functions);
    this.key = key;
    this.blocks = blocks;
    this.graph = graph;
    this.flow = flow;
    this.slot = slot;
    this.handlerType = handlerType;
    const e = this.emit;
    this.ripBaseLocal = e.allocate('i64');
    this.rip = e.allocate('i64');
    this.status = e.allocate('i32');
    this.link = e.allocate('i32');
    this.budget = e.allocate('i32');
    this.ccOp = e.allocate('i32');
    this.ccDst = e.allocate('i64');
    this.ccSrc = e.allocate('i64');
    this.ccSrc2 = e.allocate('i64');
    for (const [n, block] of blocks.entries()) this.byOffset.set(block.offset, n);
    const { used, written } = registersOf(blocks);
    for (const reg of used) this.registers.set(reg, e.allocate('i64'));
    this.written = [...written];
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
    void RECORD_PARAMETER;
    return e.finish(this.handlerType);
  }

  // ---- entering and leaving ----
  private loadState(): void {
    const e = this.emit;
    for (const [reg, local] of this.registers) {
      e.i32(0);
      e.load('i64', 8, S.CPU_BASE + S.GPR + 8 * reg);
      e.set(local);
    }
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.CC_OP);
    e.set(this.ccOp);
    for (const [local, offset] of this.ccWords()) {
      e.i32(0);
      e.load('i64', 8, S.CPU_BASE + offset);
      e.set(local);
    }
  }
  private ccWords(): readonly (readonly [number, number])[] {
    return [
      [this.ccDst, S.CC_DST],
      [this.ccSrc, S.CC_SRC],
      [this.ccSrc2, S.CC_SRC2],
    ];
  }
  private storeState(): void {
    const e = this.emit;
    for (const reg of this.written) {
      e.i32(0);
      e.get(this.registers.get(reg) as number);
      e.store('i64', 8, S.CPU_BASE + S.GPR + 8 * reg);
    }
    e.i32(0);
    e.get(this.ccOp);
    e.store('i32', 4, S.CPU_BASE + S.CC_OP);
    for (const [local, offset] of this.ccWords()) {
      e.i32(0);
      e.get(local);
      e.store('i64', 8, S.CPU_BASE + offset);
    }
    e.i32(0);
    e.get(this.budget);
    e.store('i32', 4, S.CPU_BASE + S.BUDGET);
  }

  /** Behind the exit block: `status` nonzero returns it; else go to RIP, through the word `link` if that is not zero. */
  private epilogue(): void {
    const e = this.emit;
    this.storeState();
    e.i32(0);
    e.get(this.rip);
    e.store('i64', 8, S.CPU_BASE + S.RIP);
    e.get(this.status);
    e.if();
    e.get(this.status);
    e.return();
    e.end();
    e.get(this.link);
    e.if();
    if (this.key & S.KEY_CODE64) this.followPages();
    e.get(this.link);
    e.load('i32', 4, 0);
    e.tee(this.status);
    e.if();
    e.get(this.status);
    e.returnCall(this.functions('enter'));
    e.end();
    e.end();
    e.get(this.link);
    e.call(this.functions('lookup'));
    this.follow();
  }
  /** A link between pages (bit 0 set): followed if it is of this generation and mode; else left for `lookup`. */
  private followPages(): void {
    const e = this.emit;
    e.get(this.link);
    e.i32(1);
    e.op('i32.and');
    e.if();
    // The word at link - 1 is the header, behind it the generation.
    e.get(this.link);
    e.i32(1);
    e.op('i32.sub');
    e.load('i32', 4, 0);
    e.tee(this.status);
    e.if();
    e.get(this.link);
    e.load('i32', 4, 3);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + (this.isUser ? S.LINK_GENERATION_USER : S.LINK_GENERATION_SUPERVISOR));
    e.op('i32.eq');
    e.get(this.status);
    e.load('i32', 4, R.HEADER_KEY);
    e.i32(this.key);
    e.op('i32.eq');
    e.op('i32.and');
    e.if();
    e.i32(0);
    e.get(this.rip);
    e.i64(-4096n);
    e.op('i64.and');
    e.store('i64', 8, S.CPU_BASE + S.RIP_BASE);
    e.get(this.status);
    e.returnCall(this.functions('enter'));
    e.end();
    e.end();
    e.get(this.link);
    e.call(this.functions('lookup'));
    this.follow();
    e.end();
  }
  private get isUser(): boolean {
    return (this.key & S.KEY_CPL_MASK) === S.KEY_CPL_MASK;
  }

  /** Notes where the call of this instruction will return to. */
  private pushReturn(): void {
    if ((this.key & S.KEY_CODE64) === 0) return;
    const e = this.emit;
    const top = this.link;
    e.i32(0);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.RETURN_TOP);
    e.i32(S.RETURN_ENTRY_SIZE);
    e.op('i32.add');
    e.i32(S.RETURN_RING_SIZE - 1);
    e.op('i32.and');
    e.tee(top);
    e.store('i32', 4, S.CPU_BASE + S.RETURN_TOP);
    e.get(top);
    this.ripAt(this.insn.next);
    e.store('i64', 8, S.RETURN_RING);
    e.get(top);
    e.i32(this.slot(this.insn.next, true) | 1);
    e.store('i32', 4, S.RETURN_RING + 8);
  }
  /** Sets `link` to the newest caller's if RIP (in its local) is where that call returns to, else to none. */
  private popReturn(): void {
    const e = this.emit;
    const top = this.status;
    e.i32(0);
    e.set(this.link);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.RETURN_TOP);
    e.tee(top);
    e.load('i64', 8, S.RETURN_RING);
    e.get(this.rip);
    e.op('i64.eq');
    e.if();
    e.get(top);
    e.load('i32', 4, S.RETURN_RING + 8);
    e.set(this.link);
    e.i32(0);
    e.get(top);
    e.i32(S.RETURN_ENTRY_SIZE);
    e.op('i32.sub');
    e.i32(S.RETURN_RING_SIZE - 1);
    e.op('i32.and');
    e.store('i32', 4, S.CPU_BASE + S.RETURN_TOP);
    e.end();
  }

  /** Chains to the record on the stack, or returns STATUS where it is 0. */
  private follow(): void {
    const e = this.emit;
    e.tee(this.status);
    e.if();
    e.get(this.status);
    e.returnCall(this.functions('enter'));
    e.end();
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
    e.return();
  }

  private ripAt(offset: number, size = 8): void {
    const e = this.emit;
    e.get(this.ripBaseLocal);
    e.i64(BigInt(offset));
    e.op('i64.add');
    const bytes = this.key & S.KEY_CODE64 ? 8 : Math.min(size, this.key & S.KEY_CODE32 ? 4 : 2);
    if (bytes < 8) {
      e.i64((1n << BigInt(bytes * 8)) - 1n);
      e.op('i64.and');
    }
  }
  /** Goes to a page offset outside the region. */
  private leaveTo(offset: number, size = 8): void {
    const e = this.emit;
    this.flushFlags();
    this.ripAt(offset, size);
    e.set(this.rip);
    if (offset >= 0 && offset < 4096) e.i32(this.slot(offset, false));
    else e.i32(this.key & S.KEY_CODE64 ? this.slot(offset, true) | 1 : 0);
    e.set(this.link);
    e.i32(0);
    e.set(this.status);
    e.br(EXIT);
  }
  private leaveWith(status: () => void, offset: number): void {
    const e = this.emit;
    this.flushFlags();
    this.ripAt(offset);
    e.set(this.rip);
    status();
    e.set(this.status);
    e.br(EXIT);
  }
  private get insn(): LiftedInsn {
    return this.current as LiftedInsn;
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
      e.if();
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

  // ---- registers: a read is an alias of the local until the register is set ----
  protected override getRegister(v: Value): void {
    this.emit.get(this.registers.get(v.imm) as number);
  }
  protected override evaluate(v: Value): void {
    if (v.op !== 'reg') {
      super.evaluate(v);
      return;
    }
    v.uses--;
    if (v.uses <= 0 || v.local !== -1) return;
    v.local = -2;
    let set = this.aliases.get(v.imm);
    if (set === undefined) {
      set = new Set();
      this.aliases.set(v.imm, set);
    }
    set.add(v);
  }
  /** Before a register changes: aliases still wanted get a local of their own. */
  private settleAliases(reg: number): void {
    const e = this.emit;
    for (const v of this.aliases.get(reg) ?? []) {
      if (v.uses <= 0 || v.local !== -2) continue;
      v.local = e.allocate('i64');
      e.get(this.registers.get(reg) as number);
      e.set(v.local);
    }
    this.aliases.delete(reg);
  }
  protected override setRegister(reg: number, value: Value): void {
    this.value(value);
    // The value is on the stack: aliases are saved from under it.
    this.settleAliases(reg);
    this.emit.set(this.registers.get(reg) as number);
  }

  // ---- flags ----
  protected override recordFlags({ flags }: Statement & { kind: 'flags' }): void {
    const values = partsOf(flags);
    for (const v of values) this.pin(v);
    // A register alias would change under the record.
    for (const v of values) if (v.local === -2) this.settleAliases(v.imm);
    this.dropFlags();
    this.flags = flags;
  }
  protected override setFlags(value: Value): void {
    this.pin(value);
    if (value.local === -2) this.settleAliases(value.imm);
    this.dropFlags();
    this.flags = { kind: S.CC_FLAGS, size: 1, dst: value, src: value, src2: undefined, x: undefined };
    value.uses++;
  }
  private dropFlags(): void {
    if (this.flags === 'locals') return;
    for (const v of partsOf(this.flags)) this.discard(v);
    this.flags = 'locals';
  }
  private keepFlags(): void {
    if (this.flags === 'locals') return;
    for (const v of partsOf(this.flags)) v.uses += NEVER_RELEASED;
  }
  /** Writes the flags to their locals, without forgetting what is known. */
  private flushFlags(): void {
    if (this.flags === 'locals') return;
    const e = this.emit;
    const { kind, size, dst, src, src2 } = this.flags;
    e.i32(kind * 4 + (kind === S.CC_FLAGS ? 0 : Math.log2(size)));
    e.set(this.ccOp);
    for (const [v, local] of [
      [dst, this.ccDst],
      [src, this.ccSrc],
      [src2, this.ccSrc2],
    ] as const) {
      if (v === undefined) continue;
      this.peek64(v);
      e.set(local);
    }
  }
  private peek64(v: Value): void {
    this.peek(v);
    if (v.type === 'i32') this.emit.op('i64.extend_i32_u');
  }
  private flagArguments(): void {
    const e = this.emit;
    if (this.flags === 'locals') {
      e.get(this.ccOp);
      e.get(this.ccDst);
      e.get(this.ccSrc);
      e.get(this.ccSrc2);
      return;
    }
    const { kind, size, dst, src, src2 } = this.flags;
    e.i32(kind * 4 + (kind === S.CC_FLAGS ? 0 : Math.log2(size)));
    for (const v of [dst, src, src2]) {
      if (v === undefined) e.i64(0n);
      else this.peek64(v);
    }
  }
  protected override condition(cond: number): void {
    const e = this.emit;
    if (this.flags !== 'locals') {
      const direct = conditionValue(new Builder(), this.flags, cond);
      if (direct !== undefined) {
        direct.uses++;
        this.value(direct);
        return;
      }
    }
    if (this.flags === 'locals' && cond === CARRY) {
      this.carryOfLocals();
      return;
    }
    e.i32(cond);
    this.flagArguments();
    e.call(this.functions('evaluateCondition'));
  }
  /** CF in a loop counted by DEC or INC: they carry it along in the record's source. */
  private carryOfLocals(): void {
    const e = this.emit;
    e.get(this.ccOp);
    e.i32(S.CC_INC << 2);
    e.op('i32.sub');
    e.i32(8);
    e.op('i32.lt_u');
    e.if('i32');
    e.get(this.ccSrc);
    e.op('i32.wrap_i64');
    e.else();
    e.i32(CARRY);
    this.flagArguments();
    e.call(this.functions('evaluateCondition'));
    e.end();
  }
  protected override flagsWord(): void {
    this.flagArguments();
    this.emit.call(this.functions('evaluateFlags'));
  }

  // ---- the rest ----
  protected override ripBase(): void {
    this.emit.get(this.ripBaseLocal);
  }
  protected override field(): void {
    throw new Error('a region has no record');
  }
  protected override viewBase(): void {}
  protected override viewOffset(write: boolean): number {
    const mmu = (this.key & S.KEY_MMU_MASK) >> S.KEY_MMU_SHIFT;
    return S.TLB + mmu * 2 * S.TLB_SIZE + (write ? S.TLB_SIZE : 0);
  }
  protected override sideExit(): void {
    this.leaveWith(() => {
      this.emit.i32(0);
      this.emit.load('i32', 4, S.CPU_BASE + S.STATUS);
    }, this.insn.offset);
  }
  protected override raise(vector: number, error: number | undefined): void {
    const e = this.emit;
    this.leaveWith(() => {
      e.i32(vector);
      if (error === undefined) e.call(this.functions('raise'));
      else {
        e.i32(error);
        e.call(this.functions('raiseError'));
      }
    }, this.insn.offset);
  }
  private setRip(offset: number): void {
    this.emit.i32(0);
    this.ripAt(offset);
    this.emit.store('i64', 8, S.CPU_BASE + S.RIP);
  }
  protected override compute(v: Value): void {
    if (v.op === 'call' && !leavesLocalsAlone(v.name)) {
      // It may look at registers or flags: they must be in memory. Its arguments are computed first.
      for (const a of v.args ?? []) this.pin(a);
      this.flushFlags();
      this.storeState();
      this.setRip(this.insn.offset);
      super.compute(v);
      return;
    }
    super.compute(v);
  }
  protected override routine(s: Statement & { kind: 'routine' }): void {
    const e = this.emit;
    for (const a of s.args) this.pin(a);
    for (const reg of this.aliases.keys()) this.settleAliases(reg);
    this.flushFlags();
    this.dropFlags();
    this.storeState();
    this.setRip(this.insn.offset);
    this.callRoutine(s.name, s.args);
    e.tee(this.status);
    e.if();
    if (s.ends) {
      e.get(this.status);
      e.i32(S.STATUS_MISS);
      e.op('i32.eq');
      e.if();
      e.call(this.functions('lookupChecked'));
      this.follow();
      e.end();
    }
    e.get(this.status);
    e.return();
    e.end();
    if (s.ends) {
      this.setRip(this.insn.next);
      e.call(this.functions('lookupChecked'));
      this.follow();
      return;
    }
    this.loadState();
  }
  protected override conditional(s: Statement & { kind: 'if' }): void {
    const e = this.emit;
    this.value(s.cond);
    const effects = effectsOf(s.then);
    for (const reg of effects.routine ? [...this.aliases.keys()] : effects.sets) this.settleAliases(reg);
    if (effects.flags || effects.routine) {
      this.flushFlags();
      this.dropFlags();
    }
    e.if();
    for (const inner of s.then) this.statement(inner);
    if (effects.flags && this.flags !== 'locals') {
      this.flushFlags();
      this.dropFlags();
    }
    e.end();
  }
}

function leavesLocalsAlone(routine: string): boolean {
  const r = ROUTINES[routine];
  return r !== undefined && (r.pure || r.confined === true);
}

const offsetOf = (v: Value): number => Number(BigInt.asIntN(64, constOf(v)));

function partsOf(flags: FlagsRecord): Value[] {
  return [flags.dst, flags.src, flags.src2, flags.x].filter((v): v is Value => v !== undefined);
}

/** What statements change, those inside conditionals included. */
function effectsOf(statements: readonly Statement[]): { sets: Set<number>; flags: boolean; routine: boolean } {
  const out = { sets: new Set<number>(), flags: false, routine: false };
  const scan = (list: readonly Statement[]): void => {
    for (const s of list) {
      if (s.kind === 'set') out.sets.add(s.reg);
      else if (s.kind === 'flags' || s.kind === 'setflags') out.flags = true;
      else if (s.kind === 'routine') out.routine = true;
      else if (s.kind === 'if') scan(s.then);
    }
  };
  scan(statements);
  return out;
}

function registersOf(blocks: readonly LiftedBlock[]): { used: Set<number>; written: Set<number> } {
  const used = new Set<number>();
  const written = new Set<number>();
  const seen = new Set<Value>();
  const visit = (v: Value | undefined): void => {
    if (v === undefined || seen.has(v)) return;
    seen.add(v);
    if (v.op === 'reg') used.add(v.imm);
    visit(v.a);
    visit(v.b);
    visit(v.c);
    for (const a of v.args ?? []) visit(a);
  };
  const scan = (list: readonly Statement[]): void => {
    for (const s of list) {
      for (const v of operandsOf(s)) visit(v);
      if (s.kind === 'set') {
        used.add(s.reg);
        written.add(s.reg);
      }
      if (s.kind === 'if') scan(s.then);
    }
  };
  for (const block of blocks) for (const insn of block.insns) scan(insn.statements);
  return { used, written };
}
