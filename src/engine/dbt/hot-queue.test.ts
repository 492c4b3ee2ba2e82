import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Block } from './block-cache.js';
import { type Heat, HotQueue } from './hot-queue.js';

const MS = 1e6;

function rig(): {
  queue: HotQueue;
  heats: Map<number, number>;
  cooled: number[];
  block: (gpa: number, heat: number) => Block;
} {
  const heats = new Map<number, number>();
  const cooled: number[] = [];
  const heat: Heat = {
    isAlive: ({ gpa }) => heats.has(gpa),
    heat: ({ gpa }) => heats.get(gpa) ?? 0,
    cool: (gpa) => void cooled.push(gpa),
  };
  const block = (gpa: number, now: number): Block => {
    heats.set(gpa, now);
    return { gpa, key: 0, header: gpa } as Block;
  };
  return { queue: new HotQueue(heat), heats, cooled, block };
}

const gpas = (taken: readonly { block: Block }[]): number[] => taken.map(({ block }) => block.gpa);

const PAGE = 4096;

test('what ran most while it waited comes first, and nothing that ran far less with it', () => {
  const { queue, heats, block } = rig();
  for (const page of [1, 2, 3]) queue.add(block(page * PAGE, 2000), 0);
  heats.set(2 * PAGE, 9000);
  heats.set(3 * PAGE, 5000);
  queue.add(block(4 * PAGE, 20000), 0);
  assert.deepEqual(gpas(queue.take(MS, false)), [2 * PAGE, 3 * PAGE]);
  assert.equal(queue.length, 2);
  assert.deepEqual(gpas(queue.take(MS, false)), [PAGE, 4 * PAGE]);
  assert.deepEqual(queue.take(MS, false), []);
});

test('what is hot in the pages of the hottest comes with them', () => {
  const { queue, heats, block } = rig();
  for (const gpa of [1, 2, PAGE + 1]) queue.add(block(gpa, 2000), 0);
  heats.set(2, 9000);
  assert.deepEqual(gpas(queue.take(MS, false)), [2, 1]);
  assert.deepEqual(gpas(queue.take(MS, false)), [PAGE + 1]);
});

test('what is dead or was hardly entered while it waited is not compiled', () => {
  const { queue, heats, cooled, block } = rig();
  for (const gpa of [1, 2, 3]) queue.add(block(gpa, 2000), 0);
  heats.set(1, 2300);
  heats.set(2, 2600);
  heats.delete(3);
  assert.deepEqual(gpas(queue.take(40 * MS, false)), [2]);
  assert.deepEqual([cooled, queue.cooled, queue.length], [[1], 1, 0]);
  queue.add(block(4, 2000), 0);
  assert.deepEqual(gpas(queue.take(40 * MS, true)), [4], 'unless the compiler wants it so');
});

test('a loop is told by its runs in the time that it waited', () => {
  const { queue, heats, block } = rig();
  for (const page of [1, 2]) queue.add(block(page * PAGE, 5000), 0);
  heats.set(PAGE, 5000 + 500);
  heats.set(2 * PAGE, 5000 + 300);
  const loops = queue.take(2 * MS, false).map(({ block, isLoop }) => [block.gpa / PAGE, isLoop]);
  assert.deepEqual(loops, [
    [1, true],
    [2, false],
  ]);
});

test('a batch is bounded', () => {
  const { queue, heats, block } = rig();
  for (let page = 0; page < 30; page++) queue.add(block(page * PAGE, 2000), 0);
  assert.equal(queue.isFull, true);
  assert.equal(queue.take(MS, false).length, 12);
  assert.equal(queue.length, 18);
  assert.equal(queue.waitedNs(3 * MS), 3 * MS);
  for (let offset = 1; offset < 100; offset++) queue.add(block(29 * PAGE + offset, 2000), 0);
  heats.set(29 * PAGE + 1, 9000);
  assert.equal(queue.take(MS, false).length, 64, 'of one page');
});
