import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.js';
import { TimerQueue } from '../base/timer-queue.js';
import * as spec from '../spec/apic.js';
import { Irqchip } from './irqchip.js';

interface Rig {
  readonly clock: ManualClock;
  readonly timers: TimerQueue;
  readonly chip: Irqchip;
  readonly log: string[];
  /** Local APIC registers by offset, of one vCPU. */
  read(offset: number, vcpu?: number): number;
  write(offset: number, value: number, vcpu?: number): void;
  ioapic(register: number, value: number): void;
  ioapicRead(register: number): number;
  advance(ns: number): void;
}

function makeRig(vcpus = 1, x2apic = false): Rig {
  const clock = new ManualClock();
  const timers = new TimerQueue();
  const log: string[] = [];
  const chip = new Irqchip({
    vcpus,
    clock,
    timers,
    x2apic,
    events: {
      attention() {},
      init: (vcpu) => log.push(`init ${vcpu}`),
      startup: (vcpu, vector) => log.push(`startup ${vcpu} ${vector}`),
      apicBaseChanged() {},
    },
  });
  const page = chip.lapicPage(spec.APIC_DEFAULT_BASE);
  const rig: Rig = {
    clock,
    timers,
    chip,
    log,
    read: (offset, vcpu = 0) => page.read(offset, 4, vcpu) >>> 0,
    write: (offset, value, vcpu = 0) => page.write(offset, 4, value, vcpu),
    ioapic: (register, value) => {
      chip.ioapic.write(0, 4, register);
      chip.ioapic.write(0x10, 4, value);
    },
    ioapicRead: (register) => {
      chip.ioapic.write(0, 4, register);
      return chip.ioapic.read(0x10, 4);
    },
    advance: (ns) => {
      clock.ns += ns;
      timers.runDue(clock.ns);
    },
  };
  for (let vcpu = 0; vcpu < vcpus; vcpu++) rig.write(0xf0, 0x1ff, vcpu);
  return rig;
}

function selfIpi(rig: Rig, vector: number): void {
  rig.write(0x300, 0x40000 | vector);
}

test('register values after reset', () => {
  const rig = makeRig();
  assert.equal(rig.read(0x20), 0);
  assert.equal(rig.read(0x30), 0x50014);
  assert.equal(rig.read(0xe0), 0xffffffff);
  assert.equal(rig.read(0x350), 0x700, 'virtual wire');
  assert.equal(rig.read(0x360), 0x400, 'NMI');
  assert.equal(rig.read(0x320), 0x10000);
  assert.equal(rig.read(0x280), 0);
});

test('priority classes, TPR, PPR and EOI', () => {
  const rig = makeRig();
  selfIpi(rig, 0x41);
  selfIpi(rig, 0x52);
  selfIpi(rig, 0x5f);
  assert.equal(rig.chip.acknowledge(0), 0x5f);
  assert.equal(rig.read(0xa0), 0x50, 'PPR');
  assert.equal(rig.chip.pendingVector(0), undefined, '0x52 is of the same class');
  rig.write(0xb0, 0);
  rig.chip.setTpr(0, 0x50);
  assert.equal(rig.chip.pendingVector(0), undefined);
  rig.chip.setTpr(0, 0x4f);
  assert.equal(rig.chip.acknowledge(0), 0x52);
  rig.write(0xb0, 0);
  assert.equal(rig.chip.pendingVector(0), undefined, '0x41 is held by TPR class 4');
  rig.write(0x80, 0x30);
  assert.equal(rig.chip.getTpr(0), 0x30);
  assert.equal(rig.read(0x200 + 0x20) >>> 1, 1, 'IRR bit of 0x41');
  assert.equal(rig.chip.acknowledge(0), 0x41);
  assert.equal(rig.read(0x100 + 0x20), 2, 'ISR bit of 0x41');
});

