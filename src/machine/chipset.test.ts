import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.js';
import type { IoSize } from '../base/io.js';
import { StateError } from '../base/state.js';
import { flatDma } from '../device/dma.js';
import { PciFunction } from '../device/pci/function.js';
import { type Chipset, type ChipsetState, createChipset } from './chipset.js';
import { EBDA_BASE, e820Map, MAX_RAM_SIZE, MIN_RAM_SIZE, writeBiosDataArea } from './memory-layout.js';

const CLOCK_STEP_NS = 10_000;

interface Rig {
  clock: ManualClock;
  chipset: Chipset;
  log: string[];
  serial: number[];
}

function makeRig(vcpus = 1): Rig {
  const clock = new ManualClock();
  const log: string[] = [];
  const serial: number[] = [];
  const chipset = createChipset({
    clock,
    vcpus,
    ramSizeBytes: 512 << 20,
    wallClockMs: Date.UTC(2024, 1, 29, 12, 34, 56),
    events: {
      powerOff: () => log.push('power-off'),
      reset: () => log.push('reset'),
      debugExit: (code) => log.push(`exit ${code}`),
    },
    serial: [{ write: (bytes) => serial.push(...bytes) }],
    debugConsole: { port: 0x402, backend: { write: (bytes) => log.push(`debug ${bytes[0]}`) } },
    debugExit: true,
    memory: flatDma(new Uint8Array(1 << 20)),
  });
  return { clock, chipset, log, serial };
}

/** xorshift32: the same run every time. */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Programs the local APIC and one redirection entry as a kernel would. */
function enableApic({ chipset }: Rig, pin: number, low: number): void {
  const { mmio } = chipset.bus;
  mmio.write(0xfee000f0, 4, 0x1ffn);
  mmio.write(0xfec00000, 4, BigInt(0x10 + pin * 2));
  mmio.write(0xfec00010, 4, BigInt(low));
}

test('the serial port prints and the debug ports answer', () => {
  const rig = makeRig();
  const { pio } = rig.chipset.bus;
  pio.write(0x3f8, 1, 0x41);
  pio.write(0x402, 1, 7);
  assert.equal(pio.read(0x402, 1), 0xe9);
  pio.write(0xf4, 4, 5);
  assert.deepEqual(rig.serial, [0x41]);
  assert.deepEqual(rig.log, ['debug 7', 'exit 11']);
});

test('unclaimed ports, addresses and MSRs', () => {
  const { chipset } = makeRig();
  assert.equal(chipset.bus.pio.read(0x1234, 1), 0xff);
  assert.equal(chipset.bus.pio.read(0x1234, 4), 0xffffffff);
  assert.equal(chipset.bus.mmio.read(0xf0000000, 8), 0xffffffffffffffffn);
  assert.equal(chipset.bus.mmio.read(0xf0000000, 2), 0xffffn);
  assert.equal(chipset.bus.msr.read(0x10000), undefined);
  assert.equal(chipset.bus.msr.write(0x10000, 0n), false);
});

test('power-off and the three ways to reset', () => {
  const rig = makeRig();
  const { pio } = rig.chipset.bus;
  pio.write(0x604, 2, 0x2000);
  pio.write(0x64, 1, 0xfe);
  pio.write(0x92, 1, 1);
  pio.write(0xcf9, 1, 2);
  pio.write(0xcf9, 1, 6);
  assert.deepEqual(rig.log, ['power-off', 'reset', 'reset', 'reset']);
});

test('PCI functions are where QEMU has them and the PM base is programmed', () => {
  const { pio } = makeRig().chipset.bus;
  const config = (slot: number, fn: number, register: number): number => {
    pio.write(0xcf8, 4, 0x80000000 + ((slot * 8 + fn) << 8) + register);
    return pio.read(0xcfc, 4);
  };
  assert.equal(config(0, 0, 0), 0x12378086);
  assert.equal(config(1, 0, 0), 0x70008086);
  assert.equal(config(1, 3, 0), 0x71138086);
  assert.equal(config(1, 1, 0), 0xffffffff);
  assert.equal(config(1, 3, 0x40), 0x601);
  assert.equal(pio.read(0xcf8, 4), 0x80000b40);
});

