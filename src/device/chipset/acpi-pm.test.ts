import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AcpiPm } from './acpi-pm.js';
import { DeviceRig } from './test-rig.js';

function makePm(): { rig: DeviceRig; pm: AcpiPm; log: string[] } {
  const rig = new DeviceRig();
  const log: string[] = [];
  return { rig, pm: new AcpiPm(rig.clock, rig.timers, rig.irq, () => log.push('off')), log };
}

test('the timer counts at 3.579545 MHz in 24 bits', () => {
  const { rig, pm } = makePm();
  rig.advance(1e9);
  assert.equal(pm.ports.read(8, 4, 0), 3_579_545);
  rig.advance(4e9);
  assert.equal(pm.ports.read(8, 4, 0), (3_579_545 * 5) % 2 ** 24);
  assert.equal(pm.ports.read(9, 1, 0), (((3_579_545 * 5) % 2 ** 24) >> 8) & 0xff);
});

test('ACPI mode is switched by the SMI command port', () => {
  const { pm } = makePm();
  assert.equal(pm.ports.read(4, 2, 0), 0);
  pm.smiPorts.write(0, 1, 0xf1, 0);
  assert.equal(pm.ports.read(4, 2, 0), 1);
  pm.smiPorts.write(0, 1, 0xf0, 0);
  assert.equal(pm.ports.read(4, 2, 0), 0);
});

test('power button: status, SCI, write one to clear', () => {
  const { rig, pm } = makePm();
  pm.smiPorts.write(0, 1, 0xf1, 0);
  pm.pressPowerButton();
  assert.equal(rig.irq.level, false);
  pm.ports.write(2, 2, 0x0100, 0);
  assert.equal(rig.irq.level, true);
  pm.ports.write(0, 1, 0xff, 0);
  assert.equal(rig.irq.level, true, 'the other byte');
  pm.ports.write(1, 1, 0x01, 0);
  assert.equal(rig.irq.level, false);
});

test('the timer overflow interrupts when enabled and wakes nobody otherwise', () => {
  const { rig, pm } = makePm();
  pm.smiPorts.write(0, 1, 0xf1, 0);
  assert.equal(rig.timers.nextDeadline(), Infinity);
  pm.ports.write(2, 2, 1, 0);
  rig.advance(2.4e9);
  assert.equal(rig.irq.edges, 1);
  pm.ports.write(0, 2, 1, 0);
  assert.equal(rig.irq.level, false);
  rig.advance(2.4e9);
  assert.equal(rig.irq.edges, 2);
});

test('general purpose events', () => {
  const { rig, pm } = makePm();
  pm.smiPorts.write(0, 1, 0xf1, 0);
  pm.gpePorts.write(2, 1, 0x02, 0);
  pm.raiseGpe(1);
  assert.equal(rig.irq.level, true);
  assert.equal(pm.gpePorts.read(0, 1, 0), 2);
  pm.gpePorts.write(0, 1, 2, 0);
  assert.equal(rig.irq.level, false);
});

test('only S5 with SLP_EN powers off, by word or by byte', () => {
  const { pm, log } = makePm();
  pm.ports.write(4, 2, 0x0000, 0);
  pm.ports.write(4, 2, 0x2400, 0);
  assert.deepEqual(log, []);
  pm.ports.write(4, 2, 0x2000, 0);
  pm.ports.write(5, 1, 0x20, 0);
  assert.deepEqual(log, ['off', 'off']);
});
