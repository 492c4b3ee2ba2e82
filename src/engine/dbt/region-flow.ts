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
 * so that every graph can be written with WebAssembly's blocks and loops: only the dispatch node loops irregularly. Landings in
 * the middle of a loop lead there through its gate (region-gates.ts).
 */
import type { Statement, Value } from '../../ir/value.js';
import { analyse, type FlowGraph, type FlowStructure } from './control-flow.js';
import type { Region, RegionBlock } from './region-former.js';
import { addLoop, gatesBefore, type LoopBodies, sourcesOf } from './region-gates.js';
import { type PagedLoops, pagedLoops } from './region-pages.js';
import { type LiftedBlock, type LiftedInsn, registersOf } from './region-registers.js';

export type FlowNode =
  | { readonly kind: 'dispatch' }
  | { readonly kind: 'landing'; readonly to: number; readonly number: number }
  | { readonly kind: 'gate'; readonly header: number; readonly ways: readonly GateWay[] }
  | { readonly kind: 'block'; readonly lifted: LiftedBlock };

/** Where a gate leads what came by one of these landings. */
export interface GateWay {
  readonly to: number;
  readonly landings: readonly number[];
}

/** A loop of the guest: registers it uses and writes, as bit masks, stay in locals while it runs. */
export interface RegisterLoop {
  readonly used: number;
  readonly written: number;
}

export interface RegionFlow {
  readonly nodes: readonly FlowNode[];
  readonly successors: readonly (readonly number[])[];
  readonly structure: FlowStructure;
  /** Place -> node of the block there, or of the gate before it. */
  readonly nodeAt: ReadonlyMap<number, number>;
  /** Place -> landing number, of what the dispatch node leads to. */
  readonly landingAt: ReadonlyMap<number, number>;
  /** By node: the outermost loop it belongs to. */
  readonly loops: readonly (RegisterLoop | undefined)[];
  readonly paged: PagedLoops;
  /** By node: the status flags are written before anything can see them. */
  readonly flagsAreDead: readonly boolean[];
}

export function flowOf(region: Region, lifted: readonly LiftedBlock[]): RegionFlow {
  const numbers = new Map(region.blocks.map((b, n) => [b.place, n]));
  const direct = region.blocks.map((b) => [...new Set(b.targets.flatMap((t) => numbers.get(t) ?? []))]);
  const dispatched = new Set([...region.entries, ...region.returnSites].flatMap((t) => numbers.get(t) ?? []));
  if (dispatched.size === 1 && region.returnSites.length === 0) {
    const graph = graphOf(lifted, direct, [], new Map());
    const structure = analyse(graph, []);
    // Else the blocks alone are irreducible.
    if (structure.dropped.size === 0) return build(region, graph, structure, []);
  }
  const bodies: LoopBodies = new Map();
  let mayHaveGates = true;
  for (;;) {
    const landings = [...dispatched];
    if (!mayHaveGates) bodies.clear();
    const graph = graphOf(lifted, direct, landings, bodies);
    const structure = analyse(graph, graph.labelled);
    if (structure.dropped.size === 0) return build(region, graph, structure, landings);
    const count = graph.nodes.length;
    const edges = [...structure.dropped].map((edge) => {
      const from = Math.floor(edge / count) - 1;
      return { from, to: headerOf(graph.nodes, edge % count) - 1 };
    });
    if (mayHaveGates) {
      const sources = sourcesOf(direct);
      if (edges.filter(({ from, to }) => addLoop(bodies, direct, sources, from, to)).length > 0) continue;
    }
    // Other jumps into the middle of a loop: through the dispatch node.
    for (const { from, to } of edges) {
      dispatched.add(to);
      if (from < direct.length) direct[from] = (direct[from] as number[]).filter((t) => t !== to);
      else mayHaveGates = false;
    }
  }
}
/** The block that a node is, or that a gate stands before. */
function headerOf(nodes: readonly FlowNode[], number: number): number {
  const node = nodes[number] as FlowNode;
  return node.kind === 'gate' ? node.header : number;
}