test('the PIT interrupts through the 8259 in virtual wire mode', () => {
  const rig = makeRig();
  const { pio } = rig.chipset.bus;
  pio.write(0x43, 1, 0x34);
  pio.write(0x40, 1, 0xa9);
  pio.write(0x40, 1, 0x04);
  pio.write(0x21, 1, 0xfe);
  assert.equal(rig.chipset.irqchip.pendingVector(0), undefined);
  rig.clock.ns = rig.chipset.timers.nextDeadline();
  assert.ok(Math.abs(rig.clock.ns - 1e6) < 2000, `1 ms period, got ${rig.clock.ns}`);
  rig.chipset.timers.runDue(rig.clock.ns);
  assert.equal(rig.chipset.irqchip.pendingVector(0), 0x08);
  assert.equal(rig.chipset.irqchip.acknowledge(0), 0x08);
  assert.equal(rig.chipset.irqchip.pendingVector(0), undefined);
});

test('the PIT interrupts through I/O APIC pin 2', () => {
  const rig = makeRig();
  enableApic(rig, 2, 0x31);
  rig.chipset.bus.pio.write(0x43, 1, 0x34);
  rig.chipset.bus.pio.write(0x40, 1, 0xa9);
  rig.chipset.bus.pio.write(0x40, 1, 0x04);
  rig.clock.ns = 2e6;
  rig.chipset.timers.runDue(rig.clock.ns);
  assert.equal(rig.chipset.irqchip.acknowledge(0), 0x31);
});

test('a level interrupt waits for EOI and comes again while the line is up', () => {
  const rig = makeRig();
  enableApic(rig, 9, 0x8041);
  const { pio, mmio } = rig.chipset.bus;
  pio.write(0xb2, 1, 0xf1);
  pio.write(0x602, 2, 0x100);
  rig.chipset.pm.pressPowerButton();
  assert.equal(rig.chipset.irqchip.acknowledge(0), 0x41);
  assert.equal(rig.chipset.irqchip.pendingVector(0), undefined);
  mmio.write(0xfee000b0, 4, 0n);
  assert.equal(rig.chipset.irqchip.acknowledge(0), 0x41);
  pio.write(0x600, 2, 0x100);
  mmio.write(0xfee000b0, 4, 0n);
  assert.equal(rig.chipset.irqchip.pendingVector(0), undefined);
});

test('the local APIC page moves with its base', () => {
  const { mmio, msr } = makeRig().chipset.bus;
  assert.equal(msr.read(0x1b), 0xfee00900n);
  assert.equal(msr.write(0x1b, 0xfed50900n), true);
  assert.equal(mmio.read(0xfed50030, 4), 0x50014n);
  assert.equal(mmio.read(0xfee00030, 4), 0xffffffffn);
  assert.equal(msr.write(0x1b, 0xfee00d00n), false, 'x2APIC is not offered');
  assert.equal(msr.write(0x1b, 0xfee00901n), false, 'reserved bit');
});

test('HPET legacy replacement takes IRQ 0 from the PIT and gives it back', () => {
  const rig = makeRig();
  enableApic(rig, 2, 0x31);
  const { pio, mmio } = rig.chipset.bus;
  const ticks = (): number => {
    let count = 0;
    for (let i = 0; i < 100; i++) {
      rig.clock.ns += 100_000;
      rig.chipset.timers.runDue(rig.clock.ns);
      if (rig.chipset.irqchip.pendingVector(0) === undefined) continue;
      rig.chipset.irqchip.acknowledge(0);
      mmio.write(0xfee000b0, 4, 0n);
      count++;
    }
    return count;
  };
  pio.write(0x43, 1, 0x34);
  pio.write(0x40, 1, 0xa9);
  pio.write(0x40, 1, 0x04);
  assert.ok(Math.abs(ticks() - 10) <= 1, 'PIT, 1 ms');
  mmio.write(0xfed00010, 4, 3n);
  assert.equal(ticks(), 0);
  mmio.write(0xfed00100, 4, 0x14cn);
  mmio.write(0xfed00108, 4, mmio.read(0xfed000f0, 4) + 50_000n);
  mmio.write(0xfed00108, 4, 50_000n);
  assert.ok(Math.abs(ticks() - 20) <= 1, 'HPET, 0.5 ms');
  mmio.write(0xfed00010, 4, 0n);
  assert.ok(Math.abs(ticks() - 10) <= 1, 'PIT again');
});

