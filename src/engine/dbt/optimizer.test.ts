import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPTIMIZER_IDLE, OPTIMIZER_WANTS, Optimizer } from './optimizer.js';
import type { Weight } from './region-archive.js';
import { TALLY_DROPPED, TALLY_SIZE, TALLY_STATE } from './tally.js';
import type { OptimizedRegions } from './translation.js';

/** What stands in a module for a function that is optimized, and for one that is left out. */
const OPTIMIZED = 0x28;
const NONE = 0x15;
const MODULE = {} as WebAssembly.Module;

/** A turn of the event loop: promises that are fulfilled are noticed. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Modules have the number of their batch, then the tiers. `compiled`: what came to V8, as [batch, tiers]. */
function rig() {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const words = new Int32Array(memory.buffer);
  const compiled: { batch: number; tiers: number[]; end: (works: boolean) => Promise<void> }[] = [];
  const sent: OptimizedRegions[] = [];
  const noted: [number, number][] = [];
  let state = OPTIMIZER_IDLE;
  let ms = 1000;
  const optimizer = new Optimizer(memory, {
    compile: ([batch, ...tiers]) =>
      new Promise((resolve, reject) => {
        const end = (works: boolean): Promise<void> => {
          if (works) resolve(MODULE);
          else reject(new WebAssembly.CompileError('no room'));
          return turn();
        };
        compiled.push({ batch: batch as number, tiers, end });
      }),
    send: (optimized) => void sent.push(optimized),
    tell: (to) => {
      state = to;
    },
    now: () => ms,
  });
  const add = (
    batch: number,
    tallies: readonly number[],
    { epoch = 0, isUnderWay = false, weight = 0 as Weight } = {},
  ): void => {
    const count = tallies.length;
    const of = { batch, epoch, bytes: Uint8Array.of(batch, ...tallies.map(() => 0x14)), tiersAt: 1, count };
    const regions = tallies.map((tally, number) => {
      const noteWeight = (to: number): void => void noted.push([tally, to]);
      return { tally, number, of, isUnderWay, weight, noteWeight };
    });
    optimizer.add(of, regions);
  };
  const count = (tally: number, slices: number): void => {
    words[tally >> 2] = slices;
  };
  const drop = (tally: number): void => {
    words[(tally + TALLY_STATE) >> 2] = TALLY_DROPPED;
  };
  const wait = (more: number): void => {
    ms += more;
  };
  optimizer.noteBusy();
  return { optimizer, add, count, drop, wait, compiled, sent, noted, isWanted: () => state === OPTIMIZER_WANTS };
}
const A = TALLY_SIZE;
const B = 2 * TALLY_SIZE;
const C = 3 * TALLY_SIZE;

test('the hottest comes first, with what is hot in its module, and is sent', async () => {
  const { optimizer, add, count, compiled, sent, isWanted } = rig();
  add(1, [A]);
  add(2, [B, C]);
  optimizer.look();
  assert.deepEqual([compiled.length, isWanted()], [0, true], 'no slice has ended in any');
  count(A, 1);
  count(C, 5);
  optimizer.look();
  assert.deepEqual(
    compiled.map(({ batch, tiers }) => [batch, tiers]),
    [
      [2, [NONE, OPTIMIZED]],
      [1, [OPTIMIZED]],
    ],
  );
  await compiled[0]?.end(true);
  assert.deepEqual(sent, [{ batch: 2, module: MODULE, numbers: [1] }]);
  assert.equal(isWanted(), true);
  count(B, 1);
  optimizer.look();
  assert.deepEqual(compiled[2]?.tiers, [OPTIMIZED, NONE]);
  assert.equal(isWanted(), false, 'nothing is left');
});

