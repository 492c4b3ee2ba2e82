// A part of the cases of `npm run judge -- privilege`: what the manual says of rings, gates, segments and pages.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { casesOf, describe, missed } from './judge.mjs';
import { onTrapeze } from './run.mjs';

test('one in seven cases has the outcome that the manual says', { timeout: 120_000 }, async (t) => {
  const cases = casesOf({ step: 7 });
  assert.ok(cases.length > 500);
  const wrong = await missed(onTrapeze, cases);
  t.diagnostic(`${cases.length} outcomes`);
  assert.deepEqual(wrong.slice(0, 20).map(describe), []);
});

test('every expectation can be missed', { timeout: 60_000 }, async () => {
  const cases = casesOf({ step: 997 }).filter((c) => c.expect.ends === undefined);
  const spoilt = cases.map((c) => ({ ...c, expect: { fault: 'AC', error: 4 } }));
  assert.equal((await missed(onTrapeze, spoilt)).length, cases.length);
});

test('a fault at an address that is not canonical leaves nothing behind for the next one', {
  timeout: 60_000,
}, async () => {
  const cases = casesOf({ only: 'canonical addresses' });
  assert.ok(cases.length > 50);
  assert.deepEqual((await missed(onTrapeze, cases)).map(describe), []);
});