test('a plugged PCI function gets an address, an I/O APIC input and a PIRQ', () => {
  const rig = makeRig();
  const { bus, irqchip } = rig.chipset;
  const device = new PciFunction(bus, { vendor: 0x1af4, device: 0x1042, classCode: 0x010000, interruptPin: 1 });
  device.addBar({ index: 0, kind: 'memory', size: 0x1000, handler: { read: () => 0x77, write() {} } });
  assert.equal(rig.chipset.plugPci(device), 2);
  assert.equal(bus.mmio.read(0xc0000000, 1), 0x77n);
  assert.equal(device.config.read(0x3c, 1), 10);
  enableApic(rig, 17, 0x8051);
  device.setIntx(true);
  assert.equal(irqchip.acknowledge(0), 0x51);
  bus.pio.write(0xa1, 1, 0xfb);
  bus.pio.write(0x21, 1, 0xfb);
  assert.equal(irqchip.acknowledge(0), 0x72, 'IRQ 10 through the slave');
  device.setIntx(false);
  assert.equal(irqchip.pendingVector(0), undefined);
});

test('the memory map is ordered, whole pages, without overlap', () => {
  for (const ramSize of [MIN_RAM_SIZE, 512 << 20, MAX_RAM_SIZE]) {
    const map = e820Map(ramSize);
    let end = 0;
    for (const { base, size } of map) {
      assert.ok(base >= end && size > 0);
      end = base + size;
    }
    assert.equal(end, ramSize);
  }
  const ram = new Uint8Array(MIN_RAM_SIZE);
  writeBiosDataArea(ram);
  assert.equal((ram[0x40e] | (ram[0x40f] << 8)) << 4, EBDA_BASE);
});

test('a saved chipset behaves like the original after restoring', () => {
  const rig = makeRig();
  scramble(rig, 20_000, 99);
  const state = JSON.parse(JSON.stringify(rig.chipset.save())) as ChipsetState;
  const copy = makeRig();
  copy.clock.ns = rig.clock.ns;
  copy.chipset.restore(state);
  assert.deepEqual(copy.chipset.save(), state);
  rig.log.length = 0;
  rig.serial.length = 0;
  copy.log.length = 0;
  assert.deepEqual(scramble(copy, 20_000, 7), scramble(rig, 20_000, 7));
  assert.deepEqual(copy.chipset.save(), rig.chipset.save());
  assert.deepEqual(copy.log, rig.log);
  assert.deepEqual(copy.serial, rig.serial);
});

test('restoring foreign states throws StateError only', () => {
  const random = makeRandom(4242);
  const good = JSON.stringify(makeRig().chipset.save());
  assert.throws(() => makeRig().chipset.restore({ kind: 'x', version: 1 } as never), StateError);
  for (let i = 0; i < 1000; i++) {
    const state = mutate(JSON.parse(good), random) as ChipsetState;
    const { chipset, clock } = makeRig();
    try {
      chipset.restore(state);
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      continue;
    }
    clock.ns += 1e6;
    chipset.timers.runDue(clock.ns);
    chipset.save();
  }
});

