import assert from 'node:assert/strict';
import { test } from 'node:test';
import { I8042 } from './i8042.js';
import { Probe } from './test-rig.js';

function makeController() {
  const keyboardIrq = new Probe();
  const mouseIrq = new Probe();
  const log: string[] = [];
  let a20 = true;
  const controller = new I8042({
    keyboardIrq,
    mouseIrq,
    requestReset: () => log.push('reset'),
    setA20: (enabled) => {
      a20 = enabled;
    },
    a20: () => a20,
  });
  const command = (value: number): void => controller.commandPort.write(0, 1, value, 0);
  const data = (value: number): void => controller.dataPort.write(0, 1, value, 0);
  const status = (): number => controller.commandPort.read(0, 1, 0);
  /** Everything in the output buffer; mouse bytes are marked with 0x100. */
  const drain = (): number[] => {
    const bytes: number[] = [];
    while ((status() & 1) !== 0) {
      const aux = (status() & 0x20) !== 0 ? 0x100 : 0;
      bytes.push(controller.dataPort.read(0, 1, 0) | aux);
    }
    return bytes;
  };
  const mouse = (value: number): void => {
    command(0xd4);
    data(value);
  };
  return { controller, keyboardIrq, mouseIrq, log, command, data, status, drain, mouse, a20: () => a20 };
}

test('self tests, command byte, ports', () => {
  const { command, data, drain, status } = makeController();
  command(0xaa);
  assert.deepEqual(drain(), [0x55]);
  command(0xab);
  command(0xa9);
  assert.deepEqual(drain(), [0, 0]);
  command(0x60);
  data(0x47);
  command(0x20);
  assert.deepEqual(drain(), [0x47]);
  assert.equal(status() & 0x04, 0x04);
  command(0xd0);
  assert.deepEqual(
    drain().map((port) => port & 3),
    [3],
  );
});

test('keyboard commands as a driver probes them', () => {
  const { command, data, drain, keyboardIrq } = makeController();
  command(0x60);
  data(0x05);
  data(0xff);
  assert.deepEqual(drain(), [0xfa, 0xaa]);
  data(0xf2);
  assert.deepEqual(drain(), [0xfa, 0xab, 0x83]);
  data(0xed);
  data(0x02);
  assert.deepEqual(drain(), [0xfa, 0xfa]);
  data(0xf3);
  assert.deepEqual(drain(), [0xfa]);
  data(0x00);
  assert.deepEqual(drain(), [0xfa]);
  data(0xf4);
  assert.deepEqual(drain(), [0xfa]);
  data(0x12);
  assert.deepEqual(drain(), [0xfe]);
  assert.ok(keyboardIrq.edges >= 8, 'every byte interrupts');
});

test('keys are translated to set 1, breaks included', () => {
  const { controller, drain } = makeController();
  controller.keyboard.sendScancode(0x1c, 0xf0, 0x1c, 0xe0, 0x75);
  controller.poll();
  assert.deepEqual(drain(), [0x1e, 0x9e, 0xe0, 0x48]);
});

test('mouse: reset, identify, wheel', () => {
  const { controller, drain, mouse, mouseIrq, command, data } = makeController();
  command(0x60);
  data(0x47);
  mouse(0xff);
  assert.deepEqual(drain(), [0x1fa, 0x1aa, 0x100]);
  assert.equal(mouseIrq.edges, 3);
  mouse(0xf2);
  assert.deepEqual(drain(), [0x1fa, 0x100]);
  for (const rate of [200, 100, 80]) {
    mouse(0xf3);
    mouse(rate);
  }
  drain();
  mouse(0xf2);
  assert.deepEqual(drain(), [0x1fa, 0x103]);
  mouse(0xf4);
  drain();
  controller.mouse.move(5, -3, 1, 1);
  controller.poll();
  assert.deepEqual(drain(), [0x129, 0x105, 0x1fd, 0x101]);
});

test('aux loopback and disabled ports', () => {
  const { controller, command, data, drain, status } = makeController();
  command(0xd3);
  data(0x5a);
  assert.equal(status() & 0x21, 0x21);
  assert.deepEqual(drain(), [0x15a]);
  command(0xad);
  controller.keyboard.sendScancode(0x1c);
  controller.poll();
  assert.equal(status() & 1, 0);
  command(0xae);
  assert.deepEqual(drain(), [0x1e]);
});

test('reset pulse and A20', () => {
  const { command, data, log, a20 } = makeController();
  command(0xff);
  assert.deepEqual(log, []);
  command(0xfe);
  assert.deepEqual(log, ['reset']);
  command(0xd1);
  data(0x01);
  assert.equal(a20(), false);
  command(0xdf);
  assert.equal(a20(), true);
  command(0xd1);
  data(0x02);
  assert.deepEqual(log, ['reset', 'reset']);
});

test('a flood of keys is dropped, not queued for ever', () => {
  const { controller, drain } = makeController();
  for (let i = 0; i < 10_000; i++) controller.keyboard.sendScancode(0x1c);
  controller.poll();
  assert.ok(drain().length <= 65);
});