test('a software-disabled APIC masks its LVT and takes nothing new', () => {
  const rig = makeRig();
  rig.write(0x320, 0x31);
  rig.write(0xf0, 0xff);
  assert.equal(rig.read(0x320), 0x10031);
  rig.write(0x320, 0x31);
  assert.equal(rig.read(0x320), 0x10031, 'cannot be unmasked');
  selfIpi(rig, 0x44);
  assert.equal(rig.chip.pendingVector(0), undefined);
});

test('nothing pending gives the spurious vector', () => {
  const rig = makeRig();
  rig.write(0xf0, 0x1fe);
  assert.equal(rig.chip.acknowledge(0), 0xfe);
  assert.equal(rig.read(0x100 + 0x70), 0);
});

test('illegal vectors and registers are reported through the ESR and the error LVT', () => {
  const rig = makeRig();
  rig.write(0x370, 0x66);
  selfIpi(rig, 3);
  assert.equal(rig.chip.acknowledge(0), 0x66);
  rig.write(0xb0, 0);
  assert.equal(rig.read(0x280), 0);
  rig.write(0x280, 0);
  assert.equal(rig.read(0x280), 0x20);
  rig.read(0x3f0);
  rig.write(0x280, 0);
  assert.equal(rig.read(0x280), 0x80);
  rig.write(0x280, 0);
  assert.equal(rig.read(0x280), 0);
});

test('one-shot timer counts at 25 MHz divided', () => {
  const rig = makeRig();
  rig.write(0x320, 0x31);
  rig.write(0x3e0, 0xb);
  rig.write(0x380, 25_000);
  rig.advance(400_000);
  assert.equal(rig.read(0x390), 15_000);
  assert.equal(rig.timers.nextDeadline(), 1e6);
  rig.advance(600_000);
  assert.equal(rig.chip.acknowledge(0), 0x31);
  assert.equal(rig.read(0x390), 0);
  assert.equal(rig.timers.nextDeadline(), Infinity);
  rig.write(0x3e0, 0x3);
  rig.write(0x380, 1000);
  assert.equal(rig.timers.nextDeadline(), 1e6 + 1000 * 16 * 40);
});

test('periodic timer keeps its phase when late', () => {
  const rig = makeRig();
  rig.write(0x3e0, 0xb);
  rig.write(0x320, 0x20031);
  rig.write(0x380, 25_000);
  rig.advance(1_700_000);
  assert.equal(rig.timers.nextDeadline(), 2e6);
  assert.equal(rig.read(0x390), 7_500);
  let ticks = 1;
  for (let i = 0; i < 1000; i++) {
    rig.chip.acknowledge(0);
    rig.write(0xb0, 0);
    rig.clock.ns += 137_000;
    if (rig.timers.runDue(rig.clock.ns)) ticks++;
  }
  assert.equal(ticks, Math.floor(rig.clock.ns / 1e6));
});

test('TSC-deadline mode', () => {
  const rig = makeRig();
  const { msrs } = rig.chip;
  assert.equal(msrs.write(0x6e0, 500n, 0), true);
  assert.equal(msrs.read(0x6e0, 0), 0n, 'ignored in other modes');
  rig.write(0x320, 0x40055);
  msrs.write(0x6e0, 5_000_000n, 0);
  assert.equal(msrs.read(0x6e0, 0), 5_000_000n);
  assert.equal(rig.timers.nextDeadline(), 5e6);
  rig.chip.setTscOffset(0, 1_000_000);
  assert.equal(rig.timers.nextDeadline(), 4e6);
  rig.advance(4e6);
  assert.equal(msrs.read(0x6e0, 0), 0n);
  assert.equal(rig.chip.acknowledge(0), 0x55);
  msrs.write(0x6e0, 1n, 0);
  assert.equal(rig.timers.runDue(rig.clock.ns), true, 'a passed deadline fires at once');
  msrs.write(0x6e0, 0xffffffffffffffffn, 0);
  msrs.write(0x6e0, 0n, 0);
  assert.equal(rig.timers.nextDeadline(), Infinity);
  msrs.write(0x6e0, 9_000_000n, 0);
  rig.write(0x320, 0x55);
  assert.equal(rig.timers.nextDeadline(), Infinity, 'leaving the mode disarms');
});

