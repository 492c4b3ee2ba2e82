/**
 * The control flow of a region as nodes. With one way in and no way back in, nodes are the blocks. Otherwise a dispatch
 * node leads to all that can be entered, through a landing each:
 *
 *      (region entered with a number)          dispatch  <---- returns inside the region, jumps into the middle of loops
 *                                             /    |   \
 *                                      landing 0   1    2
 *                                          |       |    |
 *                                        block   block block        blocks: jumps as in the guest
 *
 * so that every graph can be written with WebAssembly's blocks and loops: only the dispatch node loops irregularly.
 */
import type { Statement, Value } from '../../ir/value.js';
import { analyse, type FlowGraph, type FlowStructure } from './control-flow.js';
import type { Region, RegionBlock } from './region-former.js';
import { type LiftedBlock, type LiftedInsn, registersOf } from './region-registers.js';

export type FlowNode =
  | { readonly kind: 'dispatch' }
  | { readonly kind: 'landing'; readonly block: number }
  | { readonly kind: 'block'; readonly lifted: LiftedBlock };

/** A loop of the guest: registers it uses and writes, as bit masks, stay in locals while it runs. */
export interface RegisterLoop {
  readonly used: number;
  readonly written: number;
}

export interface RegionFlow {
  readonly nodes: readonly FlowNode[];
  readonly successors: readonly (readonly number[])[];
  readonly structure: FlowStructure;
  /** Place -> node of the block there. */
  readonly nodeAt: ReadonlyMap<number, number>;
  /** Place -> landing number, of what the dispatch node leads to. */
  readonly landingAt: ReadonlyMap<number, number>;
  /** By node: the outermost loop it belongs to. */
  readonly loops: readonly (RegisterLoop | undefined)[];
  /** By node: the status flags are written before anything can see them. */
  readonly flagsAreDead: readonly boolean[];
}

export function flowOf(region: Region, lifted: readonly LiftedBlock[]): RegionFlow {
  const numbers = new Map(region.blocks.map((b, n) => [b.place, n]));
  const direct = region.blocks.map((b) => [...new Set(b.targets.flatMap((t) => numbers.get(t) ?? []))]);
  const dispatched = new Set([...region.entries, ...region.returnSites].flatMap((t) => numbers.get(t) ?? []));
  const alone = dispatched.size === 1 && region.returnSites.length === 0 ? attempt(direct) : undefined;
  if (alone !== undefined) return build(region, lifted, direct, [], alone);
  for (;;) {
    const landings = [...dispatched];
    const withDispatch = graphOf(direct, landings);
    const structure = analyse(
      withDispatch,
      landings.map((_, n) => direct.length + 1 + n),
    );
    if (structure.dropped.size === 0) return build(region, lifted, withDispatch.successors, landings, structure);
    // Jumps into the middle of a loop: through the dispatch node.
    const count = withDispatch.successors.length;
    for (const edge of structure.dropped) dispatched.add((edge % count) - 1);
    for (const edge of structure.dropped) {
      const from = Math.floor(edge / count) - 1;
      const to = (edge % count) - 1;
      if (from < direct.length) direct[from] = (direct[from] as number[]).filter((t) => t !== to);
    }
  }
}

/** Undefined where the blocks alone are irreducible. */
function attempt(direct: readonly (readonly number[])[]): FlowStructure | undefined {
  const structure = analyse({ successors: direct }, []);
  return structure.dropped.size === 0 ? structure : undefined;
}

/** Node 0 dispatches, then the blocks, then the landings. */
function graphOf(direct: readonly (readonly number[])[], landings: readonly number[]): FlowGraph {
  const first = direct.length + 1;
  return {
    successors: [
      landings.map((_, n) => first + n),
      ...direct.map((targets) => targets.map((t) => t + 1)),
      ...landings.map((block) => [block + 1]),
    ],
  };
}

