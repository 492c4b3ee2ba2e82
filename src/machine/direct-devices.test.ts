import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.js';
import type { Vcpu } from '../engine/engine.js';
import { createChipset } from './chipset.js';
import { DirectDevices } from './direct-devices.js';

const LAPIC = 0xfee00000;
const NOTHING_TOLD = { requestInterruptWindow: false, requestNmiWindow: false, tprThreshold: 0 };

function makeRig(): {
  clock: ManualClock;
  chipset: ReturnType<typeof createChipset>;
  direct: DirectDevices;
  vcpu: { tpr: number; kicks: number };
  ended: string[];
} {
  const clock = new ManualClock();
  const ended: string[] = [];
  const chipset = createChipset({
    clock,
    vcpus: 1,
    ramSizeBytes: 64 << 20,
    wallClockMs: 0,
    events: {
      powerOff: () => ended.push('power-off'),
      reset: () => ended.push('reset'),
      debugExit: () => ended.push('exit'),
    },
    serial: [{ write: () => {} }],
    debugExit: true,
  });
  const vcpu = { tpr: 0, kicks: 0, kick: () => vcpu.kicks++ };
  const follow = (): void => chipset.irqchip.setTpr(0, vcpu.tpr);
  const direct = new DirectDevices(chipset, clock, () => vcpu as unknown as Vcpu, follow);
  direct.enter({ untilNs: 1e9, ...NOTHING_TOLD });
  return { clock, chipset, direct, vcpu, ended };
}

test('what concerns memory, its map or the life of the machine is declined, without effect', () => {
  const { direct, ended, chipset } = makeRig();
  for (const port of [0x60, 0x64, 0x92, 0xcf9, 0xf4]) {
    assert.equal(direct.writePort(port, 1, 0xff), false, `port 0x${port.toString(16)}`);
  }
  assert.equal(direct.writePort(0xcf8, 4, 0x80000000), false);
  assert.equal(direct.writePort(0xcfc, 4, 0), false);
  assert.equal(direct.writePort(0x510, 2, 0), false);
  assert.equal(direct.writePort(chipset.pmBase + 4, 2, 0x2000 | (5 << 10)), false, 'power-off');
  assert.ok(direct.readPort(0x1234, 1) < 0, 'nobody');
  assert.ok(direct.readMemory(0xf0000000, 4) < 0, 'nobody');
  assert.equal(direct.writeMemory(LAPIC + 0x300, 4, 0x400), false, 'an interrupt to itself');
  assert.equal(direct.writeMsr(0x1b, 0n), false, 'IA32_APIC_BASE');
  assert.deepEqual(ended, []);
  assert.deepEqual(Object.values(direct.answered), [0, 0, 0, 0, 0]);
});

test('registers are read and written, and counted', () => {
  const { direct, chipset, vcpu, clock } = makeRig();
  assert.equal(direct.writePort(0x21, 1, 0xa5), true);
  assert.equal(direct.readPort(0x21, 1), 0xa5);
  clock.ns = 1e6;
  assert.equal(direct.readPort(chipset.pmBase + 8, 4), 3579);
  vcpu.tpr = 0x50;
  assert.equal(direct.readMemory(LAPIC + 0x80, 4), 0x50);
  assert.equal(direct.writeMemory(LAPIC + 0x80, 4, 0x35), true);
  assert.equal(vcpu.tpr, 0x35);
  assert.deepEqual(direct.answered, { 'pio-in': 2, 'pio-out': 1, 'mmio-read': 1, 'mmio-write': 1, wrmsr: 0 });
  assert.equal(vcpu.kicks, 0);
});

test('an interrupt that comes up kicks the vCPU, unless it waits for one already', () => {
  for (const requestInterruptWindow of [false, true]) {
    const { direct, vcpu, chipset } = makeRig();
    for (const [port, value] of [
      [0x20, 0x11],
      [0x21, 0x20],
      [0x21, 4],
      [0x21, 1],
      [0x21, 0xef],
    ]) {
      direct.writePort(port, 1, value);
    }
    direct.enter({ untilNs: 1e9, ...NOTHING_TOLD, requestInterruptWindow });
    direct.writePort(0x3fc, 1, 8); // OUT2 lets the line through
    direct.writePort(0x3f9, 1, 2); // the transmitter is empty
    assert.equal(chipset.irqchip.pendingVector(0), 0x24);
    assert.equal(vcpu.kicks > 0, !requestInterruptWindow);
  }
});

test('an interrupt that the task priority holds back changes what the vCPU watches for', () => {
  const { direct, chipset, vcpu } = makeRig();
  direct.writeMemory(LAPIC + 0xf0, 4, 0x1ff);
  vcpu.tpr = 0xf0;
  direct.enter({ untilNs: 1e9, ...NOTHING_TOLD });
  assert.equal(vcpu.kicks, 0);
  chipset.bus.mmio.writeNumber(LAPIC + 0x300, 4, 0x40080); // to itself: vector 0x80
  direct.writeMemory(LAPIC + 0x310, 4, 0);
  assert.equal(vcpu.kicks, 1);
});

test('a deadline that moves forward kicks the vCPU, one behind its slice does not', () => {
  const { direct, vcpu } = makeRig();
  const arm = (ticks: number): void => {
    direct.writePort(0x43, 1, 0x30);
    direct.writePort(0x40, 1, ticks & 0xff);
    direct.writePort(0x40, 1, ticks >> 8);
  };
  direct.enter({ untilNs: 1e6, ...NOTHING_TOLD });
  arm(0xffff);
  assert.equal(vcpu.kicks, 0);
  arm(100);
  assert.ok(vcpu.kicks > 0);
});

test('a guest that does nothing but ask is preempted in time', () => {
  const { direct, vcpu, clock } = makeRig();
  direct.enter({ untilNs: 1000, ...NOTHING_TOLD });
  for (let n = 0; n < 100; n++) direct.readPort(0x21, 1);
  assert.equal(vcpu.kicks, 0);
  clock.ns = 1000;
  for (let n = 0; n < 32; n++) direct.readPort(0x21, 1);
  assert.ok(vcpu.kicks > 0);
});

test('a port that is read again at once is told the time of the reading before, for less than a tick', () => {
  const { direct, chipset, vcpu, clock } = makeRig();
  const guest = Object.assign(vcpu, { progress: 0 });
  const timer = (): number => {
    // As the machine's clock does (virtual-clock.ts).
    let fresh = false;
    const { now } = clock;
    clock.now = () => {
      fresh = direct.isFresh();
      return clock.ns;
    };
    direct.readPort(chipset.pmBase + 8, 4);
    clock.now = now;
    guest.progress += 3;
    return fresh ? 1 : 0;
  };
  assert.deepEqual(Array.from({ length: 10 }, timer), [0, 1, 1, 1, 1, 1, 1, 1, 0, 1]);
  guest.progress += 32;
  assert.equal(timer(), 0, 'the guest has done something else');
  assert.equal(timer(), 1);
  direct.enter({ untilNs: 1e9, ...NOTHING_TOLD });
  assert.equal(timer(), 0, 'a new slice');
  assert.equal(direct.isFresh(), false, 'nothing is being read');
});
