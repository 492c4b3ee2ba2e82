/**
 * Loops with landings in their middle. Such a loop begins with a gate, the target of all jumps to its header: control that came
 * by one of these landings goes on to the middle, all other to the header. So the loop has one way in, and is one for the
 * compiler, too.
 *
 *      landing of m         landing of h, jumps to h
 *                 \         /
 *                    gate <---------+
 *                   /    \          |
 *                  h ...  m ... ----+
 *
 * Blocks, here and in what calls this, by their numbers in the region.
 */

/** Bodies of loops by header, which is part of them. */
export type LoopBodies = Map<number, Set<number>>;
type Jumps = readonly (readonly number[])[];

/**
 * Notes the loop that a jump from `from` back to `header` makes, if all jumps into it go to its header. `sources`: of all jumps.
 * False: nothing new is known.
 */
export function addLoop(bodies: LoopBodies, jumps: Jumps, sources: Jumps, from: number, header: number): boolean {
  if (from < 0 || from >= jumps.length) return false;
  const known = bodies.get(header);
  if (known?.has(from) === true) return false;
  const body = leadingTo(from, header, sources);
  if (reachedWithin(body, header, jumps) < body.size) return false;
  for (const block of known ?? []) body.add(block);
  bodies.set(header, body);
  return true;
}

/** What leads to `from` without passing `header`, and both of them. */
function leadingTo(from: number, header: number, sources: Jumps): Set<number> {
  const body = new Set([header, from]);
  for (const block of body)
    if (block !== header) for (const source of sources[block] as readonly number[]) body.add(source);
  return body;
}

/** Where jumps to each block come from. */
export function sourcesOf(jumps: Jumps): number[][] {
  const sources: number[][] = jumps.map(() => []);
  for (let from = 0; from < jumps.length; from++)
    for (const to of jumps[from] as readonly number[]) (sources[to] as number[]).push(from);
  return sources;
}

/** How much of a loop its header leads to. */
function reachedWithin(body: ReadonlySet<number>, header: number, jumps: Jumps): number {
  const reached = new Set([header]);
  for (const block of reached) for (const to of jumps[block] as readonly number[]) if (body.has(to)) reached.add(to);
  return reached.size;
}

/** Headers of the loops whose gates lead to a landing's block, from the outermost on. */
export function gatesBefore(bodies: LoopBodies, block: number): number[] {
  const around = [...bodies].filter(([header, body]) => header !== block && body.has(block));
  return around.sort(([, a], [, b]) => b.size - a.size).map(([header]) => header);
}
