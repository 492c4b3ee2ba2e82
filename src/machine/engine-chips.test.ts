// Interrupt controllers and 8254 that are the engine's: what they are told, what comes back, and what is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChipRegisters } from '../base/chip-registers.js';
import { ManualClock } from '../base/clock.js';
import type { VcpuLapic } from '../engine/engine.js';
import { type Chipset, createChipset } from './chipset.js';

const HPET_CONFIG = 0xfed00010;
const TICK_NS = 1e9 / 1_193_182;

function makeRig(): { clock: ManualClock; chipset: Chipset } {
  const clock = new ManualClock();
  const nothing = (): void => undefined;
  const chipset = createChipset({
    clock,
    vcpus: 1,
    ramSizeBytes: 64 << 20,
    wallClockMs: 0,
    events: { powerOff: nothing, reset: nothing, debugExit: nothing },
    serial: [],
  });
  return { clock, chipset };
}

type LapicRegisters = ReturnType<VcpuLapic['save']>;

/** An engine that keeps what it is told. */
class FakeEngine implements VcpuLapic {
  readonly calls: string[] = [];
  registers: ChipRegisters | undefined;
  private lapic: LapicRegisters = { page: new Uint32Array(64), apicBase: 0xfee00900, tscDeadline: 0n };
  readonly chips = {
    line: (gsi: number, level: boolean): void => void this.calls.push(`line ${gsi} ${level}`),
    cutPit: (isCut: boolean): void => void this.calls.push(`cut ${isCut}`),
    save: (): ChipRegisters => {
      this.calls.push('save chips');
      assert.ok(this.registers !== undefined);
      return this.registers;
    },
    load: (registers: ChipRegisters): number => {
      this.calls.push('load chips');
      this.registers = registers;
      return 77;
    },
    start: (): void => void this.calls.push('start'),
  };

  send(): boolean {
    return true;
  }
  route(): void {
    assert.fail('the I/O APIC is inside');
  }
  save(): LapicRegisters {
    this.calls.push('save lapic');
    return this.lapic;
  }
  load(registers: LapicRegisters): void {
    this.calls.push('load lapic');
    this.lapic = registers;
  }
}

function out(chipset: Chipset, ...writes: readonly (readonly [number, number])[]): void {
  for (const [port, value] of writes) chipset.bus.pio.write(port, 1, value);
}

/** Vectors 0x30 and 0x38, IRQ 0 and 3 open; counter 0 in mode 2, counter 2 in mode 0 behind its gate; pin 20 by level. */
function program({ clock, chipset }: ReturnType<typeof makeRig>): void {
  for (const [port, base, cascade] of [
    [0x20, 0x30, 4],
    [0xa0, 0x38, 2],
  ] as const) {
    out(chipset, [port, 0x11], [port + 1, base], [port + 1, cascade], [port + 1, 1]);
  }
  out(chipset, [0x21, 0xf6], [0xa1, 0xff], [0x20, 0x0b]);
  out(chipset, [0x43, 0x34], [0x40, 11932 & 255], [0x40, 11932 >> 8]);
  out(chipset, [0x61, 1], [0x43, 0xb0], [0x42, 0xff], [0x42, 0xff]);
  const { mmio } = chipset.bus;
  for (const [select, value] of [
    [0x10 + 2 * 20, 0x8051],
    [0x10 + 2 * 2, 0x10041],
  ]) {
    mmio.write(0xfec00000, 4, BigInt(select));
    mmio.write(0xfec00010, 4, BigInt(value));
  }
  clock.ns += 12_345_678;
  chipset.timers.runDue(clock.ns);
  // The count is latched, one byte read; the next is to come.
  out(chipset, [0x43, 0x00]);
  chipset.bus.pio.read(0x40, 1);
}

test('chips go to the engine and come back as they were', () => {
  const rig = makeRig();
  const { clock, chipset } = rig;
  program(rig);
  const before = chipset.save();
  const engine = new FakeEngine();
  chipset.useLapic(engine);
  assert.deepEqual(engine.calls, ['load chips', 'load lapic', 'start']);
  const registers = engine.registers as ChipRegisters;
  const [master, slave] = registers.pics;
  assert.deepEqual([master.vectorBase, master.imr, master.irr, master.readIsr], [0x30, 0xf6, 1, true]);
  assert.deepEqual([slave.vectorBase, slave.imr], [0x38, 0xff]);
  // The 8254's level is none of the devices'.
  assert.equal(registers.lines & 1, 0);
  assert.equal(registers.ioapic.low[20], 0x8051);
  const [counter0, , counter2] = registers.pit.counters;
  assert.deepEqual([counter0.count, counter0.mode, counter0.latched.length], [11932, 2, 1]);
  assert.deepEqual([counter2.count, counter2.mode, counter2.gate], [0xffff, 0, true]);
  assert.equal(registers.pit.counters[1].count, 0);
  // The models are gone: no deadline of theirs, and nobody answers.
  assert.equal(chipset.timers.nextDeadline() > clock.ns + 1e9, true);
  for (const port of [0x21, 0xa1, 0x40, 0x4d0, 0x61]) assert.equal(chipset.bus.pio.read(port, 1), 0xff);
  assert.equal(chipset.bus.mmio.read(0xfec00010, 4), 0xffffffffn);
  assert.equal(chipset.irqchip.pendingVector(0), undefined);
  const lines = [chipset.irqchip.isaLine(3), chipset.irqchip.gsiLine(20)];
  for (const level of [true, false]) for (const line of lines) line.set(level);
  assert.deepEqual(engine.calls.slice(3), ['line 3 true', 'line 20 true', 'line 3 false', 'line 20 false']);
  const saved = chipset.save();
  chipset.useLapic(undefined);
  const after = chipset.save();
  assert.deepEqual(saved.irqchip, after.irqchip);
  assert.deepEqual(saved.pit, after.pit);
  assert.deepEqual(after.pit, before.pit);
  assert.deepEqual(after.irqchip.ioapic, before.irqchip.ioapic);
  assert.deepEqual(after.irqchip.pic, before.irqchip.pic);
  assert.equal(chipset.bus.pio.read(0x21, 1), 0xf6);
});

