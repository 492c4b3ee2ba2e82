// The kernel's interrupt controllers and 8254: what is loaded is what is saved, whatever state they are in. Where
// the counters are in their periods is pit.test.mjs's.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IRQCHIP_NEEDS, lacks } from './engines.mjs';
import { SmallGuest } from './guest.mjs';

const skip = lacks('kvm', IRQCHIP_NEEDS.kernel) ?? false;
const MASKED = 0x10000;
const LEVEL = 0x8000;
const NS_PER_TICK = 1e9 / 1193182;

/** mulberry32. */
function randomSource(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

function randomPic(next, elcrMask, lines) {
  const flag = () => (next() & 1) !== 0;
  const elcr = next() & elcrMask;
  const imr = next() & 0xff;
  return {
    // A level is requested while it is there. What is in service keeps requests waiting.
    irr: (next() & 0xff & ~elcr) | (lines & elcr),
    isr: next() & 0xff,
    imr,
    lines,
    elcr,
    vectorBase: next() & 0xf8,
    lowest: next() & 7,
    initStep: [0, 2, 3, 4][next() & 3],
    wantsIcw4: flag(),
    autoEoi: flag(),
    rotateOnAutoEoi: flag(),
    specialMask: flag(),
    fullyNested: flag(),
    readIsr: flag(),
    poll: flag(),
  };
}

/** Modes that KVM counts as the chip does; access, bytes and latches at will. */
function randomCounter(next, n, now) {
  const mode = n === 0 ? [0, 2, 3, 5][next() & 3] : [0, 2, 3, 4][next() & 3];
  const access = 1 + (next() % 3);
  const byte = () => next() & 0xff;
  const count = next() % 5 === 0 ? 0 : 2000 + (next() % 60000);
  return {
    count,
    startNs: count === 0 ? 0 : now - Math.floor((next() % (count * 2)) * NS_PER_TICK),
    mode,
    access,
    gate: n !== 2 || (next() & 1) !== 0,
    readsHigh: access === 3 && (next() & 1) !== 0,
    writeLow: access === 3 && (next() & 1) !== 0 ? byte() : null,
    latched: (next() & 1) === 0 ? [] : access === 3 && (next() & 1) === 0 ? [byte(), byte()] : [byte()],
    latchedStatus: (next() & 1) === 0 ? null : byte(),
  };
}

const strip = ({ startNs: _, ...counter }) => counter;
test('what is loaded into the chips is saved again', { skip, timeout: 60_000 }, () => {
  const guest = new SmallGuest('kvm', 'long0', (code) => code.b('ebfe'), undefined, { irqchip: 'kernel' });
  const { chips } = guest.vcpu.lapic;
  for (let seed = 1; seed <= 12; seed++) {
    const next = randomSource(seed);
    // Line 2 leads nowhere, and no edge is on its way.
    const lines = next() & 0xfffffb;
    const slave = randomPic(next, 0xde, (lines >> 8) & 0xff);
    const master = randomPic(next, 0xf8, lines & 0xff);
    const now = performance.now() * 1e6;
    const registers = {
      pics: [master, slave],
      ioapic: {
        id: next() & 15,
        select: next() & 0xff,
        // Nothing is sent: masked, or level-triggered and low.
        low: Array.from({ length: 24 }, (_, pin) =>
          ((lines | 5) >> pin) & 1 ? MASKED | (next() & 0xafff) : LEVEL | (next() & 0x20ff) | 0x10,
        ),
        high: Array.from({ length: 24 }, () => (next() & 0xff000000) >>> 0),
      },
      pit: {
        counters: [0, 1, 2].map((n) => randomCounter(next, n, now)),
        speaker: (next() & 1) !== 0,
        isCut: seed % 4 === 0,
      },
      lines,
      atNs: now,
    };
    chips.load(registers);
    chips.start();
    const saved = chips.save();
    const cascade = ({ irr, ...chip }) => ({ ...chip, irr: irr & ~4 });
    // Counter 0 may have interrupted since.
    const irq0 = registers.pit.counters[0].count > 0 ? 1 : 0;
    const without0 = ({ irr, ...chip }) => ({ ...chip, irr: irr & ~irq0 });
    const what = `seed ${seed}`;
    assert.deepEqual(without0(cascade(saved.pics[0])), without0(cascade(master)), `${what}: master`);
    assert.deepEqual(saved.pics[1], slave, `${what}: slave`);
    assert.deepEqual(saved.ioapic, registers.ioapic, `${what}: I/O APIC`);
    assert.deepEqual(
      [saved.lines, saved.pit.isCut, saved.pit.speaker],
      [lines, registers.pit.isCut, registers.pit.speaker],
    );
    assert.deepEqual(saved.pit.counters.map(strip), registers.pit.counters.map(strip), `${what}: 8254`);
  }
  guest.close();
});
