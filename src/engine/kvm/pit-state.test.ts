// Counters and controllers in KVM's structures; none of this needs /dev/kvm.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CounterRegisters, I8259Registers, PitRegisters } from '../../base/chip-registers.js';
import { CHANNEL, CHIP_PIC_MASTER, IOAPIC, IRQCHIP_CHIP, PIT_CHANNEL_SIZE } from './chip-layout.js';
import { quietPic, readIoapic, readPic, writeIoapic, writePic } from './chip-state.js';
import { isCounting, phaseOf, readPit, reduced, writePit } from './pit-state.js';

const HIGH = 0x80;

test('how far a counter is, from count and OUT', () => {
  for (const [mode, count, latched, status, ticks] of [
    [2, 1000, 1000, HIGH, 0],
    [2, 1000, 1, HIGH, 999],
    [2, 65536, 0, HIGH, 0],
    [2, 65536, 65535, HIGH, 1],
    // Mode 3 counts down twice, by two.
    [3, 1000, 1000, HIGH, 0],
    [3, 1000, 500, HIGH, 250],
    [3, 1000, 500, 0, 750],
    [3, 1001, 1, HIGH, 500],
    [3, 1001, 1000, 0, 501],
    [3, 65536, 0, 0, 32768],
    // One-time modes go on below zero.
    [0, 1000, 600, 0, 400],
    [0, 1000, 0, HIGH, 1000],
    [0, 1000, 65535, HIGH, 1001],
    [0, 65536, 0, 0, 0],
    [1, 1000, 65000, 0, 1536],
    [4, 1000, 990, 0, 10],
  ] as const) {
    assert.equal(phaseOf(mode, count, latched, status), ticks, `mode ${mode}, ${latched} of ${count}`);
  }
});

test('ticks without what tells nothing', () => {
  assert.equal(reduced(2500.7, 2, 1000), 500);
  assert.equal(reduced(999, 0, 1000), 999);
  assert.equal(reduced(1000 + 65536 * 3 + 5, 0, 1000), 1005);
  assert.equal(reduced(-4, 3, 1000), 0);
});

const counter: CounterRegisters = {
  count: 0,
  startNs: 0,
  mode: 3,
  access: 3,
  gate: true,
  readsHigh: false,
  writeLow: null,
  latched: [],
  latchedStatus: null,
};

test('counters as KVM has them', () => {
  const pit: PitRegisters = {
    counters: [
      counter,
      { ...counter, count: 65536, mode: 2, latched: [0x34, 0x12], latchedStatus: 0xb4, readsHigh: true },
      { ...counter, count: 0xff00, mode: 0, access: 2, gate: false, latched: [0x56] },
    ],
    speaker: true,
    isCut: true,
  };
  const bytes = writePit(pit, []);
  const view = new DataView(bytes.buffer);
  assert.equal(isCounting(view, 0), false, 'a counter that waits');
  assert.equal(isCounting(view, 1), true);
  // Counter 2 was loaded 1,000 ticks ago.
  view.setBigInt64(2 * PIT_CHANNEL_SIZE + CHANNEL.LOAD_TIME, 5_000_000_000n - 838_097n, true);
  view.setBigInt64(PIT_CHANNEL_SIZE + CHANNEL.LOAD_TIME, 5_000_000_000n, true);
  const read = readPit(bytes, { virtualNs: 2e9, monotonicNs: 5e9 }, undefined);
  assert.deepEqual(
    read.counters.map(({ startNs: _, ...rest }) => rest),
    pit.counters.map(({ startNs: _, ...rest }) => rest),
  );
  assert.deepEqual([read.speaker, read.isCut], [true, true]);
  assert.ok(Math.abs(read.counters[2].startNs - (2e9 - 838_097)) < 1000);
  assert.equal(read.counters[1].startNs, 2e9);
  // The second byte of a count is to come: not before the count has been loaded by port.
  const half = { ...pit, counters: [{ ...counter, count: 77, writeLow: 5 }, counter, counter] };
  assert.equal(readPit(writePit(half, []), { virtualNs: 0, monotonicNs: 0 }, undefined).counters[0].writeLow, 5);
  assert.equal(readPit(writePit(half, [0]), { virtualNs: 0, monotonicNs: 0 }, undefined).counters[0].writeLow, null);
  // What nobody has programmed.
  view.setUint8(CHANNEL.MODE, 0xff);
  assert.deepEqual(strip(readPit(bytes, { virtualNs: 0, monotonicNs: 0 }, undefined).counters[0]), strip(counter));
});

function strip({ startNs: _, ...rest }: CounterRegisters): Omit<CounterRegisters, 'startNs'> {
  return rest;
}

test('8259As as KVM has them', () => {
  const chip: I8259Registers = {
    irr: 0x15,
    isr: 0x02,
    imr: 0xe8,
    lines: 0x11,
    elcr: 0x20,
    vectorBase: 0x30,
    lowest: 7,
    initStep: 0,
    wantsIcw4: true,
    autoEoi: false,
    rotateOnAutoEoi: true,
    specialMask: false,
    fullyNested: true,
    readIsr: true,
    poll: false,
  };
  for (const change of [{}, { lowest: 2 }, { initStep: 2 }, { initStep: 3 }, { initStep: 4 }, { poll: true }]) {
    const wanted = { ...chip, ...change };
    assert.deepEqual(readPic(writePic(CHIP_PIC_MASTER, wanted, wanted.lines)), wanted);
  }
  const quiet = readPic(quietPic(CHIP_PIC_MASTER, chip, 0x10));
  assert.deepEqual([quiet.irr, quiet.isr, quiet.imr, quiet.lines, quiet.elcr], [0, 0, 0xff, 0x10, 0x20]);
});

test('a line that is high is told of where no edge comes of it', () => {
  const low = Array.from({ length: 24 }, () => 0x10000);
  low[2] = 0x41;
  low[4] = 0x44;
  low[20] = 0x8051;
  const chip = { id: 3, select: 0x34, low, high: low.map((_, n) => (n << 24) >>> 0) };
  // IRQ 0 (pin 2) and pin 4 are open edges, 5 is masked, 20 a level.
  const bytes = writeIoapic(chip, 1 | (1 << 4) | (1 << 5) | (1 << 20));
  assert.equal(new DataView(bytes.buffer, IRQCHIP_CHIP).getUint32(IOAPIC.IRR, true), (1 << 5) | (1 << 20));
  assert.deepEqual(readIoapic(bytes), chip);
});
