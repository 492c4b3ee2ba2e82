import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextPeriodicDeadline, TimerQueue } from './timer-queue.js';

test('timers fire in order of their deadlines, once', () => {
  const queue = new TimerQueue();
  const fired: string[] = [];
  const late = queue.create((deadline) => fired.push(`late ${deadline}`));
  const early = queue.create((deadline) => fired.push(`early ${deadline}`));
  late.arm(200);
  early.arm(100);
  assert.equal(queue.nextDeadline(), 100);
  assert.equal(queue.runDue(99), false);
  assert.equal(queue.runDue(250), true);
  assert.deepEqual(fired, ['early 100', 'late 200']);
  assert.equal(queue.nextDeadline(), Infinity);
  assert.equal(queue.runDue(1e12), false);
});

test('a timer that arms itself again in the past fires once per call', () => {
  const queue = new TimerQueue();
  let count = 0;
  const timer = queue.create((deadline) => {
    count++;
    timer.arm(deadline + 10);
  });
  timer.arm(10);
  queue.runDue(100);
  assert.equal(count, 1);
  for (let i = 0; i < 20; i++) queue.runDue(100);
  assert.equal(count, 10);
  assert.equal(queue.nextDeadline(), 110);
});

test('disarming inside a callback holds for the same call', () => {
  const queue = new TimerQueue();
  let fired = false;
  const second = queue.create(() => {
    fired = true;
  });
  const first = queue.create(() => second.disarm());
  first.arm(1);
  second.arm(2);
  queue.runDue(10);
  assert.equal(fired, false);
});

test('periodic deadlines keep their phase and drop a long pause', () => {
  assert.equal(nextPeriodicDeadline(100, 10, 105), 110);
  assert.equal(nextPeriodicDeadline(100, 10, 140), 110);
  const next = nextPeriodicDeadline(100, 10, 100_000);
  assert.equal(next % 10, 0);
  assert.ok(next > 100_000 - 200 && next < 100_000);
});
