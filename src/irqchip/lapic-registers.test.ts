// A local APIC that is the engine's: messages go there, and its registers are the model's state.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.js';
import { TimerQueue } from '../base/timer-queue.js';
import * as spec from '../spec/apic.js';
import { Irqchip } from './irqchip.js';
import type { ForeignLapic, LapicRegisters, PinMessage } from './lapic-registers.js';

function foreign() {
  const sent: PinMessage[] = [];
  let routes: readonly (PinMessage | undefined)[] = [];
  let registers: LapicRegisters = { page: new Uint32Array(64), apicBase: 0, tscDeadline: 0n };
  const lapic: ForeignLapic = {
    send(address, data) {
      sent.push({ address, data });
      return true;
    },
    route(messages) {
      routes = messages;
    },
    save: () => registers,
    load(next) {
      registers = next;
    },
  };
  return { lapic, sent, routes: () => routes, registers: () => registers };
}

function machine() {
  const clock = new ManualClock();
  const timers = new TimerQueue();
  const nothing = () => undefined;
  const events = { attention: nothing, init: nothing, startup: nothing, apicBaseChanged: nothing };
  const irqchip = new Irqchip({ vcpus: 1, clock, timers, events });
  const page = irqchip.lapicPage(spec.APIC_DEFAULT_BASE);
  return { clock, timers, irqchip, write: (register: number, value: number) => page.write(register << 4, 4, value, 0) };
}

test('the state goes to the engine and comes back as it was', () => {
  const { clock, timers, irqchip, write } = machine();
  clock.ns = 5_000_000;
  write(spec.APIC_SVR, 0x1ff);
  write(spec.APIC_TPR, 0x30);
  write(spec.APIC_LDR, 0x01000000);
  write(spec.APIC_TIMER_DIVIDE, 0xb);
  write(spec.APIC_LVT_TIMER, spec.LVT_TIMER_PERIODIC | 0x40);
  write(spec.APIC_TIMER_INITIAL, 250_000);
  clock.ns = 9_000_000;
  const before = irqchip.save().lapics[0];
  const { lapic, registers } = foreign();
  irqchip.useLapic(lapic);
  assert.equal(registers().page[spec.APIC_LVT_TIMER], spec.LVT_TIMER_PERIODIC | 0x40);
  assert.equal(registers().page[spec.APIC_TIMER_INITIAL], 250_000);
  assert.equal(registers().page[spec.APIC_TIMER_CURRENT], 150_000);
  assert.equal(registers().apicBase, 0xfee00900);
  // The model's timer stands still meanwhile.
  assert.equal(timers.nextDeadline(), Infinity);
  assert.deepEqual(irqchip.lapicBases(), []);
  assert.deepEqual(irqchip.save().lapics[0], before);
  irqchip.useLapic(undefined);
  assert.deepEqual(irqchip.save().lapics[0], before);
  assert.equal(timers.nextDeadline(), 15_000_000);
});

test('pins and devices send messages; the engine tells the end of a level-triggered one', () => {
  const { irqchip } = machine();
  const { lapic, sent, routes } = foreign();
  irqchip.useLapic(lapic);
  const { ioapic } = irqchip;
  const redirect = (pin: number, low: number, high: number): void => {
    for (const [select, value] of [
      [0x11 + 2 * pin, high],
      [0x10 + 2 * pin, low],
    ]) {
      ioapic.write(spec.IOAPIC_REGSEL, 4, select);
      ioapic.write(spec.IOAPIC_WINDOW, 4, value);
    }
  };
  redirect(20, spec.RTE_LEVEL | 0x51, 0);
  redirect(4, 0x34, 0);
  assert.deepEqual(routes()[20], { address: 0xfee00000, data: 0xc051 });
  assert.equal(routes()[5], undefined);
  const line = irqchip.gsiLine(20);
  line.set(true);
  irqchip.isaLine(4).set(true);
  irqchip.sendMsi(0xfee00000, 0x62);
  assert.deepEqual(
    sent.map(({ data }) => data),
    [0xc051, 0x34, 0x62],
  );
  // Still asserted when it ends: once more.
  irqchip.endOfInterrupt(0x51);
  assert.equal(sent.length, 4);
  line.set(false);
  irqchip.endOfInterrupt(0x51);
  assert.equal(sent.length, 4);
});

test('the 8259As interrupt as ever, whatever the model of the local APIC says', () => {
  const { irqchip } = machine();
  irqchip.useLapic(foreign().lapic);
  const ports = irqchip.pic.ports('master');
  for (const [port, value] of [
    [0, 0x11],
    [1, 0x20],
    [1, 4],
    [1, 1],
    [1, 0],
  ]) {
    ports.write(port, 1, value, 0);
  }
  assert.equal(irqchip.pendingVector(0), undefined);
  irqchip.isaLine(3).set(true);
  assert.equal(irqchip.pendingVector(0), 0x23);
  assert.equal(irqchip.acknowledge(0), 0x23);
  assert.equal(irqchip.pendingVector(0), undefined);
});
