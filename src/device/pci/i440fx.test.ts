import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from '../bus/bus.js';
import { I440fx } from './i440fx.js';

type Shadow = [base: number, size: number, readsRam: boolean, writesRam: boolean];

function make() {
  const shadows: Shadow[] = [];
  const bridge = new I440fx(new Bus(), (...shadow) => shadows.push(shadow));
  const told = (): Shadow[] => shadows.splice(0);
  return { bridge, told };
}

test('the attribute registers cover 0xc0000-0xfffff in their pieces', () => {
  const { bridge, told } = make();
  bridge.update();
  const all = told().sort((a, b) => a[0] - b[0]);
  assert.equal(all.length, 13);
  let next = 0xc0000;
  for (const [base, size, readsRam, writesRam] of all) {
    assert.equal(base, next);
    assert.deepEqual([readsRam, writesRam], [false, false]);
    next += size;
  }
  assert.equal(next, 0x100000);

  bridge.function.write(0x59, 1, 0x10);
  assert.deepEqual(told(), [[0xf0000, 0x10000, true, false]]);
  // Low nibble, high nibble; reserved bits and the low nibble of 0x59 do not stick.
  bridge.function.write(0x5a, 1, 0xff);
  assert.deepEqual(told(), [
    [0xc0000, 0x4000, true, true],
    [0xc4000, 0x4000, true, true],
  ]);
  bridge.function.write(0x59, 1, 0xff);
  assert.equal(bridge.function.read(0x59, 2), 0x3330);
  assert.deepEqual(told(), [[0xf0000, 0x10000, true, true]]);
  bridge.function.write(0x5c, 4, 0x20000000);
  assert.deepEqual(told(), [[0xec000, 0x4000, false, true]]);
  // Nothing is told twice.
  bridge.function.write(0x59, 1, 0x30);
  assert.deepEqual(told(), []);
});

test('reset takes RAM away, a restored state and a machine without firmware bring it back', () => {
  const { bridge, told } = make();
  bridge.openAll();
  assert.deepEqual(told(), []);
  const state = bridge.function.save();
  bridge.function.reset();
  bridge.update();
  assert.equal(told().length, 13);
  bridge.function.restore(state);
  bridge.update();
  assert.ok(told().every(([, , readsRam, writesRam]) => readsRam && writesRam));
});