function build(
  region: Region,
  lifted: readonly LiftedBlock[],
  successors: readonly (readonly number[])[],
  landings: readonly number[],
  structure: FlowStructure,
): RegionFlow {
  const shift = landings.length > 0 ? 1 : 0;
  const nodes: FlowNode[] = lifted.map((block) => ({ kind: 'block', lifted: block }));
  if (shift > 0) nodes.unshift({ kind: 'dispatch' });
  for (const block of landings) nodes.push({ kind: 'landing', block: block + shift });
  const placeOf = (block: number): number => (region.blocks[block] as RegionBlock).place;
  return {
    nodes,
    successors,
    structure,
    nodeAt: new Map(lifted.map((b, n) => [b.place, n + shift])),
    landingAt: new Map(landings.map((block, n) => [placeOf(block), n])),
    loops: loopsOf(nodes, successors, structure, shift > 0),
    flagsAreDead: nodes.map((node) => node.kind === 'block' && overwritesFlags(node.lifted)),
  };
}

/** The outermost loop of each node; what goes round through the dispatch node is none. */
function loopsOf(
  nodes: readonly FlowNode[],
  successors: readonly (readonly number[])[],
  { order }: FlowStructure,
  hasDispatch: boolean,
): (RegisterLoop | undefined)[] {
  const predecessors: number[][] = nodes.map(() => []);
  for (let from = 0; from < successors.length; from++)
    for (const to of successors[from] as readonly number[]) (predecessors[to] as number[]).push(from);
  const bodies: Set<number>[] = [];
  for (let from = 0; from < successors.length; from++) {
    for (const header of successors[from] as readonly number[]) {
      if ((order[header] as number) > (order[from] as number) || (hasDispatch && header === 0)) continue;
      const body = new Set([header]);
      const work = [from];
      for (let node = work.pop(); node !== undefined; node = work.pop()) {
        if (body.has(node)) continue;
        body.add(node);
        work.push(...(predecessors[node] as number[]));
      }
      bodies.push(body);
    }
  }
  const loops = new Array<RegisterLoop | undefined>(nodes.length).fill(undefined);
  for (const body of joined(bodies)) {
    let used = 0;
    let written = 0;
    for (const n of body) {
      const node = nodes[n] as FlowNode;
      if (node.kind !== 'block') continue;
      const registers = registersOf(node.lifted);
      used |= registers.used;
      written |= registers.written;
    }
    for (const node of body) loops[node] = { used, written };
  }
  return loops;
}

/** Sets that share members become one. */
function joined(sets: readonly Set<number>[]): Set<number>[] {
  let out: Set<number>[] = [];
  for (const set of sets) {
    const apart: Set<number>[] = [];
    let union = set;
    for (const other of out) {
      if ([...other].some((n) => union.has(n))) union = new Set([...union, ...other]);
      else apart.push(other);
    }
    out = [...apart, union];
  }
  return out;
}

/** True where the block writes the status flags before it reads them or can leave. */
function overwritesFlags({ insns }: LiftedBlock): boolean {
  for (let n = 0; n < insns.length; n++) {
    const { statements } = insns[n] as LiftedInsn;
    for (let m = 0; m < statements.length; m++) {
      const s = statements[m] as Statement;
      if (s.kind === 'flags' || s.kind === 'setflags') return true;
      if (s.kind === 'eval' ? seesFlags(s.value) : s.kind !== 'set' && s.kind !== 'setstate') return false;
      if (s.kind === 'set' && seesFlags(s.value)) return false;
    }
  }
  return false;
}

/** Reads the flags, or may leave with them. */
function seesFlags(v: Value): boolean {
  if (SEES_FLAGS.has(v.op)) return true;
  if (v.a !== undefined && seesFlags(v.a)) return true;
  if (v.b !== undefined && seesFlags(v.b)) return true;
  if (v.c !== undefined && seesFlags(v.c)) return true;
  return v.args?.some(seesFlags) ?? false;
}
const SEES_FLAGS: ReadonlySet<string> = new Set(['cond', 'flagsword', 'load', 'loadrmw', 'call']);
