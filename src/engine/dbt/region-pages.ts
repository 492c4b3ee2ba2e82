/**
 * Loops whose accesses of small tables remember the page that they found last: the innermost ones that run no routines.
 */
import type { Statement } from '../../ir/value.js';
import type { LiftedBlock, LiftedInsn } from './region-registers.js';

/** More would only keep locals alive. */
const MAX_ACCESSES = 4;

export interface PagedLoops {
  /** By node. */
  readonly isPaged: readonly boolean[];
  /** So many remember their page at most. */
  readonly accesses: number;
}

/** `bodies`: nodes of loops, the header first. */
export function pagedLoops(
  blocks: readonly (LiftedBlock | undefined)[],
  bodies: readonly ReadonlySet<number>[],
): PagedLoops {
  const byHeader = new Map<number, Set<number>>();
  for (const body of bodies) {
    const [header] = body as ReadonlySet<number> & [number];
    byHeader.set(header, new Set([...(byHeader.get(header) ?? []), ...body]));
  }
  const isPaged = blocks.map(() => false);
  let accesses = 0;
  for (const [header, body] of byHeader) {
    const nodes = [...body];
    if (nodes.some((node) => node !== header && byHeader.has(node))) continue;
    const count = nodes.reduce((sum, node) => sum + accessesOf(blocks[node]), 0);
    if (count === 0 || count === Number.POSITIVE_INFINITY) continue;
    accesses = Math.min(accesses + count, MAX_ACCESSES);
    for (const node of nodes) isPaged[node] = true;
  }
  return { isPaged, accesses };
}

/** Infinite where there are routines, too. */
function accessesOf(block: LiftedBlock | undefined): number {
  if (block === undefined) return 0;
  let count = 0;
  for (const { statements } of block.insns as readonly LiftedInsn[])
    for (const s of statements) {
      if (runsRoutine(s)) return Number.POSITIVE_INFINITY;
      if (s.kind === 'store' || (s.kind === 'eval' && (s.value.op === 'load' || s.value.op === 'loadrmw'))) count++;
    }
  return count;
}

const runsRoutine = (s: Statement): boolean => s.kind === 'routine' || (s.kind === 'if' && s.then.some(runsRoutine));
