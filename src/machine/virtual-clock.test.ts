import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from './virtual-clock.js';

test('a fresh reading is told again, a frozen clock stands still', () => {
  let host = 1000;
  const clock = new VirtualClock(() => host);
  let isFresh = false;
  clock.isFresh = () => isFresh;
  host = 1500;
  assert.equal(clock.now(), 500);
  host = 1600;
  isFresh = true;
  assert.equal(clock.now(), 500);
  isFresh = false;
  assert.equal(clock.now(), 600);
  clock.freeze();
  host = 9000;
  assert.equal(clock.now(), 600);
  clock.thaw();
  host = 9001;
  assert.equal(clock.now(), 601);
});
