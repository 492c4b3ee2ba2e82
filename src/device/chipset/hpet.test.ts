import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Hpet } from './hpet.js';
import { DeviceRig, Probe } from './test-rig.js';

function makeHpet() {
  const rig = new DeviceRig();
  const legacy: [Probe, Probe] = [new Probe(), new Probe()];
  const gsis = new Map<number, Probe[]>();
  const replaced: boolean[] = [];
  const hpet = new Hpet({
    clock: rig.clock,
    timers: rig.timers,
    legacyLines: legacy,
    gsiLine: (gsi) => {
      const probe = new Probe();
      gsis.set(gsi, [...(gsis.get(gsi) ?? []), probe]);
      return probe;
    },
    onLegacyReplacement: (on) => replaced.push(on),
  });
  return { rig, hpet, legacy, gsis, replaced };
}

test('capabilities and counter', () => {
  const { rig, hpet } = makeHpet();
  assert.equal(hpet.read64(0), 0x00989680_8086a201n);
  rig.advance(1e6);
  assert.equal(hpet.read64(0xf0), 0n, 'halted');
  hpet.write(0x10, 4, 1);
  rig.advance(1e6);
  assert.equal(hpet.read(0xf0, 4), 100_000);
  hpet.write(0x10, 4, 0);
  hpet.write64(0xf0, 0xffff_ffff_0000_0000n);
  assert.equal(hpet.read(0xf4, 4), 0xffffffff);
  hpet.write(0x10, 4, 1);
  rig.advance(30);
  assert.equal(hpet.read64(0xf0), 0xffff_ffff_0000_0003n);
});

test('one-shot in legacy replacement takes IRQ 0 over', () => {
  const { rig, hpet, legacy, replaced } = makeHpet();
  hpet.write(0x10, 4, 3);
  assert.equal(replaced.at(-1), true);
  hpet.write(0x100, 4, 0x104);
  hpet.write(0x108, 4, 50_000);
  rig.advance(499_999);
  assert.equal(legacy[0].edges, 0);
  rig.advance(2);
  assert.equal(legacy[0].edges, 1);
  rig.advance(1e9);
  assert.equal(legacy[0].edges, 1);
  rig.advance(42.95e9);
  assert.equal(legacy[0].edges, 2, 'a 32-bit comparator matches again after the wrap');
});

test('periodic as drivers set it up: first event, then the period', () => {
  const { rig, hpet, legacy } = makeHpet();
  hpet.write(0x10, 4, 3);
  hpet.write(0x100, 4, 0x14c);
  hpet.write(0x108, 4, 400_000);
  hpet.write(0x108, 4, 400_000);
  rig.advance(1e9);
  assert.equal(legacy[0].edges, 250);
});

test('level interrupts on an I/O APIC input hold until the status is cleared', () => {
  const { rig, hpet, gsis } = makeHpet();
  hpet.write(0x10, 4, 1);
  hpet.write(0x140, 4, (20 << 9) | 0x106);
  hpet.write(0x148, 4, 1000);
  rig.advance(20_000);
  const line = gsis.get(20)?.[2];
  assert.equal(line?.level, true);
  assert.equal(hpet.read(0x20, 4), 4);
  hpet.write(0x20, 4, 4);
  assert.equal(line?.level, false);
});

test('a stopped counter holds the comparators', () => {
  const { rig, hpet, legacy } = makeHpet();
  hpet.write(0x10, 4, 3);
  hpet.write(0x100, 4, 0x104);
  hpet.write(0x108, 4, 1000);
  hpet.write(0x10, 4, 2);
  rig.advance(1e9);
  assert.equal(legacy[0].edges, 0);
  hpet.write(0x10, 4, 3);
  rig.advance(10_001);
  assert.equal(legacy[0].edges, 1);
});
