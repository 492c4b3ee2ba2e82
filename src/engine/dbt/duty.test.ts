import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Duty } from './duty.js';

const MS = 1e6;

test('a guest that wakes for a moment now and then is idle, one that works is not', () => {
  const duty = new Duty();
  assert.equal(duty.isIdle(0), false, 'at its start');
  let now = 0;
  for (let n = 0; n < 20; n++) {
    duty.sleep(now);
    now += 180 * MS;
    duty.wake(now);
    now += 1 * MS;
  }
  assert.equal(duty.isIdle(now), true);
  assert.equal(duty.isIdle(now + 30 * MS), false, 'a thirtieth of a second of work later');
  duty.sleep(now + 30 * MS);
  assert.equal(duty.isIdle(now + 31 * MS), false);
  assert.equal(duty.isIdle(now + 2000 * MS), true, 'and after two seconds of sleep');
});
