// The interpreter, the translator and the slow evaluator agree (tools/judge-evaluators.mjs runs more).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareCases } from './agreement.mjs';

test('single integer instructions', () => {
  const { compared, wrong } = compareCases(2000, 2024, false);
  assert.deepEqual(wrong, []);
  assert.ok(compared > 3500);
});

test('programs with loops and faults', () => {
  const { compared, wrong, regions } = compareCases(200, 2025, true);
  assert.deepEqual(wrong, []);
  assert.ok(compared > 350);
  assert.ok(regions > 200, `${regions} regions`);
});
