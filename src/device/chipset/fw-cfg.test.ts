import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatDma } from '../dma.js';
import { FwCfg } from './fw-cfg.js';

function readBytes(fwCfg: FwCfg, key: number, count: number): number[] {
  fwCfg.ports.write(0, 2, key, 0);
  return Array.from({ length: count }, () => fwCfg.ports.read(1, 1, 0));
}

test('signature, features, absent items', () => {
  const fwCfg = new FwCfg();
  assert.deepEqual(readBytes(fwCfg, 0, 6), [...Buffer.from('QEMU'), 0, 0]);
  assert.deepEqual(readBytes(fwCfg, 1, 4), [1, 0, 0, 0]);
  assert.deepEqual(readBytes(fwCfg, 0x1234, 2), [0, 0]);
});

test('files are in the directory', () => {
  const fwCfg = new FwCfg();
  fwCfg.addFile('etc/e820', Uint8Array.of(1, 2, 3));
  fwCfg.addFile('etc/other', new Uint8Array(300));
  fwCfg.addFile('etc/e820', Uint8Array.of(9, 8));
  const directory = Buffer.from(readBytes(fwCfg, 0x19, 4 + 2 * 64));
  assert.equal(directory.readUInt32BE(0), 2);
  assert.equal(directory.readUInt32BE(4), 2);
  const key = directory.readUInt16BE(8);
  assert.equal(directory.toString('latin1', 12, 20), 'etc/e820');
  assert.deepEqual(readBytes(fwCfg, key, 3), [9, 8, 0]);
});

test('DMA reads into guest memory and reports errors', () => {
  const ram = new Uint8Array(0x10000);
  const view = new DataView(ram.buffer);
  const fwCfg = new FwCfg(flatDma(ram));
  fwCfg.addFile('data', Uint8Array.of(5, 6, 7, 8));
  const run = (control: number, length: number, address: number): number => {
    view.setUint32(0x100, control);
    view.setUint32(0x104, length);
    view.setUint32(0x108, 0);
    view.setUint32(0x10c, address);
    fwCfg.dmaPorts.write(0, 4, 0, 0);
    fwCfg.dmaPorts.write(4, 4, 0x00010000, 0);
    return view.getUint32(0x100);
  };
  assert.equal(fwCfg.dmaPorts.read(0, 4, 0), 0x554d4551);
  assert.equal(run((0x20 << 16) | 8 | 2, 6, 0x200), 0);
  assert.deepEqual([...ram.subarray(0x200, 0x206)], [5, 6, 7, 8, 0, 0]);
  assert.equal(run((0x20 << 16) | 8, 0, 0), 0);
  assert.equal(run(4, 2, 0), 0);
  assert.equal(run(2, 1, 0x300), 0);
  assert.equal(ram[0x300], 7);
  assert.equal(run(2, 0x10000, 0x8000), 1, 'past the end of RAM');
  assert.equal(run(2, 0xffffffff, 0), 1, 'absurd length');
  assert.equal(run(0x10, 1, 0), 1, 'writes are refused');
});

test('a live file is made when it is selected, and keeps its key', () => {
  const fwCfg = new FwCfg();
  let value = 1;
  fwCfg.addLiveFile('live', () => Uint8Array.of(value, value + 1));
  value = 5;
  assert.deepEqual(readBytes(fwCfg, 0x20, 2), [5, 6]);
  value = 9;
  const saved = fwCfg.save();
  assert.deepEqual([fwCfg.ports.read(1, 1, 0), fwCfg.ports.read(1, 1, 0)], [0, 0]);
  fwCfg.restore({ ...saved, offset: 1 });
  assert.equal(fwCfg.ports.read(1, 1, 0), 10);
  // A plain file of the same name takes its place.
  assert.equal(fwCfg.addFile('live', Uint8Array.of(7)), 0x20);
  assert.deepEqual(readBytes(fwCfg, 0x20, 2), [7, 0]);
});
