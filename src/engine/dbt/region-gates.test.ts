import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flowOf } from './region-flow.js';
import type { Region } from './region-former.js';
import { addLoop, gatesBefore, type LoopBodies, sourcesOf } from './region-gates.js';
import type { LiftedBlock } from './region-registers.js';

/** A region whose blocks' places are their numbers. */
function flow(jumps: readonly (readonly number[])[], entries: readonly number[]) {
  const blocks = jumps.map((targets, place) => ({ place, targets }));
  const lifted = jumps.map((_, place) => ({ place, insns: [] }) as unknown as LiftedBlock);
  return flowOf({ blocks, entries, returnSites: [] } as unknown as Region, lifted);
}
const isBack = ({ structure: { order } }: ReturnType<typeof flow>, from: number, to: number): boolean =>
  (order[to] as number) <= (order[from] as number);

test('a loop with an entry in its middle stays a loop', () => {
  const found = flow([[1], [2, 3], [1], []], [0, 2]);
  // Dispatch, four blocks, two landings, the gate before block 1.
  const gate = 7;
  assert.equal(found.nodes.length, 8);
  assert.deepEqual(found.nodes[gate], { kind: 'gate', header: 2, ways: [{ to: 3, landings: [1] }] });
  assert.equal(found.nodeAt.get(1), gate);
  assert.deepEqual(found.successors[1], [gate], 'the jump into the loop');
  assert.deepEqual(found.successors[3], [gate], 'the jump back');
  assert.ok(isBack(found, 3, gate));
  assert.deepEqual(found.successors[6], [gate], 'the landing in the middle');
  assert.ok(found.loops[2] !== undefined && found.loops[3] !== undefined);
  assert.equal(found.loops[1], undefined);
});

test('an entry in the middle of an inner loop comes through both gates', () => {
  // 1 .. 4 is the outer loop, 2 and 3 the inner one.
  const found = flow([[1], [2], [3], [2, 4], [1, 5], []], [0, 3]);
  const gates = found.nodes.flatMap((node, n) => (node.kind === 'gate' ? [n] : []));
  assert.equal(gates.length, 2);
  assert.equal(found.structure.dropped.size, 0);
  const landing = found.nodes.find((node) => node.kind === 'landing' && node.number === 1);
  assert.ok(landing?.kind === 'landing');
  const outer = found.nodes[landing.to];
  assert.ok(outer?.kind === 'gate' && outer.header === 2);
  const inner = found.nodes[outer.ways[0]?.to as number];
  assert.ok(inner?.kind === 'gate' && inner.header === 3);
  assert.deepEqual(inner.ways, [{ to: 4, landings: [1] }]);
});

test('loops that blocks jump into the middle of have no gate', () => {
  // 1 and 2 jump to each other, and 0 to both.
  const found = flow([[1, 2], [2], [1]], [0, 1]);
  assert.ok(found.nodes.every(({ kind }) => kind !== 'gate'));
  assert.equal(found.structure.dropped.size, 0);
  const jumps = [[1, 2], [2], [1]];
  const bodies: LoopBodies = new Map();
  assert.equal(addLoop(bodies, jumps, sourcesOf(jumps), 2, 1), false);
  assert.equal(bodies.size, 0);
});

test('gates stand from the outermost to the innermost', () => {
  const jumps = [[1], [2], [3], [2, 4], [1]];
  const bodies: LoopBodies = new Map();
  assert.ok(addLoop(bodies, jumps, sourcesOf(jumps), 3, 2));
  assert.ok(addLoop(bodies, jumps, sourcesOf(jumps), 4, 1));
  assert.equal(addLoop(bodies, jumps, sourcesOf(jumps), 4, 1), false);
  assert.deepEqual(gatesBefore(bodies, 3), [1, 2]);
  assert.deepEqual(gatesBefore(bodies, 2), [1]);
  assert.deepEqual(gatesBefore(bodies, 1), []);
});
