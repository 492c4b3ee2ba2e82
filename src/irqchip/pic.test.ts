import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pic } from './pic.js';

function makePic(): { pic: Pic; write: (port: number, value: number) => void; read: (port: number) => number } {
  const pic = new Pic(() => {});
  const master = pic.ports('master');
  const slave = pic.ports('slave');
  const chip = (port: number): typeof master => (port < 0x80 ? master : slave);
  const write = (port: number, value: number): void => chip(port).write(port & 1, 1, value, 0);
  const read = (port: number): number => chip(port).read(port & 1, 1, 0);
  return { pic, write, read };
}

/** Vectors 0x20 and 0x28, nothing masked. */
function initialize(write: (port: number, value: number) => void, icw4 = 1): void {
  for (const [port, vector, cascade] of [
    [0x20, 0x20, 4],
    [0xa0, 0x28, 2],
  ]) {
    write(port, 0x11);
    write(port + 1, vector);
    write(port + 1, cascade);
    write(port + 1, icw4);
    write(port + 1, 0);
  }
}

test('priorities: a lower IRQ interrupts, a higher one waits for EOI', () => {
  const { pic, write, read } = makePic();
  initialize(write);
  pic.setLine(4, true);
  assert.equal(pic.acknowledge(), 0x24);
  pic.setLine(6, true);
  assert.equal(pic.output, false);
  pic.setLine(1, true);
  assert.equal(pic.output, true);
  assert.equal(pic.acknowledge(), 0x21);
  write(0x20, 0x0b);
  assert.equal(read(0x20), 0x12, 'ISR');
  write(0x20, 0x0a);
  assert.equal(read(0x20), 0x40, 'IRR');
  write(0x20, 0x20);
  assert.equal(pic.output, false);
  write(0x20, 0x64);
  assert.equal(pic.acknowledge(), 0x26);
});

test('the slave goes through IR2', () => {
  const { pic, write } = makePic();
  initialize(write);
  pic.setLine(12, true);
  pic.setLine(8, true);
  assert.equal(pic.acknowledge(), 0x28);
  assert.equal(pic.output, false);
  write(0xa0, 0x20);
  write(0x20, 0x20);
  assert.equal(pic.output, true);
  assert.equal(pic.acknowledge(), 0x2c);
});

test('masks hold requests back, edges need a new edge', () => {
  const { pic, write } = makePic();
  initialize(write);
  write(0x21, 0x08);
  pic.setLine(3, true);
  assert.equal(pic.output, false);
  write(0x21, 0x00);
  assert.equal(pic.acknowledge(), 0x23);
  write(0x20, 0x20);
  assert.equal(pic.output, false, 'the line is still high');
  pic.setLine(3, false);
  pic.setLine(3, true);
  assert.equal(pic.output, true);
});

test('ELCR: a level interrupt comes again, and goes with the line', () => {
  const { pic, write } = makePic();
  initialize(write);
  pic.elcrPorts.write(1, 1, 0xff, 0);
  assert.equal(pic.elcrPorts.read(1, 1, 0), 0xde, 'IRQ 8 and 13 stay edges');
  pic.setLine(11, true);
  assert.equal(pic.acknowledge(), 0x2b);
  write(0xa0, 0x20);
  write(0x20, 0x20);
  assert.equal(pic.output, true);
  pic.setLine(11, false);
  assert.equal(pic.output, false);
});

test('spurious: the request went away before INTA', () => {
  const { pic, write, read } = makePic();
  initialize(write);
  pic.elcrPorts.write(0, 1, 0xff, 0);
  pic.setLine(5, true);
  pic.setLine(5, false);
  assert.equal(pic.acknowledge(), 0x27);
  write(0x20, 0x0b);
  assert.equal(read(0x20), 0);
});

test('automatic EOI and rotation', () => {
  const { pic, write } = makePic();
  initialize(write, 3);
  write(0x20, 0x80);
  pic.setLine(0, true);
  pic.setLine(1, true);
  assert.equal(pic.acknowledge(), 0x20);
  pic.setLine(0, false);
  pic.setLine(0, true);
  assert.equal(pic.acknowledge(), 0x21, 'IRQ 0 has the lowest priority now');
  assert.equal(pic.acknowledge(), 0x20);
});

test('specific rotation and set priority', () => {
  const { pic, write } = makePic();
  initialize(write);
  write(0x20, 0xc4);
  pic.setLine(4, true);
  pic.setLine(5, true);
  assert.equal(pic.acknowledge(), 0x25, 'IRQ 5 is highest after IRQ 4 became lowest');
});

test('special mask mode lets lower priorities through', () => {
  const { pic, write } = makePic();
  initialize(write);
  pic.setLine(1, true);
  pic.acknowledge();
  pic.setLine(7, true);
  assert.equal(pic.output, false);
  write(0x21, 0x02);
  write(0x20, 0x68);
  assert.equal(pic.output, true);
  assert.equal(pic.acknowledge(), 0x27);
});

test('poll acknowledges', () => {
  const { pic, write, read } = makePic();
  initialize(write);
  pic.setLine(6, true);
  write(0x20, 0x0c);
  assert.equal(read(0x20), 0x86);
  assert.equal(pic.output, false);
  write(0x20, 0x0c);
  assert.equal(read(0x20), 0);
});

test('ICW1 clears the mask and the edge sense', () => {
  const { pic, write, read } = makePic();
  initialize(write);
  write(0x21, 0xff);
  pic.setLine(2, false);
  pic.setLine(3, true);
  write(0x20, 0x11);
  assert.equal(pic.output, false);
  write(0x21, 0x40);
  write(0x21, 4);
  write(0x21, 1);
  assert.equal(read(0x21), 0);
  assert.equal(pic.output, false, 'the old edge is forgotten');
});
