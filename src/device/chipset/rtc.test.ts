import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, ManualClock } from '../../base/clock.js';
import { TimerQueue } from '../../base/timer-queue.js';
import { Rtc } from './rtc.js';
import { DeviceRig, Probe } from './test-rig.js';

const START = Date.UTC(2024, 1, 28, 23, 59, 50);

function makeRtc(wallClockMs = START): {
  rig: DeviceRig;
  get: (r: number) => number;
  put: (r: number, v: number) => void;
} {
  const rig = new DeviceRig();
  const rtc = new Rtc({
    clock: rig.clock,
    timers: rig.timers,
    irq: rig.irq,
    wallClockMs,
    ramSizeBytes: 512 << 20,
  });
  const get = (register: number): number => {
    rtc.write(0, 1, register);
    return rtc.read(1);
  };
  const put = (register: number, value: number): void => {
    rtc.write(0, 1, register);
    rtc.write(1, 1, value);
  };
  return { rig, get, put };
}

const time = (get: (r: number) => number): number[] => [0x32, 9, 8, 7, 6, 4, 2, 0].map((r) => get(r));

test('the date starts with the host and carries over a leap day', () => {
  const { rig, get } = makeRtc();
  assert.deepEqual(time(get), [0x20, 0x24, 0x02, 0x28, 0x04, 0x23, 0x59, 0x50]);
  rig.advance(10e9);
  assert.deepEqual(time(get), [0x20, 0x24, 0x02, 0x29, 0x05, 0x00, 0x00, 0x00]);
  rig.advance(86_400e9);
  assert.deepEqual(time(get), [0x20, 0x24, 0x03, 0x01, 0x06, 0x00, 0x00, 0x00]);
});

test('binary and 12 hour modes', () => {
  const { get, put } = makeRtc();
  put(0x0b, 0x06);
  assert.deepEqual(time(get), [20, 24, 2, 28, 4, 23, 59, 50]);
  put(0x0b, 0x00);
  assert.equal(get(4), 0x91, '11 PM');
  put(4, 0x12);
  put(0x0b, 0x02);
  assert.equal(get(4), 0x00, '12 AM');
});

test('setting the time with SET', () => {
  const { rig, get, put } = makeRtc();
  put(0x0b, 0x82);
  for (const [register, value] of [
    [0, 0x30],
    [2, 0x15],
    [4, 0x08],
    [7, 0x31],
    [8, 0x12],
    [9, 0x99],
    [0x32, 0x19],
  ]) {
    put(register, value);
  }
  rig.advance(5e9);
  assert.equal(get(0), 0x30, 'time stands still');
  put(0x0b, 0x02);
  rig.advance(2e9);
  assert.deepEqual(time(get), [0x19, 0x99, 0x12, 0x31, 0x06, 0x08, 0x15, 0x32]);
});

test('after the divider starts the first update is half a second away', () => {
  const { rig, get, put } = makeRtc();
  put(0x0a, 0x76);
  put(0, 0x10);
  rig.advance(3.3e9);
  put(0x0a, 0x26);
  rig.advance(0.49e9);
  assert.equal(get(0), 0x10);
  rig.advance(0.02e9);
  assert.equal(get(0), 0x11);
});

test('UIP announces the update', () => {
  const { rig, get } = makeRtc();
  assert.equal(get(0x0a) & 0x80, 0);
  rig.advance(999.7e6);
  assert.equal(get(0x0a) & 0x80, 0);
  rig.advance(0.1e6);
  assert.equal(get(0x0a) & 0x80, 0x80);
  rig.advance(0.3e6);
  assert.equal(get(0x0a) & 0x80, 0);
});

test('update-ended interrupt every second', () => {
  const { rig, get, put } = makeRtc();
  put(0x0b, 0x12);
  rig.advance(1.5e9);
  assert.equal(rig.irq.level, true);
  assert.equal(get(0x0c), 0x90 | 0x40, 'the periodic flag is up too');
  assert.equal(rig.irq.level, false);
  for (let i = 0; i < 9; i++) {
    rig.advance(1e9);
    get(0x0c);
  }
  assert.equal(rig.irq.edges, 10);
});

test('periodic interrupt at 1024 Hz', () => {
  const { rig, get, put } = makeRtc();
  put(0x0b, 0x42);
  get(0x0c);
  for (let i = 0; i < 2048; i++) {
    rig.advance(1e9 / 2048);
    get(0x0c);
  }
  assert.ok(Math.abs(rig.irq.edges - 1024) <= 1, `${rig.irq.edges}`);
});

test('alarm at a time and with wildcards', () => {
  const { rig, get, put } = makeRtc();
  put(1, 0x05);
  put(3, 0x02);
  put(5, 0x00);
  put(0x0b, 0x22);
  rig.advance(10e9 + 124e9);
  assert.equal(rig.irq.edges, 0);
  rig.advance(1e9);
  assert.equal(rig.irq.edges, 1);
  assert.equal(get(0x0c) & 0xa0, 0xa0);
  put(3, 0xff);
  put(5, 0xc0);
  rig.advance(59e9);
  assert.equal(rig.irq.edges, 1);
  rig.advance(2e9);
  assert.equal(rig.irq.edges, 2);
});

test('flags appear without interrupts too, for pollers', () => {
  const { rig, get } = makeRtc();
  get(0x0c);
  rig.advance(0.5e9);
  assert.equal(get(0x0c) & 0x10, 0);
  rig.advance(0.6e9);
  assert.equal(get(0x0c) & 0x90, 0x10);
  assert.equal(rig.timers.nextDeadline(), Infinity, 'nothing wakes an idle machine');
});

test('CMOS memory sizes and scratch cells', () => {
  const { get, put } = makeRtc();
  assert.equal(get(0x15) | (get(0x16) << 8), 640);
  assert.equal(get(0x17) | (get(0x18) << 8), 65535);
  assert.equal(get(0x34) | (get(0x35) << 8), (512 - 16) * 16);
  assert.equal(get(0x0d), 0x80);
  put(0x55, 0xa5);
  assert.equal(get(0x55), 0xa5);
});

test('nonsense in the time cells does no harm', () => {
  const { rig, get, put } = makeRtc();
  for (const register of [0, 2, 4, 6, 7, 8, 9, 0x32]) put(register, 0xff);
  put(0x0b, 0x36);
  rig.advance(10e9);
  for (const value of time(get)) assert.ok(value >= 0 && value < 256);
});

test('the line falls when register C is read, though the next period ends meanwhile', () => {
  const period = 1e9 / 1024;
  const clock = new ManualClock();
  const irq = new Probe();
  let step = 0;
  const passing: Clock = {
    tscHz: 1e9,
    now: () => {
      clock.ns += step;
      return clock.ns;
    },
  };
  const timers = new TimerQueue();
  const rtc = new Rtc({ clock: passing, timers, irq, wallClockMs: START, ramSizeBytes: 512 << 20 });
  rtc.write(0, 1, 0x0b);
  rtc.write(1, 1, 0x42);
  clock.ns = period * 1.5;
  timers.runDue(clock.ns);
  assert.equal(irq.edges, 1);
  // Every look at the clock finds it a period later.
  step = period;
  rtc.write(0, 1, 0x0c);
  assert.equal(rtc.read(1) & 0xc0, 0xc0);
  assert.equal(irq.edges, 2);
});
