/**
 * Structure of a region's control flow: reverse postorder, dominators, loop headers and merge points, so that it can be
 * written with WebAssembly's blocks and loops. Edges into the middle of a loop (irreducible control flow) are dropped:
 * the caller finds another way for them. Method: N. Ramsey, "Beyond Relooper: Recursive Translation of Unstructured Control Flow to
 * Structured Control Flow", ICFP 2022.
 */

/** Nodes by number; node 0 is the entry. */
export interface FlowGraph {
  readonly successors: readonly (readonly number[])[];
}

export interface FlowStructure {
  /** Position in reverse postorder; -1: not reachable. */
  readonly order: readonly number[];
  readonly reversePostorder: readonly number[];
  readonly isLoopHeader: readonly boolean[];
  /** More than one forward edge comes in. */
  readonly isMerge: readonly boolean[];
  /** Children in the dominator tree, in reverse postorder. */
  readonly dominated: readonly (readonly number[])[];
  /** Edges (source * count + target) that cannot be structured. */
  readonly dropped: ReadonlySet<number>;
}

/** `labelled`: nodes that need a label of their own however many edges lead there. */
export function analyse(graph: FlowGraph, labelled: readonly number[]): FlowStructure {
  const dropped = new Set<number>();
  for (;;) {
    const structure = attempt(graph, dropped, labelled);
    if (structure !== undefined) return structure;
  }
}

/** Undefined after finding (and dropping) irreducible edges. */
function attempt(graph: FlowGraph, dropped: Set<number>, labelled: readonly number[]): FlowStructure | undefined {
  const count = graph.successors.length;
  const successors =
    dropped.size === 0
      ? graph.successors
      : graph.successors.map((list, from) => list.filter((to) => !dropped.has(from * count + to)));
  const reversePostorder = postorder(successors).reverse();
  const order = new Array<number>(count).fill(-1);
  for (let position = 0; position < reversePostorder.length; position++)
    order[reversePostorder[position] as number] = position;
  const predecessors: number[][] = Array.from({ length: count }, () => []);
  for (const from of reversePostorder)
    for (const to of successors[from] as number[]) (predecessors[to] as number[]).push(from);
  const idom = dominators(reversePostorder, order, predecessors);
  const isLoopHeader = new Array<boolean>(count).fill(false);
  const isMerge = new Array<boolean>(count).fill(false);
  const before = dropped.size;
  for (const node of reversePostorder) {
    let forward = 0;
    const into = predecessors[node] as number[];
    for (let n = 0; n < into.length; n++) {
      const from = into[n] as number;
      if ((order[from] as number) < (order[node] as number)) forward++;
      else if (dominates(node, from, idom, order)) isLoopHeader[node] = true;
      else dropped.add(from * count + node);
    }
    isMerge[node] = forward > 1;
  }
  for (const node of labelled) isMerge[node] = true;
  if (dropped.size > before) return undefined;
  const dominated: number[][] = Array.from({ length: count }, () => []);
  for (const node of reversePostorder) if (node !== 0) (dominated[idom[node] as number] as number[]).push(node);
  return { order, reversePostorder, isLoopHeader, isMerge, dominated, dropped };
}

function postorder(successors: readonly (readonly number[])[]): number[] {
  const seen = new Set<number>([0]);
  const out: number[] = [];
  const stack: { node: number; next: number }[] = [{ node: 0, next: 0 }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1] as { node: number; next: number };
    const list = successors[top.node] as readonly number[];
    if (top.next < list.length) {
      const to = list[top.next++] as number;
      if (!seen.has(to)) {
        seen.add(to);
        stack.push({ node: to, next: 0 });
      }
    } else {
      out.push(top.node);
      stack.pop();
    }
  }
  return out;
}

/** Immediate dominators by iteration. Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm". */
function dominators(
  reversePostorder: readonly number[],
  order: readonly number[],
  predecessors: readonly (readonly number[])[],
): number[] {
  const idom = new Array<number>(order.length).fill(-1);
  idom[0] = 0;
  const meet = (a: number, b: number): number => {
    while (a !== b) {
      while ((order[a] as number) > (order[b] as number)) a = idom[a] as number;
      while ((order[b] as number) > (order[a] as number)) b = idom[b] as number;
    }
    return a;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let position = 0; position < reversePostorder.length; position++) {
      const node = reversePostorder[position] as number;
      if (node === 0) continue;
      let best = -1;
      const into = predecessors[node] as readonly number[];
      for (let n = 0; n < into.length; n++) {
        const from = into[n] as number;
        if (idom[from] === -1) continue;
        best = best === -1 ? from : meet(best, from);
      }
      if (best !== idom[node]) {
        idom[node] = best;
        changed = true;
      }
    }
  }
  return idom;
}

function dominates(a: number, b: number, idom: readonly number[], order: readonly number[]): boolean {
  let at = b;
  while ((order[at] as number) > (order[a] as number)) at = idom[at] as number;
  return at === a;
}
