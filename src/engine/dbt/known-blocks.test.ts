import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KnownBlocks, signatureOf } from './known-blocks.js';

const shape = { offset: 16, length: 9, instructions: 3, key: 5 };

test('what was added is known, in the other thread as well', () => {
  const known = new KnownBlocks();
  const other = new KnownBlocks(known.shared);
  const added = Array.from({ length: 1000 }, (_, n) => Math.imul(n + 1, 0x9e3779b1) | 1);
  for (const signature of added) known.add(signature);
  assert.ok(added.every((signature) => other.has(signature)));
  assert.equal(other.has(0x12345), false);
});

test('a full table forgets nothing and ends every search', () => {
  const known = new KnownBlocks();
  for (let n = 1; n < 200_000; n++) known.add(Math.imul(n, 0x9e3779b1) | 1);
  assert.ok(known.has(0x9e3779b1 | 1));
  assert.equal(typeof known.has(2), 'boolean');
});

test('a signature tells place, shape and first bytes, and no address behind them', () => {
  const page = new Uint8Array(4096).fill(0x90);
  const base = signatureOf(page, 0, shape);
  assert.notEqual(signatureOf(page, 0, { ...shape, offset: 32 }), base);
  assert.notEqual(signatureOf(page, 0, { ...shape, length: 10 }), base);
  assert.notEqual(signatureOf(page, 0, { ...shape, instructions: 4 }), base);
  assert.notEqual(signatureOf(page, 0, { ...shape, key: 6 }), base);
  page[20] = 0x81;
  assert.equal(signatureOf(page, 0, shape), base);
  page[17] = 0x48;
  assert.notEqual(signatureOf(page, 0, shape), base);
  // Of a block at the end of the page no byte beyond it is looked at.
  const last = { ...shape, offset: 4095 };
  assert.equal(signatureOf(page, 0, last), signatureOf(new Uint8Array(8192).fill(0x90, 0, 4096), 0, last));
});
