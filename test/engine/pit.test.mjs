// A guest that lives by the 8254: each tick of counter 0 it tells the HPET's counter, which follows the virtual clock, and how
// far counter 2 is. Whoever has the chips, and wherever they go meanwhile: the ticks stay where they were.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EngineSwitchError, Machine } from '../../dist/node.js';
import { bzImage, ENTRY_64 } from '../guest/small-kernels.mjs';
import { Code, RAX, RDI } from './code.mjs';
import { IRQCHIP_NEEDS, lacks } from './engines.mjs';

const LOAD = 0x200000;
const IDT = 0x2000000;
const STACK = 0x2010000;
const IOAPIC = 0xfec00000;
const LAPIC = 0xfee00000;
const HPET = 0xfed00000;
const VECTOR = 0x40;
const PIC_VECTOR = 0x20;
const PIT_HZ = 1193182;
/** 50 ticks in a second; counter 2 counts as far as it can, in mode 2. */
const PERIOD = 23864;
const PERIOD_NS = (PERIOD * 1e9) / PIT_HZ;
const MOST = 65536;
const HPET_NS = 10;
const DEBUG_PORT = 0xe9;
const TOLD_BYTES = 6;
/** What is lost by chance is anywhere in periods of 20 and 55 milliseconds. */
const TOLERANCE_US = 4000;

/** `by`: the controller that counter 0's interrupt comes through. `mode` of counter 0, `portB` what port 0x61 is given. */
function guestCode(by, mode, portB) {
  const code = new Code(LOAD + ENTRY_64);
  const write = (at, value) => code.mov(RDI, BigInt(at)).b('c707').number(value, 4);
  const vector = by === 'pic' ? PIC_VECTOR : VECTOR;
  const out = (port, value) => code.b(0xb0, value, 0xe6, port);
  code.mov(4, BigInt(STACK)).b('fa');
  code.mov(RDI, BigInt(IDT + 16 * vector)).mov(RAX, 'tick');
  code.b('668907 66c747021000 66c74704008e 48c1e810 66894706');
  code
    .mov(RDI, BigInt(IDT + 0x1ff0))
    .b('66c707ff0f')
    .mov(RAX, BigInt(IDT))
    .b('48894702 0f011f');
  write(HPET + 0x10, 1);
  write(LAPIC + 0xf0, 0x1ff);
  for (const [port, byte] of [
    ...[0x11, PIC_VECTOR, 4, 1].map((byte, n) => [n === 0 ? 0x20 : 0x21, byte]),
    ...[0x11, 0x28, 2, 1].map((byte, n) => [n === 0 ? 0xa0 : 0xa1, byte]),
    [0x21, by === 'pic' ? 0xfe : 0xff],
    [0xa1, 0xff],
    // Counter 2's gate; mode 2, 65536. Counter 0.
    ...[
      [0x61, portB],
      [0x43, 0xb4],
      [0x42, 0],
      [0x42, 0],
    ],
    [0x43, 0x30 | (mode << 1)],
    [0x40, PERIOD & 255],
    [0x40, PERIOD >> 8],
  ]) {
    out(port, byte);
  }
  if (by !== 'pic') {
    for (const [select, value] of [
      [0x15, 0],
      [0x14, VECTOR],
    ]) {
      write(IOAPIC, select);
      write(IOAPIC + 0x10, value);
    }
  }
  // The receiver's interrupt is on (and masked): the serial line is listened to; a byte ends the guest.
  code.mov32(2, 0x3f9).b('b001 ee');
  code.label('wait').b('fb f4 fa').mov32(2, 0x3fd).b('ec a801').jcc(4, 'wait');
  code.mov32(RAX, 1).mov32(2, 0xf4).b('ee').label('stop').b('ebfe');
  // The HPET's counter, then counter 2 (latched), byte by byte; then the end of the interrupt.
  code
    .label('tick')
    .b('50 51 57')
    .mov(RDI, BigInt(HPET + 0xf0))
    .b('8b0f');
  out(0x43, 0x80);
  for (let n = 0; n < 4; n++) code.b('88c8', 0xe6, DEBUG_PORT, 'c1e908');
  for (let n = 0; n < 2; n++) code.b(0xe4, 0x42, 0xe6, DEBUG_PORT);
  if (by === 'pic') out(0x20, 0x20);
  else write(LAPIC + 0xb0, 0);
  code.b('5f 59 58 48cf');
  return code.finish();
}

function started(machine) {
  const bytes = [];
  machine.on('debugcon', (piece) => void bytes.push(...piece));
  const ended = machine.run();
  ended.catch(() => undefined);
  const ticks = () => {
    const view = new DataView(Uint8Array.from(bytes).buffer);
    return Array.from({ length: Math.floor(bytes.length / TOLD_BYTES) }, (_, n) => ({
      ns: view.getUint32(TOLD_BYTES * n, true) * HPET_NS,
      left: view.getUint16(TOLD_BYTES * n + 4, true),
    }));
  };
  const more = async (count) => {
    const until = ticks().length + count;
    let failure;
    ended.catch((error) => {
      failure = error;
    });
    for (let n = 0; n < 2000 && ticks().length < until && failure === undefined; n++) await sleep(10);
    if (failure !== undefined) throw failure;
    assert.ok(ticks().length >= until, `${ticks().length} ticks instead of ${until}`);
  };
  return { machine, ended, ticks, more };
}

