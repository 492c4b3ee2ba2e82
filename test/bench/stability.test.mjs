// What the bench says of an hour of a changing workload, from made-up samples.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeStability, stabilityGoals } from '../../bench/stability.mjs';

const MINUTES = 60;
const capacity = { 'block cache bytes': 1000, 'live regions': 100 };

/** `memory` and `cpuMs` by minute; two works a minute, of which `churn` never answers the same. */
function hour({ memory = () => 900, cpuMs = () => 50, checksum = () => 'a', bytes = 900, wrong = [] } = {}) {
  const minutes = Array.from({ length: MINUTES }, (_, n) => n + 1);
  return {
    capacity,
    wrong,
    samples: minutes.map((minute) => ({
      minute,
      residentMiB: memory(minute),
      'block cache bytes': bytes,
      'live regions': 40,
    })),
    works: minutes.flatMap((at) => [
      { name: 'sieve', at, cpuMs: cpuMs(at), checksum: checksum(at) },
      { name: 'churn', at, cpuMs: cpuMs(at), checksum: String(at) },
    ]),
  };
}

const reached = (run) => stabilityGoals(run).map((goal) => goal.reached);

test('an hour that is the same from its first quarter on is bounded and stable', () => {
  const run = hour({ memory: (minute) => (minute < 10 ? 300 : 900), cpuMs: (minute) => (minute < 10 ? 90 : 50) });
  assert.deepEqual(reached(run), [true, true, true, true]);
  assert.equal(judgeStability(run).memoryGrowth, 0);
});

test('a cache over its room, memory that grows, speed that falls and wrong answers are told apart', () => {
  assert.deepEqual(reached(hour({ bytes: 1001 })), [false, true, true, true]);
  assert.deepEqual(reached(hour({ memory: (minute) => 500 + 10 * minute })), [true, false, true, true]);
  assert.deepEqual(reached(hour({ cpuMs: (minute) => 50 + minute })), [true, true, false, true]);
  assert.deepEqual(reached(hour({ checksum: (minute) => (minute === 44 ? 'b' : 'a') })), [true, true, true, false]);
  assert.deepEqual(reached(hour({ wrong: ['WRONG function'] })), [true, true, true, false]);
  assert.deepEqual(reached(hour({ memory: (minute) => 1500 - 10 * minute })), [true, true, true, true]);
});
