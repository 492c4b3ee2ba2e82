import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pit } from './pit.js';
import { DeviceRig } from './test-rig.js';

const TICK_NS = 1e9 / 1_193_182;

function makePit(): { rig: DeviceRig; pit: Pit; program: (channel: number, mode: number, count: number) => void } {
  const rig = new DeviceRig();
  const pit = new Pit(rig.clock, rig.timers, rig.irq);
  rig.irq.edges = 0;
  const program = (channel: number, mode: number, count: number): void => {
    pit.write(3, 1, (channel << 6) | 0x30 | (mode << 1));
    pit.write(channel, 1, count & 0xff);
    pit.write(channel, 1, count >> 8);
  };
  return { rig, pit, program };
}

function latch(pit: Pit, channel: number): number {
  pit.write(3, 1, channel << 6);
  return pit.read(channel) | (pit.read(channel) << 8);
}

test('mode 2 interrupts at its rate over a minute, without drift', () => {
  const { rig, program } = makePit();
  program(0, 2, 11932);
  rig.advance(60e9);
  assert.equal(rig.irq.edges, Math.floor(60e9 / (11932 * TICK_NS)));
});

test('mode 3 interrupts once per period and shows a square wave', () => {
  const { rig, pit, program } = makePit();
  program(0, 3, 1000);
  rig.advance(1000 * TICK_NS * 10 + 10);
  assert.equal(rig.irq.edges, 10);
  program(2, 3, 1000);
  pit.portB.write(0, 1, 1, 0);
  let high = 0;
  for (let i = 0; i < 100; i++) {
    rig.advance(TICK_NS * 10);
    if ((pit.portB.read(0, 1, 0) & 0x20) !== 0) high++;
  }
  assert.ok(high >= 48 && high <= 52, `${high} of 100`);
});

test('mode 0: OUT rises once at the end of the count', () => {
  const { rig, program } = makePit();
  program(0, 0, 5000);
  assert.equal(rig.irq.level, false);
  rig.advance(5000 * TICK_NS - 1000);
  assert.equal(rig.irq.edges, 0);
  rig.advance(2000);
  assert.equal(rig.irq.edges, 1);
  rig.advance(1e9);
  assert.equal(rig.irq.edges, 1);
  assert.equal(rig.timers.nextDeadline(), Infinity);
});

test('mode 0 on counter 2 with its gate: how kernels calibrate', () => {
  const { rig, pit, program } = makePit();
  pit.portB.write(0, 1, 1, 0);
  program(2, 0, 59659);
  assert.equal(pit.portB.read(0, 1, 0) & 0x20, 0);
  rig.advance(20e6);
  pit.portB.write(0, 1, 0, 0);
  rig.advance(1e9);
  assert.equal(pit.portB.read(0, 1, 0) & 0x20, 0, 'the gate stops it');
  pit.portB.write(0, 1, 1, 0);
  rig.advance(29.9e6);
  assert.equal(pit.portB.read(0, 1, 0) & 0x20, 0);
  rig.advance(0.2e6);
  assert.equal(pit.portB.read(0, 1, 0) & 0x20, 0x20);
});

test('mode 1 and 5 wait for the gate', () => {
  const { rig, pit, program } = makePit();
  program(2, 1, 1000);
  rig.advance(1e9);
  assert.equal(pit.portB.read(0, 1, 0) & 0x20, 0x20);
  pit.portB.write(0, 1, 1, 0);
  assert.equal(pit.portB.read(0, 1, 0) & 0x20, 0);
  rig.advance(1001 * TICK_NS);
  assert.equal(pit.portB.read(0, 1, 0) & 0x20, 0x20);
  program(2, 5, 1000);
  pit.portB.write(0, 1, 0, 0);
  pit.portB.write(0, 1, 1, 0);
  rig.advance(1000.5 * TICK_NS);
  assert.equal(pit.portB.read(0, 1, 0) & 0x20, 0, 'strobe');
  rig.advance(TICK_NS);
  assert.equal(pit.portB.read(0, 1, 0) & 0x20, 0x20);
});

test('mode 4 strobes once', () => {
  const { rig, program } = makePit();
  program(0, 4, 100);
  rig.advance(1e6);
  assert.equal(rig.irq.edges, 1);
});

test('latched counts stay until read, in one, two and BCD bytes', () => {
  const { rig, pit, program } = makePit();
  program(0, 2, 10000);
  rig.advance(100.5 * TICK_NS);
  assert.equal(latch(pit, 0), 9900);
  pit.write(3, 1, 0x00);
  rig.advance(1000 * TICK_NS);
  pit.write(3, 1, 0x00);
  assert.equal(pit.read(0) | (pit.read(0) << 8), 9900, 'a second latch is ignored');
  pit.write(3, 1, 0x35);
  pit.write(0, 1, 0x00);
  pit.write(0, 1, 0x10);
  rig.advance(1.5 * TICK_NS);
  assert.equal(latch(pit, 0), 0x0999);
  pit.write(3, 1, 0x14);
  pit.write(0, 1, 200);
  rig.advance(50.5 * TICK_NS);
  assert.equal(pit.read(0), 150);
});

test('read-back gives status and count', () => {
  const { rig, pit, program } = makePit();
  program(0, 2, 10000);
  rig.advance(10.5 * TICK_NS);
  pit.write(3, 1, 0xc2);
  assert.equal(pit.read(0), 0xb4, 'OUT high, both bytes, mode 2');
  assert.equal(pit.read(0) | (pit.read(0) << 8), 9990);
  pit.write(3, 1, 0x30);
  pit.write(3, 1, 0xe2);
  assert.equal(pit.read(0), 0x70, 'null count');
});

test('a new count in mode 2 waits for the end of the period', () => {
  const { rig, pit, program } = makePit();
  program(0, 2, 1000);
  rig.advance(5500 * TICK_NS);
  assert.equal(rig.irq.edges, 5);
  pit.write(0, 1, 0xd0);
  pit.write(0, 1, 0x07);
  rig.advance(501 * TICK_NS);
  assert.equal(rig.irq.edges, 6);
  rig.advance(1998 * TICK_NS);
  assert.equal(rig.irq.edges, 6);
  rig.advance(3 * TICK_NS);
  assert.equal(rig.irq.edges, 7);
});

test('a late machine catches up a little and forgets the rest', () => {
  const { rig, program } = makePit();
  program(0, 2, 1193);
  rig.clock.ns = 5e9;
  let calls = 0;
  while (rig.timers.runDue(rig.clock.ns)) calls++;
  assert.ok(calls >= 2 && calls < 40, `${calls}`);
  assert.ok(rig.timers.nextDeadline() > 5e9 && rig.timers.nextDeadline() < 5.002e9);
});

test('the refresh bit toggles', () => {
  const { rig, pit } = makePit();
  let toggles = 0;
  let last = pit.portB.read(0, 1, 0) & 0x10;
  for (let i = 0; i < 1000; i++) {
    rig.advance(1000);
    const now = pit.portB.read(0, 1, 0) & 0x10;
    if (now !== last) toggles++;
    last = now;
  }
  assert.equal(toggles, 66);
});