test('reset brings back the power-on state', () => {
  const rig = makeRig();
  const fresh = makeRig();
  scramble(rig, 50_000, 3);
  rig.clock.ns = 0;
  rig.chipset.reset();
  const { rtc: _rtc, ...after } = rig.chipset.save();
  const { rtc: _fresh, ...before } = fresh.chipset.save();
  // Scratch and latch registers without a reset value do not matter to anyone.
  assert.deepEqual(after.irqchip.ioapic, before.irqchip.ioapic);
  assert.deepEqual(after.pci, before.pci);
  assert.deepEqual(after.uarts, before.uarts);
  assert.deepEqual(after.pm, before.pm);
  assert.deepEqual(after.i8042, before.i8042);
});

test('a million random accesses neither throw nor hang', () => {
  const rig = makeRig(2);
  const start = performance.now();
  scramble(rig, 1_000_000, 12345);
  const elapsed = performance.now() - start;
  assert.ok(elapsed < 60_000, `${elapsed} ms`);
});

const PORTS = [
  0x20, 0x21, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0xa0, 0xa1, 0xb2, 0xb3, 0xf4, 0x3f8,
  0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x402, 0x4d0, 0x4d1, 0x510, 0x511, 0x514, 0x518, 0x600, 0x602, 0x604, 0x608, 0x700,
  0xafe0, 0xafe2, 0xcf8, 0xcf9, 0xcfc, 0xcfd, 0xcfe,
];
const PAGES = [0xfee00000, 0xfec00000, 0xfed00000, 0xfe000000];
const MSRS = [0x1b, 0x6e0, 0x802, 0x830];
const SIZES: readonly IoSize[] = [1, 2, 4];

/** Random accesses of every kind, time going on; returns what was read. */
function scramble({ chipset, clock }: Rig, count: number, seed: number): number[] {
  const random = makeRandom(seed);
  const { bus, irqchip, timers } = chipset;
  const reads: number[] = [];
  for (let i = 0; i < count; i++) {
    const vcpu = random() % irqchip.lapics.length;
    const kind = random() % 16;
    const size = SIZES[random() % 3];
    const value = random() % 3 === 0 ? random() & 0xff : random();
    const port = random() % 8 === 0 ? random() & 0xffff : PORTS[random() % PORTS.length];
    const gpa = PAGES[random() % PAGES.length] + (random() % 4 === 0 ? random() & 0xfff : random() & 0xff0);
    if (kind < 4) reads.push(bus.pio.read(port, size, vcpu));
    else if (kind < 9) bus.pio.write(port, size, value, vcpu);
    else if (kind < 11) reads.push(Number(bus.mmio.read(gpa, random() % 8 === 0 ? 8 : size, vcpu)));
    else if (kind < 13) bus.mmio.write(gpa, random() % 8 === 0 ? 8 : 4, BigInt(value), vcpu);
    else if (kind === 13) reads.push(Number(bus.msr.read(MSRS[random() % 4], vcpu) ?? -1));
    else if (kind === 14) {
      const msr = MSRS[random() % 4];
      const base = msr === 0x1b ? 0xfee00000n + BigInt(value & 0xf00) : BigInt(value);
      bus.msr.write(msr, base, vcpu);
    } else {
      clock.ns += random() % CLOCK_STEP_NS;
      timers.runDue(clock.ns);
      if (random() % 64 === 0) clock.ns += random();
      reads.push(irqchip.pendingVector(vcpu) ?? -1);
      if (random() % 2 === 0) reads.push(irqchip.acknowledge(vcpu));
    }
  }
  return reads;
}

/** Replaces one random leaf or branch by something else. */
function mutate(value: unknown, random: () => number): unknown {
  const strange = [null, -1, 1e300, 'x', [], {}, Number.MAX_SAFE_INTEGER, true, 0.5];
  if (typeof value !== 'object' || value === null || random() % 6 === 0) return strange[random() % strange.length];
  const target = value as Record<string, unknown>;
  const keys = Object.keys(target);
  if (keys.length === 0) return strange[random() % strange.length];
  const key = keys[random() % keys.length];
  target[key] = mutate(target[key], random);
  return target;
}
