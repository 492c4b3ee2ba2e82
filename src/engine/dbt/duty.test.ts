import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Duty } from './duty.js';

const MS = 1e6;

test('who wakes for a moment now and then does next to nothing', () => {
  const duty = new Duty(false);
  assert.equal(duty.share(0), 1, 'at its start');
  let now = 0;
  for (let n = 0; n < 20; n++) {
    duty.sleep(now);
    now += 180 * MS;
    duty.wake(now);
    now += 1 * MS;
  }
  assert.ok(duty.share(now) < 0.05);
  assert.ok(duty.share(now + 30 * MS) > 0.05, 'a thirtieth of a second of work later');
  duty.sleep(now + 30 * MS);
  assert.ok(duty.share(now + 31 * MS) > 0.05);
  assert.ok(duty.share(now + 2000 * MS) < 0.05, 'and after two seconds of sleep');
  assert.equal(new Duty(true).share(0), 0);
});