test('a held machine: the 8254 first and last, nothing interrupts before all is there', () => {
  const { chipset } = makeRig();
  const engine = new FakeEngine();
  chipset.useLapic(engine);
  engine.calls.length = 0;
  chipset.hold();
  chipset.save();
  let from: number | undefined;
  chipset.release((hostNs) => {
    engine.calls.push('thaw');
    from = hostNs;
  });
  assert.deepEqual(engine.calls, ['save chips', 'save lapic', 'load chips', 'thaw', 'load lapic', 'start']);
  assert.equal(from, 77);
  // One that changes over while it is held goes on with the rest.
  chipset.useLapic(undefined);
  engine.calls.length = 0;
  chipset.hold();
  chipset.useLapic(engine);
  assert.deepEqual(engine.calls, []);
  chipset.release(() => engine.calls.push('thaw'));
  assert.deepEqual(engine.calls, ['load chips', 'thaw', 'load lapic', 'start']);
});

test('a reset gives the engine fresh chips', () => {
  const rig = makeRig();
  const { chipset } = rig;
  const engine = new FakeEngine();
  chipset.useLapic(engine);
  const fresh = engine.registers as ChipRegisters;
  chipset.useLapic(undefined);
  program(rig);
  chipset.useLapic(engine);
  assert.notDeepEqual(engine.registers?.pics, fresh.pics);
  engine.calls.length = 0;
  chipset.reset();
  assert.equal(engine.calls.includes('save chips'), false, 'nobody asks what they were');
  assert.deepEqual(engine.registers?.pics, fresh.pics);
  assert.deepEqual(engine.registers?.ioapic, fresh.ioapic);
  assert.deepEqual(
    engine.registers?.pit.counters.map(({ count }) => count),
    [0, 0, 0],
  );
  assert.equal(chipset.bus.pio.read(0x21, 1), 0xff);
});

test('HPET legacy replacement cuts the engine off from IRQ 0', () => {
  const { chipset } = makeRig();
  const engine = new FakeEngine();
  chipset.useLapic(engine);
  engine.calls.length = 0;
  const { mmio } = chipset.bus;
  mmio.write(HPET_CONFIG, 4, 3n);
  mmio.write(HPET_CONFIG, 4, 1n);
  assert.deepEqual(engine.calls, ['cut true', 'cut false']);
  mmio.write(HPET_CONFIG, 4, 3n);
  chipset.useLapic(undefined);
  chipset.useLapic(engine);
  assert.equal(engine.registers?.pit.isCut, true);
});

test('what the engine cannot do is named', () => {
  const named = (use: (rig: ReturnType<typeof makeRig>) => void): string[] => {
    const rig = makeRig();
    use(rig);
    return rig.chipset.missingInEngine();
  };
  assert.deepEqual(named(program), []);
  assert.deepEqual(
    named(({ chipset }) => out(chipset, [0x61, 0x0c])),
    ['bits 2 and 3 of port 0x61'],
  );
  assert.deepEqual(
    named(({ chipset }) => out(chipset, [0x43, 0x35], [0x40, 0], [0x40, 1])),
    ['counter 0 of the 8254 in BCD'],
  );
  assert.deepEqual(
    named(({ chipset }) => out(chipset, [0x43, 0x32], [0x40, 0], [0x40, 1])),
    ['counter 0 of the 8254 in mode 1'],
  );
  assert.deepEqual(
    named(({ chipset }) => out(chipset, [0x43, 0x34], [0x40, 0], [0x40, 1], [0x40, 0], [0x40, 2])),
    ['counter 0 of the 8254 with a count for its next period'],
  );
  assert.deepEqual(
    named(({ chipset }) => out(chipset, [0x20, 0x13])),
    ['an 8259A that is initialized without cascade'],
  );
  const opened = named(({ chipset }) => {
    chipset.bus.mmio.write(0xfec00000, 4, 0x10n);
    chipset.bus.mmio.write(0xfec00010, 4, 0x700n);
  });
  assert.deepEqual(opened, ['8259As behind pin 0 of the I/O APIC']);
});

test('a counter is where its engine says, in the middle of its period', () => {
  const rig = makeRig();
  const { clock, chipset } = rig;
  const engine = new FakeEngine();
  program(rig);
  chipset.useLapic(engine);
  // 2.25 periods ago by the engine's account, which it tells 3 us late.
  const registers = engine.registers as ChipRegisters;
  const [counter, ...others] = registers.pit.counters;
  const startNs = clock.ns - 2.25 * counter.count * TICK_NS;
  engine.registers = {
    ...registers,
    pit: { ...registers.pit, counters: [{ ...counter, startNs }, ...others] },
    atNs: clock.ns,
  };
  clock.ns += 3000;
  chipset.useLapic(undefined);
  const { deadlineNs } = chipset.save().pit;
  assert.equal(Math.round(deadlineNs ?? 0), Math.round(startNs + 3 * counter.count * TICK_NS));
});
