// The interpreter, the translator and the slow evaluator agree (tools/judge-evaluators.mjs runs more).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareCases } from './agreement.mjs';

test('single integer instructions', () => {
  const { compared, wrong } = compareCases(2000, 2024);
  assert.deepEqual(wrong, []);
  assert.ok(compared > 3500);
});