test('a masked timer runs without interrupting', () => {
  const rig = makeRig();
  rig.write(0x320, 0x10031);
  rig.write(0x3e0, 0xb);
  rig.write(0x380, 100);
  rig.advance(1e6);
  assert.equal(rig.chip.pendingVector(0), undefined);
});

test('I/O APIC: masked edges are lost, destinations and remote IRR work', () => {
  const rig = makeRig(2);
  const line = rig.chip.isaLine(4);
  line.set(true);
  line.set(false);
  rig.ioapic(0x18, 0x24);
  rig.ioapic(0x19, 0x01000000);
  assert.equal(rig.chip.pendingVector(1), undefined);
  line.set(true);
  assert.equal(rig.chip.pendingVector(0), undefined);
  assert.equal(rig.chip.acknowledge(1), 0x24);
  line.set(false);
  rig.ioapic(0x19, 0xff000000);
  rig.ioapic(0x18, 0x8025);
  line.set(true);
  assert.equal(rig.ioapicRead(0x18), 0xc025, 'remote IRR');
  rig.write(0xb0, 0, 1);
  assert.equal(rig.chip.acknowledge(1), 0x25);
  assert.equal(rig.chip.acknowledge(0), 0x25);
  line.set(false);
  rig.write(0xb0, 0, 0);
  assert.equal(rig.ioapicRead(0x18), 0x8025);
  assert.equal(rig.ioapicRead(1), 0x170011);
});

test('I/O APIC: the end of the interrupt and the edge trick clear remote IRR', () => {
  const rig = makeRig();
  const line = rig.chip.gsiLine(17);
  rig.ioapic(0x10 + 34, 0x8061);
  line.set(true);
  line.set(false);
  assert.equal(rig.ioapicRead(0x10 + 34), 0xc061);
  rig.chip.endOfInterrupt(0x61);
  assert.equal(rig.ioapicRead(0x10 + 34), 0x8061);
  line.set(true);
  rig.ioapic(0x10 + 34, 0x10061);
  assert.equal(rig.ioapicRead(0x10 + 34), 0x10061);
});

test('a shared level line stays up until the last source lets go', () => {
  const rig = makeRig();
  const first = rig.chip.gsiLine(20);
  const second = rig.chip.gsiLine(20);
  rig.ioapic(0x10 + 40, 0x8070);
  first.set(true);
  second.set(true);
  assert.equal(rig.chip.acknowledge(0), 0x70);
  first.set(false);
  rig.write(0xb0, 0);
  assert.equal(rig.chip.acknowledge(0), 0x70);
  second.set(false);
  rig.write(0xb0, 0);
  assert.equal(rig.chip.pendingVector(0), undefined);
});

test('logical destinations: flat and cluster', () => {
  const rig = makeRig(3);
  for (let vcpu = 0; vcpu < 3; vcpu++) rig.write(0xd0, 0x01000000 << vcpu, vcpu);
  rig.write(0x310, 0x06000000);
  rig.write(0x300, 0x0877);
  assert.deepEqual(
    [0, 1, 2].map((vcpu) => rig.chip.pendingVector(vcpu)),
    [undefined, 0x77, 0x77],
  );
  for (let vcpu = 0; vcpu < 3; vcpu++) {
    rig.write(0xe0, 0x0fffffff, vcpu);
    rig.write(0xd0, (0x11 + vcpu * 0x10) << 24, vcpu);
  }
  rig.write(0x310, 0x21000000);
  rig.write(0x300, 0x0899);
  assert.equal(rig.chip.pendingVector(0), undefined);
  assert.equal(rig.chip.pendingVector(1), 0x99);
  assert.equal(rig.chip.pendingVector(2), 0x77);
});

test('lowest priority picks one', () => {
  const rig = makeRig(2);
  rig.chip.setTpr(0, 0x80);
  rig.write(0x310, 0xff000000);
  rig.write(0x300, 0x0145);
  assert.equal(rig.chip.pendingVector(1), 0x45);
  rig.chip.setTpr(0, 0);
  assert.equal(rig.chip.pendingVector(0), undefined);
});

