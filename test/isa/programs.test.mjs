// Random programs in every mode: the interpreter, the translator and the slow evaluator agree
// (`npm run judge -- programs` executes ten million instructions).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparePrograms } from './agreement-programs.mjs';

test('programs in every mode', () => {
  const { wrong, byMode, regions } = comparePrograms(100_000, 2028);
  assert.deepEqual(wrong, []);
  for (const [mode, executed] of Object.entries(byMode)) assert.ok(executed > 200, `${mode}: ${executed}`);
  assert.ok(regions > 50, `${regions} regions`);
});
