import assert from 'node:assert/strict';
import test from 'node:test';
import { formatDuration } from './status-line.js';

test('durations are written as on a clock', () => {
  for (const [seconds, text] of [
    [0, '0:00'],
    [61, '1:01'],
    [3599, '59:59'],
    [3600, '1:00:00'],
    [90_061, '25:01:01'],
  ] as const) {
    assert.equal(formatDuration(seconds), text);
  }
});