test('INIT, STARTUP, NMI and shorthands', () => {
  const rig = makeRig(3);
  rig.write(0x300, 0xc4500);
  assert.deepEqual(rig.log, ['init 1', 'init 2']);
  rig.write(0x300, 0xc8500);
  assert.equal(rig.log.length, 2, 'level de-assert is nothing');
  rig.write(0x310, 0x02000000);
  rig.write(0x300, 0x4608);
  assert.equal(rig.log[2], 'startup 2 8');
  rig.write(0x300, 0x80400);
  assert.deepEqual(
    [0, 1, 2].map((vcpu) => rig.chip.takeNmi(vcpu)),
    [true, true, true],
  );
  assert.equal(rig.chip.takeNmi(0), false);
});

test('MSI', () => {
  const rig = makeRig(2);
  rig.chip.sendMsi(0xfee01000, 0x0033);
  assert.equal(rig.chip.acknowledge(1), 0x33);
  rig.chip.sendMsi(0x12345678, 0x34);
  assert.equal(rig.chip.pendingVector(0), undefined);
});

test('ExtINT through LINT0 passes the task priority; masked LINT0 holds it', () => {
  const rig = makeRig();
  const master = rig.chip.pic.ports('master');
  for (const [port, value] of [
    [0, 0x11],
    [1, 0x20],
    [1, 4],
    [1, 1],
    [1, 0],
  ]) {
    master.write(port, 1, value, 0);
  }
  rig.chip.setTpr(0, 0xff);
  rig.chip.isaLine(1).set(true);
  assert.equal(rig.chip.pendingVector(0), 0x21);
  rig.write(0x350, 0x10700);
  assert.equal(rig.chip.pendingVector(0), undefined);
  rig.write(0x350, 0x700);
  assert.equal(rig.chip.acknowledge(0), 0x21);
});

test('x2APIC: only where offered, and then by MSR', () => {
  const off = makeRig();
  assert.equal(off.chip.msrs.write(0x1b, 0xfee00d00n, 0), false);
  assert.equal(off.chip.msrs.read(0x802, 0), undefined);
  const { chip, read } = makeRig(2, true);
  assert.equal(chip.msrs.write(0x1b, 0xfee00d00n, 0), true);
  assert.equal(chip.msrs.write(0x1b, 0xfee00c00n, 1), true);
  assert.equal(read(0x30), 0xffffffff, 'the page is gone');
  assert.equal(chip.msrs.read(0x802, 1), 1n);
  assert.equal(chip.msrs.read(0x80d, 1), 2n, 'LDR is derived');
  assert.equal(chip.msrs.write(0x830, 0x1_000000_42n, 0), true);
  chip.msrs.write(0x830, (1n << 32n) | 0x42n, 0);
  assert.equal(chip.pendingVector(1), 0x42);
  chip.msrs.write(0x83f, 0x43n, 0);
  assert.equal(chip.pendingVector(0), 0x43);
  assert.equal(chip.msrs.write(0x80b, 1n, 0), false, 'EOI takes zero only');
  assert.equal(chip.msrs.write(0x831, 0n, 0), false, 'no ICR high');
  assert.equal(chip.msrs.write(0x1b, 0xfee00900n, 0), false, 'no way straight back');
});

test('globally disabled: the page is gone and the 8259 speaks directly', () => {
  const rig = makeRig();
  selfIpi(rig, 0x44);
  assert.equal(rig.chip.msrs.write(0x1b, 0xfee00100n, 0), true);
  assert.deepEqual(rig.chip.lapicBases(), []);
  assert.equal(rig.chip.pendingVector(0), undefined);
  rig.chip.pic.ports('master').write(0, 1, 0x13, 0);
  rig.chip.pic.ports('master').write(1, 1, 0x08, 0);
  rig.chip.pic.ports('master').write(1, 1, 0x01, 0);
  rig.chip.isaLine(5).set(true);
  assert.equal(rig.chip.acknowledge(0), 0x0d);
});
