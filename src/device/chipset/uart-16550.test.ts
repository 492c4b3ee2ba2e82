import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceRig } from './test-rig.js';
import { Uart16550 } from './uart-16550.js';

function makeUart(): { rig: DeviceRig; uart: Uart16550; out: number[]; ready: () => number } {
  const rig = new DeviceRig();
  const out: number[] = [];
  let ready = 0;
  const uart = new Uart16550({
    clock: rig.clock,
    timers: rig.timers,
    irq: rig.irq,
    backend: { write: (bytes) => out.push(...bytes) },
    onReceiverReady: () => ready++,
  });
  return { rig, uart, out, ready: () => ready };
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

test('transmits at once, whatever the divisor', () => {
  const { uart, out } = makeUart();
  uart.write(3, 1, 0x83);
  uart.write(0, 1, 0x34);
  uart.write(1, 1, 0x12);
  assert.deepEqual([uart.read(0), uart.read(1)], [0x34, 0x12]);
  uart.write(3, 1, 0x03);
  for (const letter of 'ok') uart.write(0, 1, letter.charCodeAt(0));
  assert.deepEqual(out, [0x6f, 0x6b]);
  assert.equal(uart.read(5), 0x60);
});

test('interrupt priorities: line status, data, transmitter, modem', () => {
  const { rig, uart } = makeUart();
  uart.write(4, 1, 0x08);
  uart.write(1, 1, 0x0f);
  assert.equal(rig.irq.level, true);
  uart.receive(bytes(1));
  uart.receiveBreak();
  assert.equal(uart.read(2), 0x06);
  assert.equal(uart.read(5) & 0x11, 0x11);
  assert.equal(uart.read(2), 0x04);
  assert.equal(uart.read(0), 1);
  assert.equal(uart.read(2), 0x02);
  assert.equal(uart.read(2), 0x01, 'reading IIR takes the transmitter interrupt back');
  assert.equal(rig.irq.level, false);
});

test('OUT2 gates the line', () => {
  const { rig, uart } = makeUart();
  uart.write(1, 1, 0x02);
  assert.equal(rig.irq.level, false);
  uart.write(4, 1, 0x08);
  assert.equal(rig.irq.level, true);
});

test('FIFO: trigger level, timeout, capacity and back-pressure', () => {
  const { rig, uart, ready } = makeUart();
  uart.write(4, 1, 0x08);
  assert.equal(uart.canReceive(), 1);
  uart.write(2, 1, 0xc1);
  uart.write(1, 1, 0x01);
  assert.equal(uart.canReceive(), 16);
  assert.equal(uart.receive(new Uint8Array(13).fill(0x61)), 13);
  assert.equal(rig.irq.level, false, 'below 14');
  rig.advance(5e6);
  assert.equal(uart.read(2), 0xcc, 'character timeout');
  assert.equal(uart.receive(bytes(1, 2, 3, 4, 5)), 3);
  assert.equal(uart.canReceive(), 0);
  assert.equal(uart.read(2), 0xc4);
  const before = ready();
  assert.equal(uart.read(0), 0x61);
  assert.equal(ready(), before + 1, 'room again');
  for (let i = 0; i < 15; i++) uart.read(0);
  assert.equal(uart.read(5) & 1, 0);
  assert.equal(uart.read(2), 0xc1);
});

test('clearing the FIFO drops what is in it', () => {
  const { uart } = makeUart();
  uart.write(2, 1, 0x01);
  uart.receive(bytes(1, 2, 3));
  uart.write(2, 1, 0x03);
  assert.equal(uart.read(5) & 1, 0);
  uart.receive(bytes(1, 2, 3));
  uart.write(2, 1, 0x00);
  assert.equal(uart.read(5) & 1, 0);
  assert.equal(uart.read(2) & 0xc0, 0);
});

test('loopback: data, modem lines and overrun', () => {
  const { uart, out } = makeUart();
  uart.write(4, 1, 0x1a);
  assert.equal(uart.read(6) & 0xf0, 0x90, 'RTS and OUT2 come back as CTS and DCD');
  assert.equal(uart.canReceive(), 0);
  uart.write(0, 1, 0x55);
  assert.equal(uart.read(0), 0x55);
  uart.write(0, 1, 1);
  uart.write(0, 1, 2);
  assert.equal(uart.read(5) & 0x02, 0x02);
  assert.equal(uart.read(5) & 0x02, 0, 'until read');
  assert.equal(uart.read(0), 2);
  assert.deepEqual(out, []);
});

test('FIFO size as drivers measure it', () => {
  const { uart } = makeUart();
  uart.write(2, 1, 0x07);
  uart.write(4, 1, 0x10);
  for (let i = 0; i < 256; i++) uart.write(0, 1, i);
  let count = 0;
  while ((uart.read(5) & 1) !== 0 && count < 256) {
    assert.equal(uart.read(0), count);
    count++;
  }
  assert.equal(count, 16);
});

test('modem deltas and scratch', () => {
  const { uart } = makeUart();
  assert.equal(uart.read(6), 0xb0);
  uart.write(4, 1, 0x10);
  assert.equal(uart.read(6), 0x0b);
  assert.equal(uart.read(6), 0x00);
  uart.write(4, 1, 0x14);
  assert.equal(uart.read(6), 0x40, 'no delta on the leading edge of ring');
  uart.write(4, 1, 0x10);
  assert.equal(uart.read(6), 0x04);
  uart.write(7, 1, 0xa5);
  assert.equal(uart.read(7), 0xa5);
});

test('the transmitter interrupt comes back with every write', () => {
  const { rig, uart } = makeUart();
  uart.write(4, 1, 0x08);
  uart.write(1, 1, 0x02);
  for (let i = 0; i < 3; i++) {
    assert.equal(uart.read(2), 0x02);
    assert.equal(rig.irq.level, false);
    uart.write(0, 1, 0x2e);
    assert.equal(rig.irq.level, true);
  }
});

test('who looks at the line status now and then waits for input; who is about to write does not', () => {
  const { rig, uart } = makeUart();
  const look = (times: number, everyNs: number): void => {
    for (let n = 0; n < times; n++) {
      rig.advance(everyNs);
      uart.read(5);
    }
  };
  // As firmware: at every tick of its clock.
  look(5, 55e6);
  assert.equal(uart.isListening, false);
  look(5, 55e6);
  assert.equal(uart.isListening, true);
  // Output, and the wait for it to end.
  for (const letter of 'text') {
    uart.read(5);
    uart.write(0, 1, letter.charCodeAt(0));
    rig.advance(1e9);
  }
  look(2, 1e9);
  assert.equal(uart.isListening, false);
  // A driver that tries the port out, at once.
  look(20, 1000);
  uart.write(0, 1, 0);
  look(20, 1000);
  assert.equal(uart.isListening, false);
  look(256, 1000);
  assert.equal(uart.isListening, true);
  uart.reset();
  look(1, 1e9);
  assert.equal(uart.isListening, false);
});

test('what the host sends waits until a driver that sets the port up has come to an end', () => {
  const { rig, uart } = makeUart();
  uart.write(1, 1, 0x05);
  assert.equal(uart.isListening, false, 'the interrupt has just been enabled');
  rig.advance(10e6);
  uart.write(2, 1, 0x01);
  rig.advance(15e6);
  assert.equal(uart.isListening, false, 'the FIFOs were cleared 15 ms ago');
  rig.advance(6e6);
  assert.equal(uart.isListening, true);
  uart.write(1, 1, 0x07);
  uart.write(2, 1, 0x81);
  assert.equal(uart.isListening, true, 'neither says that anything begins anew');
});
