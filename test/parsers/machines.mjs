// Whole machines of damaged files: loaded, and run for a moment, so that a guest of garbage harms no host. Files are
// kernels, ROMs and saved states.
import { readFileSync } from 'node:fs';
import { BadImageError, StateError } from '../../dist/base/errors.js';
import { Engines } from '../../dist/engines.js';
import { checkFirmware } from '../../dist/machine/boot/firmware.js';
import { ControlBlock } from '../../dist/machine/control-block.js';
import { openState, readFiles, readRam, readState } from '../../dist/machine/saved-state.js';
import { VirtualMachine } from '../../dist/machine/virtual-machine.js';
import { testRom } from '../guest/firmware-rom.mjs';
import { mutateBytes, mutateJson, mutateSections, savedMachine } from '../guest/saved-state-mutations.mjs';
import { GUEST_RAM, KERNELS, mutateKernel } from './images.mjs';
import { mutate, text } from './mutate.mjs';

const runtime = new WebAssembly.Module(readFileSync(new URL('../../dist/runtime.wasm', import.meta.url)));
/** The loop looks at the clock at least once an entry, which takes half a millisecond: so long a guest runs here. */
const LOOKS = 60;
const LOOK_NS = 2000;
const MOST_MEMORY = 64 << 20;

export function machine(options, random) {
  const control = new ControlBlock();
  let looks = 0;
  const now = () => {
    if (++looks > LOOKS) control.stop();
    return looks * LOOK_NS;
  };
  const host = {
    now,
    wallClockMs: 0,
    makeEngine: (ramBytes, firmware, virtualNow) =>
      new Engines(
        { name: 'dbt', ramBytes, firmware, switchable: false, runtime, virtualNow },
        // The engine measures how fast it is: by real time, or its slices grow without end.
        { now: () => performance.now() * 1e6, random: () => random(0xffffffff) },
      ),
    engineChanged() {},
    serial() {},
    debugcon() {},
    held() {},
    state() {},
  };
  // A halted guest waits on the control block for real time, which does not pass here.
  control.sleep = () => control.stop();
  return new VirtualMachine({ memoryBytes: GUEST_RAM, ...options }, control, host);
}

/** Runs a machine to its end; how it ended must be something that the command can tell. */
function runMachine(vm) {
  const { reason, exitCode } = vm.run();
  if (typeof reason !== 'string' || !Number.isInteger(exitCode)) throw new RangeError(`ended as ${reason} ${exitCode}`);
}

const ROM = testRom();
const names = Object.keys(KERNELS);

let saved;
async function savedFile() {
  saved ??= await savedMachine();
  return saved;
}

async function readWhole(file) {
  const opened = openState(file);
  if (opened.head.memoryBytes > MOST_MEMORY) throw new StateError('more memory than this test has');
  readState(opened);
  await readFiles(opened);
  await readRam(opened, new Uint8Array(opened.head.memoryBytes));
  return opened;
}

const mutateState = (file, random) => [mutateBytes, mutateSections, mutateJson, mutateJson][random(4)](file, random);

export const MACHINE_PARSERS = [
  {
    name: 'ROM',
    input: (random) =>
      mutate(random(2) === 0 ? ROM : new Uint8Array(random(5) * 65536), random, [
        [0xfff0, 4],
        [0xfff4, 4],
      ]),
    run: (rom) => checkFirmware(rom, 'rom'),
  },
  {
    name: 'saved state',
    input: async (random) => mutateState(await savedFile(), random),
    run: async (file) => void (await readWhole(file)),
  },
  {
    name: 'run: kernel',
    slow: true,
    input: (random) => mutateKernel(names[random(names.length)], random),
    run: (kernel, random) => {
      const modules = Array.from({ length: random(3) }, () => ({
        data: new Uint8Array(random(9000)),
        args: '',
        name: 'm',
      }));
      runMachine(machine({ kernel, modules, noReboot: random(2) === 0 }, random));
    },
  },
  {
    name: 'run: kernel of noise',
    slow: true,
    input: (random) => {
      const kernel = Uint8Array.from(KERNELS[names[random(names.length)]].file);
      const start = kernel.length > 0x1080 ? 0x1020 : 0x600;
      for (let at = start; at < kernel.length; at++) kernel[at] = random(256);
      return kernel;
    },
    run: (kernel, random) => runMachine(machine({ kernel, noReboot: random(2) === 0 }, random)),
  },
  {
    name: 'run: ROM',
    slow: true,
    input: (random) => {
      // Whole granules: everything else is refused, which is tried above.
      const rom = Uint8Array.from(ROM);
      if (random(3) === 0) for (let at = 0; at < rom.length; at++) rom[at] = random(256);
      const damaged = mutate(rom, random, [
        [0xfff0, 4],
        [0xfff1, 2],
      ]);
      rom.set(damaged.subarray(0, rom.length));
      return rom;
    },
    run: (firmware, random) => {
      if (firmware.length % 65536 !== 0) throw new BadImageError('no ROM, as was tried before');
      const kernel =
        random(2) === 0 ? { kernel: mutateKernel('bzImage', random), append: text(random, ['a', ' ']) } : {};
      // Without --no-reboot a ROM may start for ever; the looks at the clock end that too.
      runMachine(machine({ firmware, ...kernel, noReboot: random(2) === 0 }, random));
    },
  },
  {
    name: 'run: saved state',
    slow: true,
    input: async (random) => mutateState(await savedFile(), random),
    run: async (file, random) => {
      const opened = openState(file);
      if (opened.head.memoryBytes > MOST_MEMORY) throw new StateError('more memory than this test has');
      const vm = machine({ ...(await readFiles(opened)), memoryBytes: undefined, noReboot: true }, random);
      await vm.load(file);
      runMachine(vm);
    },
  },
];
