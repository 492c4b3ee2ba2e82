/** Every device: save in the middle of random use, restore into a new one, and both go on in the same way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IoSize, PioHandler } from '../../base/io.js';
import { StateError } from '../../base/state.js';
import { COMMAND_WRITABLE, PCI_COMMAND } from '../../spec/pci.js';
import { Bus } from '../bus/bus.js';
import type { Device } from '../device.js';
import { PciFunction } from '../pci/function.js';
import { AcpiPm } from './acpi-pm.js';
import { FwCfg } from './fw-cfg.js';
import { Hpet } from './hpet.js';
import { I8042 } from './i8042.js';
import { Pit } from './pit.js';
import { Rtc } from './rtc.js';
import { Smbus } from './smbus.js';
import { SystemControl } from './system-control.js';
import { DeviceRig, Probe } from './test-rig.js';
import { Uart16550 } from './uart-16550.js';

const WALL_CLOCK = Date.UTC(2026, 1, 3, 4, 5, 6);
const ACTIONS = 150;
const SEEDS = Array.from({ length: 40 }, (_, n) => n + 1);
/** Longer than any period the devices are programmed with here. */
const LONGEST_STEP_NS = 3e7;

/** mulberry32: the same run every time. */
function randomSource(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

interface Subject {
  readonly device: Pick<Device, 'save' | 'restore'>;
  readonly lines: readonly Probe[];
  /** One random use; what was seen. */
  act(random: (below: number) => number): unknown;
}

type Make = (rig: DeviceRig) => Subject;

/** Reads and writes at random offsets of some handlers. */
function ports(handlers: readonly [PioHandler, number, readonly IoSize[]][]): Subject['act'] {
  return (random) => {
    const [handler, count, sizes] = handlers[random(handlers.length)];
    const offset = random(count);
    const size = sizes[random(sizes.length)];
    if (random(2) === 0) return handler.read(offset, size, 0);
    handler.write(offset, size, random(4) === 0 ? random(0xffffffff) & (2 ** (8 * size) - 1) : random(256), 0);
    return undefined;
  };
}

const BYTE: readonly IoSize[] = [1];

const SUBJECTS: Record<string, Make> = {
  'uart-16550': (rig) => {
    const uart = new Uart16550({ clock: rig.clock, timers: rig.timers, irq: rig.irq });
    const use = ports([[uart, 8, BYTE]]);
    return {
      device: uart,
      lines: [rig.irq],
      act: (random) => (random(3) > 0 ? use(random) : [uart.receive(Uint8Array.of(random(256))), uart.isListening]),
    };
  },
  pit: (rig) => {
    const pit = new Pit(rig.clock, rig.timers, rig.irq);
    const use = ports([
      [pit, 4, BYTE],
      [pit.portB, 1, BYTE],
    ]);
    // Control words alone leave every counter stopped: most of the time it is programmed as systems do.
    const act: Subject['act'] = (random) => {
      if (random(4) > 0) return use(random);
      const channel = random(3);
      pit.write(3, 1, (channel << 6) | 0x30 | (random(6) << 1));
      pit.write(channel, 1, random(256));
      pit.write(channel, 1, random(256));
      return undefined;
    };
    return { device: pit, lines: [rig.irq], act };
  },
  rtc: (rig) => {
    const { clock, timers, irq } = rig;
    const rtc = new Rtc({ clock, timers, irq, wallClockMs: WALL_CLOCK, ramSizeBytes: 1 << 29 });
    const act: Subject['act'] = (random) => {
      rtc.write(0, 1, random(4) === 0 ? random(256) : random(14));
      if (random(2) === 0) return rtc.read(1);
      rtc.write(1, 1, random(256));
      return undefined;
    };
    return { device: rtc, lines: [irq], act };
  },
  hpet: (rig) => {
    const lines = Array.from({ length: 34 }, () => new Probe());
    const hpet = new Hpet({
      clock: rig.clock,
      timers: rig.timers,
      legacyLines: [lines[32], lines[33]],
      gsiLine: (gsi) => lines[gsi],
      onLegacyReplacement() {},
    });
    const act: Subject['act'] = (random) => {
      const offset = [0x10, 0x20, 0xf0, 0x100, 0x108, 0x120, 0x128, 0x140, 0x148][random(9)];
      if (random(2) === 0) return hpet.read(offset, 4);
      if (offset === 0x10) hpet.write(offset, 4, random(8) === 0 ? random(4) : 1 | random(4));
      else hpet.write(offset, 4, random(2) === 0 ? random(1 << 20) : random(0xffffffff));
      return undefined;
    };
    return { device: hpet, lines, act };
  },
  'acpi-pm': (rig) => {
    const pm = new AcpiPm(rig.clock, rig.timers, rig.irq, () => {});
    const use = ports([
      [pm.ports, 12, [1, 2, 4]],
      [pm.gpePorts, 4, BYTE],
      [pm.smiPorts, 2, BYTE],
    ]);
    return {
      device: pm,
      lines: [rig.irq],
      act: (random) => (random(16) === 0 ? pm.pressPowerButton() : use(random)),
    };
  },
  i8042: (rig) => {
    const mouseIrq = new Probe();
    const kbc = new I8042({
      keyboardIrq: rig.irq,
      mouseIrq,
      requestReset() {},
      setA20() {},
      a20: () => true,
    });
    const commands = [0x20, 0x60, 0xa7, 0xa8, 0xaa, 0xad, 0xae, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd4, 0xd4];
    const data = [0xed, 0xf0, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xff, 0xeb, 0xe9, 200, 100, 80, 2, 0x65];
    const act: Subject['act'] = (random) => {
      switch (random(6)) {
        case 0:
          kbc.commandPort.write(0, 1, commands[random(commands.length)], 0);
          return kbc.commandPort.read(0, 1, 0);
        case 1:
        case 2:
          kbc.dataPort.write(0, 1, data[random(data.length)], 0);
          return kbc.commandPort.read(0, 1, 0);
        case 3:
          kbc.keyboard.sendScancode(random(128));
          kbc.mouse.move(random(600) - 300, random(600) - 300, random(8) - 4, random(32));
          kbc.poll();
          return undefined;
        default:
          return kbc.dataPort.read(0, 1, 0);
      }
    };
    return { device: kbc, lines: [rig.irq, mouseIrq], act };
  },
  smbus: () => {
    const smbus = new Smbus();
    return { device: smbus, lines: [], act: ports([[smbus, 16, BYTE]]) };
  },
  'system-control': () => {
    const control = new SystemControl(() => {});
    const handlers: [PioHandler, number, readonly IoSize[]][] = [
      control.postPort,
      control.portA,
      control.resetPort,
    ].map((handler) => [handler, 1, BYTE]);
    return { device: control, lines: [], act: ports(handlers) };
  },
  'fw-cfg': () => {
    const fwCfg = new FwCfg();
    fwCfg.addFile('etc/test', Uint8Array.of(1, 2, 3, 4, 5));
    const act: Subject['act'] = (random) => {
      if (random(8) === 0) fwCfg.ports.write(0, 2, [0, 1, 0x19, 0x20, 0x77][random(5)], 0);
      return fwCfg.ports.read(1, 1, 0);
    };
    return { device: fwCfg, lines: [], act };
  },
  'pci-function': (rig) => {
    const bus = new Bus();
    const pci = new PciFunction(bus, { vendor: 1, device: 2, classCode: 0x20000, interruptPin: 1 });
    pci.addBar({ index: 0, kind: 'io', size: 32, handler: { read: () => 0x5a, write() {} } });
    pci.connect(rig.irq);
    const act: Subject['act'] = (random) => {
      if (random(3) === 0) pci.setIntx(random(2) === 0);
      if (random(3) === 0) pci.write(PCI_COMMAND, 2, random(0x10000) & COMMAND_WRITABLE);
      if (random(3) === 0) pci.write(0x10, 4, random(8) * 0x100);
      return [pci.read(random(64) * 4, 4), bus.pio.read(random(8) * 0x100, 1)];
    };
    return { device: pci, lines: [rig.irq], act };
  },
};

/** Random use with time passing. */
function use(rig: DeviceRig, subject: Subject, seed: number): unknown[] {
  const random = randomSource(seed);
  const seen: unknown[] = [];
  for (let n = 0; n < ACTIONS; n++) {
    seen.push(subject.act(random));
    if (random(3) === 0) rig.advance(random(2) === 0 ? random(5000) : random(LONGEST_STEP_NS));
    seen.push(subject.lines.map(({ level, edges }) => [level, edges]));
  }
  return seen;
}

function copyOf(make: Make, rig: DeviceRig, state: unknown): [DeviceRig, Subject] {
  const other = new DeviceRig();
  other.clock.ns = rig.clock.ns;
  const subject = make(other);
  subject.device.restore(JSON.parse(JSON.stringify(state ?? null)));
  return [other, subject];
}

for (const [name, make] of Object.entries(SUBJECTS)) {
  test(`${name}: a restored one goes on as the saved one does`, () => {
    for (const seed of SEEDS) {
      const rig = new DeviceRig();
      const original = make(rig);
      use(rig, original, seed);
      const state = original.device.save();
      assert.equal(state.kind, name);
      const [other, copy] = copyOf(make, rig, state);
      assert.deepEqual(copy.device.save(), state, `seed ${seed}`);
      for (const [n, line] of copy.lines.entries()) {
        assert.equal(line.level, original.lines[n].level, `seed ${seed}, line ${n}`);
        line.edges = original.lines[n].edges;
      }
      assert.deepEqual(use(other, copy, seed + 100), use(rig, original, seed + 100), `seed ${seed}`);
      assert.deepEqual(copy.device.save(), original.device.save(), `seed ${seed}`);
    }
  });

  test(`${name}: what it could not have saved is refused`, () => {
    const rig = new DeviceRig();
    const subject = make(rig);
    use(rig, subject, 7);
    const state = subject.device.save();
    const restore = (value: unknown): void => void copyOf(make, rig, value);
    assert.throws(() => restore(undefined), StateError);
    assert.throws(() => restore({ ...state, kind: 'other' }), StateError);
    const later = state.version + 1;
    const refusal = new RegExp(`version ${later} and this program reads version ${state.version}`);
    assert.throws(() => restore({ ...state, version: later }), refusal);
    for (const key of Object.keys(state)) {
      const { [key as 'kind']: _gone, ...rest } = state;
      assert.throws(() => restore(rest), StateError, `without ${key}`);
      for (const bad of [-1e30, 0.5, 'x', [], [1e9], {}, true, 2 ** 60]) {
        const value = { ...state, [key]: bad };
        try {
          restore(value);
        } catch (error) {
          assert.ok(error instanceof StateError, `${key}: ${String(error)}`);
          assert.match(error.message, /^the saved state of|^a saved state of/);
          continue;
        }
        // What is taken over was a value of the right kind, and the device works on.
        assert.ok(
          bad === true || Array.isArray(bad) || bad === 2 ** 60 || bad === 0.5 || bad === -1e30,
          `${key}: ${bad}`,
        );
        const [other, copy] = copyOf(make, rig, value);
        use(other, copy, 8);
      }
    }
  });
}