interface NodeGraph extends FlowGraph {
  readonly nodes: readonly FlowNode[];
  /** Number of the first block. */
  readonly first: number;
  readonly labelled: readonly number[];
}

/** The dispatch node where there are landings, then the blocks, the landings and the gates of those loops that landings are in. */
function graphOf(
  lifted: readonly LiftedBlock[],
  direct: readonly (readonly number[])[],
  landings: readonly number[],
  bodies: LoopBodies,
): NodeGraph {
  const first = landings.length > 0 ? 1 : 0;
  const firstLanding = first + direct.length;
  const firstGate = firstLanding + landings.length;
  const gates = [...bodies.keys()];
  const gateOf = new Map(gates.map((header, n) => [header, firstGate + n]));
  const nodeOf = (block: number): number => gateOf.get(block) ?? first + block;
  const ways = gates.map(() => new Map<number, number[]>());
  const landingNodes = landings.map((block, number): FlowNode => {
    const stops = [...gatesBefore(bodies, block).map(nodeOf), nodeOf(block)];
    for (let n = 1; n < stops.length; n++) {
      const way = ways[(stops[n - 1] as number) - firstGate] as Map<number, number[]>;
      const to = stops[n] as number;
      way.set(to, [...(way.get(to) ?? []), number]);
    }
    return { kind: 'landing', to: stops[0] as number, number };
  });
  const nodes: FlowNode[] = [
    ...(first === 1 ? [{ kind: 'dispatch' } as const] : []),
    ...lifted.map((block) => ({ kind: 'block', lifted: block }) as const),
    ...landingNodes,
    ...gates.map((header, n): FlowNode => {
      const list = [...(ways[n] as Map<number, number[]>)].map(([to, numbers]) => ({ to, landings: numbers }));
      return { kind: 'gate', header: first + header, ways: list };
    }),
  ];
  const successors = nodes.map((node, n): number[] => {
    if (node.kind === 'dispatch') return landings.map((_, number) => firstLanding + number);
    if (node.kind === 'landing') return [node.to];
    if (node.kind === 'gate') return [node.header, ...node.ways.map(({ to }) => to)];
    return (direct[n - first] as readonly number[]).map(nodeOf);
  });
  const behindGates = nodes.flatMap((node) => (node.kind === 'gate' ? node.ways.map(({ to }) => to) : []));
  return { nodes, successors, first, labelled: [...landings.map((_, n) => firstLanding + n), ...behindGates] };
}

function build(
  region: Region,
  { nodes, successors, first }: NodeGraph,
  structure: FlowStructure,
  landings: readonly number[],
): RegionFlow {
  const placeOf = (block: number): number => (region.blocks[block] as RegionBlock).place;
  const nodeAt = new Map(region.blocks.map((b, n) => [b.place, n + first]));
  for (const [n, node] of nodes.entries()) if (node.kind === 'gate') nodeAt.set(placeOf(node.header - first), n);
  const flagsAreDead = nodes.map((node) => node.kind === 'block' && overwritesFlags(node.lifted));
  // What a gate leads elsewhere came by a landing, with the flags in memory.
  for (const [n, node] of nodes.entries())
    if (node.kind === 'gate') flagsAreDead[n] = flagsAreDead[node.header] as boolean;
  const bodies = loopBodies(successors, structure, first === 1);
  return {
    nodes,
    successors,
    structure,
    nodeAt,
    landingAt: new Map(landings.map((block, n) => [placeOf(block), n])),
    loops: registerLoops(nodes, bodies),
    paged: pagedLoops(
      nodes.map((node) => (node.kind === 'block' ? node.lifted : undefined)),
      bodies,
    ),
    flagsAreDead,
  };
}

/** Nodes of each loop, the header first; what goes round through the dispatch node is none. */
function loopBodies(
  successors: readonly (readonly number[])[],
  { order }: FlowStructure,
  hasDispatch: boolean,
): Set<number>[] {
  const predecessors = sourcesOf(successors);
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
  return bodies;
}

/** The outermost loop of each node. */
function registerLoops(nodes: readonly FlowNode[], bodies: readonly Set<number>[]): (RegisterLoop | undefined)[] {
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
