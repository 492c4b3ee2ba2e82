import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MmioBus } from './mmio.js';
import { PioBus } from './pio.js';

test('wide port accesses split down to what devices take', () => {
  const pio = new PioBus();
  const log: string[] = [];
  pio.claim({
    first: 0x100,
    count: 2,
    sizes: [1],
    handler: {
      read: (offset) => 0x10 + offset,
      write: (offset, size, value) => log.push(`${offset} ${size} ${value}`),
    },
  });
  assert.equal(pio.read(0x100, 2), 0x1110);
  assert.equal(pio.read(0x100, 4), 0xffff1110);
  assert.equal(pio.read(0xff, 2), 0x10ff);
  pio.write(0x100, 4, 0x44332211);
  assert.deepEqual(log, ['0 1 17', '1 1 34']);
  assert.equal(pio.read(0xffff, 4), 0xffffffff, 'the last port');
});

test('claims by size share a port, the first wins, and they can be taken back', () => {
  const pio = new PioBus();
  const answer = (value: number) => ({ read: () => value, write() {} });
  const release = pio.claim({ first: 0xcf8, count: 4, sizes: [4], handler: answer(0x12345678) });
  pio.claim({ first: 0xcf9, count: 1, sizes: [1], handler: answer(7) });
  pio.claim({ first: 0xcf9, count: 1, sizes: [1], handler: answer(8) });
  assert.equal(pio.read(0xcf8, 4), 0x12345678);
  assert.equal(pio.read(0xcf9, 1), 7);
  release();
  assert.equal(pio.read(0xcf8, 4), 0xffff07ff);
});

test('memory accesses of eight bytes and across the end of a device', () => {
  const mmio = new MmioBus();
  const log: string[] = [];
  const handler = {
    read: (offset: number) => 0x100 + offset,
    write: (offset: number, size: number, value: number) => log.push(`${offset} ${size} ${value.toString(16)}`),
  };
  mmio.claim({ base: 0x1000, size: 0x10, handler });
  assert.equal(mmio.read(0x1000, 8), 0x0000010400000100n);
  mmio.write(0x1008, 8, 0x1122334455667788n);
  assert.deepEqual(log, ['8 4 55667788', '12 4 11223344']);
  assert.equal(mmio.read(0x100e, 4), 0xffff0f0en);
  assert.equal(mmio.read(0x1010, 4), 0xffffffffn);
  mmio.claim({
    base: 0x2000,
    size: 8,
    handler: { read: () => 0, write() {}, read64: () => -1n, write64: (_offset, value) => log.push(`${value}`) },
  });
  assert.equal(mmio.read(0x2000, 8), 0xffffffffffffffffn);
  mmio.write(0x2000, 8, 5n);
  assert.equal(log.at(-1), '5');
});