function machineWith(by, mode, options, portB = 1) {
  const payload = new Uint8Array(0x4000);
  payload.set(guestCode(by, mode, portB), ENTRY_64);
  const kernel = bzImage(payload);
  const more = { memoryBytes: 64 << 20, debugcon: DEBUG_PORT, debugExit: true, noReboot: true, timeoutMs: 50_000 };
  return started(new Machine({ kernel, ...more, ...options }));
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/** Where in its period something was, in parts of it from -0.5 to 0.5. */
const wrapped = (periods) => periods - Math.round(periods);

/** Whatever the host is late by now and then: most ticks come where they belong, and counter 2 is where it belongs. */
function check(parts, wanted) {
  assert.ok(parts.flat().length >= wanted, `${parts.flat().length} ticks`);
  const of = (what, periodNs) => {
    const from = (tick, origin) => wrapped((what(tick) - origin) / periodNs) * periodNs;
    // Its own first part's middle: the tick that is nearest to all others.
    const distance = (origin) => parts[0].reduce((sum, tick) => sum + Math.abs(from(tick, origin)), 0);
    const [origin] = parts[0].map(what).sort((a, b) => distance(a) - distance(b));
    return parts.map((ticks) => median(ticks.map((tick) => from(tick, origin))));
  };
  const ticksAt = of(({ ns }) => ns, PERIOD_NS);
  const ends = of(({ ns, left }) => ns + (left * 1e9) / PIT_HZ, (MOST * 1e9) / PIT_HZ);
  for (const n of parts.keys()) {
    const [tick, end] = [ticksAt[n], ends[n]].map((ns) => Math.round(ns / 1e3));
    assert.ok(Math.abs(tick) < TOLERANCE_US, `part ${n}: ticks come ${tick} us from where they did`);
    assert.ok(Math.abs(end) < TOLERANCE_US, `part ${n}: counter 2 ends ${end} us from where it did`);
  }
  if (process.env.SHOW) console.log(ticksAt.map(Math.round), ends.map(Math.round));
}

async function end({ machine, ended }) {
  machine.write(Uint8Array.of(0x71));
  const result = await ended;
  assert.deepEqual([result.reason, result.exitCode], ['debug-exit', 3]);
}

const skip = lacks('kvm', IRQCHIP_NEEDS.kernel) ?? false;
/** Where a machine that was saved under the kernel's chips goes on. */
const PLACES = [
  ['dbt', 'machine'],
  ['kvm', 'kernel'],
  ['kvm', 'machine'],
  ['kvm', 'split'],
].filter(([engine, irqchip]) => lacks(engine, IRQCHIP_NEEDS[irqchip]) === undefined);

async function elevenTicks(guest) {
  const before = guest.ticks().length;
  await guest.more(12);
  return guest.ticks().slice(before + 1, before + 12);
}

for (const [by, mode] of [
  ['pic', 2],
  ['ioapic', 2],
  ['ioapic', 3],
]) {
  const what = `mode ${mode} through the ${by}`;
  test(`ticks stay in step between the kernel's 8254 and ours: ${what}`, { skip, timeout: 60_000 }, async () => {
    const guest = machineWith(by, mode, { engine: 'dbt', switchable: true, irqchip: 'kernel' });
    const parts = [];
    const part = async () => parts.push(await elevenTicks(guest));
    await guest.more(3);
    await part();
    for (let n = 0; n < 3; n++) {
      await guest.machine.switchEngine('kvm');
      await part();
      // Real time passes, virtual time does not.
      await guest.machine.pause();
      await sleep(7 + 30 * n);
      guest.machine.resume();
      await part();
      await guest.machine.switchEngine('dbt');
      await part();
    }
    await end(guest);
    check(parts, 100);
  });

  test(`ticks stay in step when a machine is saved and loaded: ${what}`, { skip, timeout: 60_000 }, async (t) => {
    let guest = machineWith(by, mode, { engine: 'dbt', switchable: true, irqchip: 'kernel' });
    const parts = [];
    const part = async () => parts.push(await elevenTicks(guest));
    await guest.more(3);
    await part();
    await guest.machine.switchEngine('kvm');
    await part();
    await guest.machine.pause();
    const state = await guest.machine.save();
    guest.machine.close();
    for (const [engine, irqchip] of PLACES) {
      guest = started(await Machine.load(state, { engine, irqchip, timeoutMs: 50_000 }));
      try {
        await part();
      } catch (error) {
        if (!/cannot set the time-stamp counter/.test(error.message)) throw error;
        t.diagnostic(`irqchip ${irqchip}: ${error.message}`);
        continue;
      }
      await end(guest);
    }
    check(parts, 30);
  });
}

test("what the kernel's chips lack is named, and the guest goes on", { skip, timeout: 60_000 }, async () => {
  const options = { engine: 'dbt', switchable: true, irqchip: 'kernel' };
  const guest = machineWith('pic', 2, options, 0x0d);
  await guest.more(2);
  await assert.rejects(guest.machine.switchEngine('kvm'), (error) => {
    assert.ok(error instanceof EngineSwitchError);
    assert.deepEqual(error.missing, ['bits 2 and 3 of port 0x61']);
    return true;
  });
  await guest.more(2);
  await guest.machine.pause();
  const state = await guest.machine.save();
  guest.machine.close();
  const later = started(await Machine.load(state, { engine: 'kvm', irqchip: 'kernel', timeoutMs: 50_000 }));
  await assert.rejects(later.ended, { code: 'bad-state', message: /bits 2 and 3 of port 0x61/ });
});