test('what is cold comes alone, the newest first, when all was quiet', async () => {
  const { optimizer, add, wait, compiled } = rig();
  add(1, [A, B]);
  add(2, [C]);
  wait(10);
  optimizer.look();
  assert.equal(compiled.length, 0);
  wait(20);
  optimizer.look();
  optimizer.look();
  assert.deepEqual([compiled.length, compiled[0]?.batch], [1, 2]);
  await compiled[0]?.end(true);
  assert.equal(compiled.length, 1, 'the next one when it is asked for');
  optimizer.look();
  assert.deepEqual(compiled[1]?.tiers, [OPTIMIZED, NONE]);
});

test('V8 has few modules in hand, and what it cannot compile is given up', async () => {
  const { optimizer, add, count, compiled, sent, isWanted } = rig();
  for (let n = 1; n <= 6; n++) {
    add(n, [n * TALLY_SIZE]);
    count(n * TALLY_SIZE, n);
  }
  optimizer.look();
  assert.deepEqual(
    compiled.map(({ batch }) => batch),
    [6, 5, 4, 3],
  );
  assert.equal(isWanted(), false);
  await compiled[0]?.end(false);
  assert.deepEqual([compiled.length, sent.length, isWanted()], [4, 0, true]);
  await compiled[1]?.end(true);
  assert.deepEqual([compiled.length, sent.length, isWanted()], [6, 1, false]);
});

test('what was dropped, or made in another epoch, is not compiled', () => {
  const { optimizer, add, count, drop, compiled } = rig();
  add(1, [A]);
  add(2, [B]);
  count(A, 3);
  count(B, 3);
  drop(A);
  add(3, [C], { epoch: 1 });
  optimizer.look();
  assert.equal(compiled.length, 0);
  add(4, [A], { epoch: 1 });
  optimizer.look();
  assert.equal(compiled.length, 0);
});

test('what was hot in another VM waits for what is hot, and a moment', async () => {
  const { optimizer, add, count, wait, compiled } = rig();
  const order = (): unknown[] => compiled.map(({ batch }) => batch);
  add(1, [A], { weight: 1 });
  add(2, [B], { weight: 1 });
  add(3, [C]);
  count(C, 1);
  optimizer.look();
  assert.deepEqual(order(), [3]);
  await compiled[0]?.end(true);
  assert.deepEqual(order(), [3]);
  wait(2);
  optimizer.look();
  assert.deepEqual(order(), [3, 2]);
  optimizer.look();
  assert.deepEqual(order(), [3, 2], 'one at a time');
  await compiled[1]?.end(true);
  assert.deepEqual(order(), [3, 2, 1]);
});

test('what another VM spent much time in waits for no moment, but for its turn', async () => {
  const { optimizer, add, compiled } = rig();
  const order = (): unknown[] => compiled.map(({ batch }) => batch);
  optimizer.noteBusy();
  add(1, [A], { weight: 1 });
  add(2, [B], { weight: 2 });
  add(3, [C], { weight: 2 });
  optimizer.look();
  assert.deepEqual(order(), [3]);
  optimizer.look();
  assert.deepEqual(order(), [3], 'one at a time');
  await compiled[0]?.end(true);
  assert.deepEqual(order(), [3, 2]);
  await compiled[1]?.end(true);
  assert.deepEqual(order(), [3, 2], 'some time is not much');
});

test('the archive is told of weights that grow, also of what V8 optimizes by itself', () => {
  const { optimizer, add, count, noted, compiled } = rig();
  add(1, [A, B]);
  add(2, [C], { isUnderWay: true, weight: 1 });
  for (const [a, b, c] of [
    [1, 2, 2],
    [2, 19, 19],
    [3, 20, 20],
    [4, 99, 99],
  ] as const) {
    count(A, a);
    count(B, b);
    count(C, c);
    optimizer.look();
  }
  assert.deepEqual(noted, [
    [B, 1],
    [A, 1],
    [B, 2],
    [C, 2],
  ]);
  assert.deepEqual(
    compiled.map(({ batch }) => batch),
    [1],
  );
});
