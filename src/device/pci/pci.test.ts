import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MmioHandler } from '../../base/io.js';
import { Bus } from '../bus/bus.js';
import { Probe } from '../chipset/test-rig.js';
import { PciFunction } from './function.js';
import { PciBus, swizzle } from './pci-bus.js';
import { Piix3 } from './piix3.js';
import { assignResources } from './resources.js';

const REGISTERS: MmioHandler = { read: (offset) => offset, write() {} };

function makeDevice() {
  const bus = new Bus();
  const line = new Probe();
  const pci = new PciBus(() => line);
  const device = new PciFunction(bus, { vendor: 0x1af4, device: 0x1042, classCode: 0x010000, interruptPin: 1 });
  device.addBar({ index: 0, kind: 'memory64', size: 0x4000, prefetchable: true, handler: REGISTERS });
  device.addBar({ index: 2, kind: 'io', size: 0x20, handler: { read: () => 0x5a, write() {} } });
  pci.plug({ slot: 3, function: 0 }, device);
  bus.pio.claim({ first: 0xcf8, count: 4, sizes: [4], handler: pci.addressPort });
  bus.pio.claim({ first: 0xcfc, count: 4, sizes: [1, 2, 4], handler: pci.dataPort });
  const select = (register: number): void => bus.pio.write(0xcf8, 4, 0x80001800 | register);
  const get = (register: number): number => {
    select(register);
    return bus.pio.read(0xcfc, 4);
  };
  const put = (register: number, value: number): void => {
    select(register);
    bus.pio.write(0xcfc, 4, value);
  };
  return { bus, line, pci, device, get, put };
}

test('identity is read-only, unknown slots read as ones', () => {
  const { bus, get, put } = makeDevice();
  put(0, 0x12345678);
  assert.equal(get(0), 0x10421af4);
  assert.equal(get(8), 0x01000000);
  bus.pio.write(0xcf8, 4, 0x80002000);
  assert.equal(bus.pio.read(0xcfc, 4), 0xffffffff);
  bus.pio.write(0xcf8, 4, 0x80011800);
  assert.equal(bus.pio.read(0xcfc, 4), 0xffffffff, 'bus 1');
  bus.pio.write(0xcf8, 4, 0x00001800);
  assert.equal(bus.pio.read(0xcfc, 4), 0xffffffff, 'not enabled');
});

test('BARs size, map, move and unmap', () => {
  const { bus, get, put } = makeDevice();
  put(0x10, 0xffffffff);
  put(0x14, 0xffffffff);
  assert.equal(get(0x10), 0xffffc00c);
  assert.equal(get(0x14), 0xffffffff);
  put(0x18, 0xffffffff);
  assert.equal(get(0x18), 0xffffffe1);
  put(0x1c, 0xffffffff);
  assert.equal(get(0x1c), 0, 'absent BAR');
  put(0x10, 0xc0000000);
  put(0x14, 0);
  put(0x18, 0xc000);
  assert.equal(bus.mmio.read(0xc0000010, 4), 0xffffffffn, 'decoding is off');
  put(4, 3);
  assert.equal(bus.mmio.read(0xc0000010, 4), 0x10n);
  assert.equal(bus.mmio.read(0xc0000010, 8), 0x0000001400000010n);
  assert.equal(bus.pio.read(0xc01f, 1), 0x5a);
  put(0x10, 0xc8000000);
  assert.equal(bus.mmio.read(0xc0000010, 4), 0xffffffffn);
  assert.equal(bus.mmio.read(0xc8000010, 4), 0x10n);
  put(0x14, 0x40);
  assert.equal(bus.mmio.read(0x40c8000010, 4), 0x10n, 'above 4 GiB');
  put(4, 0);
  assert.equal(bus.mmio.read(0x40c8000010, 4), 0xffffffffn);
});

test('INTx, its status bit and its disable bit', () => {
  const { device, line, get, put } = makeDevice();
  device.setIntx(true);
  assert.equal(line.level, true);
  assert.equal(get(4) >>> 16, 0x0008);
  put(4, 0x400);
  assert.equal(line.level, false);
  put(4, 0);
  assert.equal(line.level, true);
  device.setIntx(false);
  assert.equal(line.level, false);
});

test('resources are assigned without overlap', () => {
  const { pci, device, get } = makeDevice();
  const other = new PciFunction(new Bus(), { vendor: 1, device: 2, classCode: 0 });
  other.addBar({ index: 1, kind: 'memory', size: 0x100000, handler: REGISTERS });
  pci.plug({ slot: 4, function: 0 }, other);
  assignResources(pci, {
    memory: { base: 0xc0000000, end: 0xfec00000 },
    io: { base: 0xc000, end: 0x10000 },
    interruptLine: () => 11,
  });
  assert.equal(other.bars[0].address, 0xc0000000);
  assert.equal(device.bars[0].address, 0xc0100000);
  assert.equal(get(0x3c) & 0xffff, 0x010b);
});

test('a BAR laid over a platform device loses', () => {
  const { bus, put } = makeDevice();
  bus.mmio.claim({ base: 0xfee00000, size: 0x1000, handler: { read: () => 7, write() {} } });
  put(0x10, 0xfee00000);
  put(4, 2);
  assert.equal(bus.mmio.read(0xfee00000, 4), 7n);
  assert.equal(bus.mmio.read(0xfee01000, 4), 0x1000n);
});

test('PIRQ routing moves a level that is up', () => {
  const lines = Array.from({ length: 16 }, () => new Probe());
  const piix3 = new Piix3(new Bus(), (irq) => lines[irq]);
  const pirq = piix3.pirqLine(1);
  pirq.set(true);
  piix3.function.write(0x61, 1, 11);
  assert.equal(lines[11].level, true);
  piix3.function.write(0x61, 1, 10);
  assert.deepEqual([lines[10].level, lines[11].level], [true, false]);
  piix3.function.write(0x61, 1, 8);
  assert.deepEqual([lines[8].level, lines[10].level], [false, false], 'IRQ 8 is not a target');
  piix3.function.write(0x61, 1, 0x80);
  pirq.set(false);
});

test('neighbouring slots use different wires', () => {
  assert.deepEqual(
    [2, 3, 4, 5].map((slot) => swizzle(slot, 1)),
    [1, 2, 3, 4],
  );
  for (let slot = 0; slot < 32; slot++) assert.ok(swizzle(slot, 4) >= 0 && swizzle(slot, 4) < 8);
});
