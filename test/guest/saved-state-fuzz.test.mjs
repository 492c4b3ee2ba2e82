// Truncated, mutated and made-up saved states: each is refused with one sentence, or is a machine that runs and stops when
// told. SAVED_STATE_FUZZ_SECONDS=3600 lets every test go on for that long, with other seeds each time.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Engines } from '../../dist/engines.js';
import { ControlBlock } from '../../dist/machine/control-block.js';
import { loadCpu, saveCpu } from '../../dist/machine/saved-cpu.js';
import { openState, readFiles, readRam, readState } from '../../dist/machine/saved-state.js';
import { readJson, readSections } from '../../dist/machine/saved-state-file.js';
import { VirtualMachine } from '../../dist/machine/virtual-machine.js';
import { StateError, TrapezeError } from '../../dist/node.js';
import { makeEngine } from '../engine/engines.mjs';
import { mutate, mutateBytes, mutateJson, mutateSections, savedMachine } from './saved-state-mutations.mjs';

const SECONDS = Number(process.env.SAVED_STATE_FUZZ_SECONDS ?? 0);
const SEED = SECONDS > 0 ? (Date.now() & 0x7fffffff) >>> 0 : 1;
const RAM_BYTES = 4 << 20;
const ANSWER_MS = 20_000;
const runtime = new WebAssembly.Module(readFileSync(new URL('../../dist/runtime.wasm', import.meta.url)));

/** mulberry32. */
function randomSource(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Runs `round` with a random source each: so many times, or for as long as was asked for. */
async function repeat(t, rounds, round) {
  const until = performance.now() + SECONDS * 1000;
  let done = 0;
  let refused = 0;
  for (; SECONDS > 0 ? performance.now() < until : done < rounds; done++) {
    const seed = SEED + done;
    const began = performance.now();
    try {
      await round(randomSource(seed));
    } catch (error) {
      if (!(error instanceof TrapezeError)) throw new Error(`seed ${seed}: ${error.stack}`, { cause: error });
      assert.match(error.message, /^[^\n]{10,400}$/, `seed ${seed}`);
      assert.notEqual(error.code, 'internal', `seed ${seed}`);
      refused++;
    }
    const took = performance.now() - began;
    assert.ok(took < ANSWER_MS, `seed ${seed} took ${took} ms`);
  }
  t.diagnostic(`${done} states, ${refused} refused`);
  return { done, refused };
}

const FILE = await savedMachine();

async function read(file) {
  const opened = openState(file);
  if (opened.head.memoryBytes > 64 << 20) throw new StateError('more memory than this test has');
  readState(opened);
  await readFiles(opened);
  await readRam(opened, new Uint8Array(opened.head.memoryBytes));
}

test('truncated and mutated files are refused or read', { timeout: (SECONDS + 120) * 1000 }, async (t) => {
  await read(FILE);
  const { refused } = await repeat(t, 600, (random) =>
    read([mutateBytes, mutateBytes, mutateSections][random(3)](FILE, random)),
  );
  assert.ok(refused > 0);
});

test('files of noise behind a good start', { timeout: (SECONDS + 60) * 1000 }, async (t) => {
  await repeat(t, 200, (random) => {
    const bytes = Uint8Array.from({ length: random(3000) }, () => random(256));
    bytes.set(FILE.subarray(0, Math.min(bytes.length, random(200))));
    return read(bytes);
  });
});

test('a processor of any saved state runs without harm to its host', { timeout: (SECONDS + 120) * 1000 }, async (t) => {
  const { vcpu, ram } = makeEngine('dbt', RAM_BYTES, { hotThreshold: 30 });
  const good = JSON.stringify(readJson(readSections(FILE)[1]));
  const { done, refused } = await repeat(t, 3000, async (random) => {
    const saved = JSON.parse(good);
    for (let count = 1 + random(4); count > 0; count--) mutate(saved, random);
    const cpu = loadCpu(saved);
    // Two of three in memory of noise: page tables and code that make no sense.
    if (random(3) > 0) for (let n = 0; n < 4096; n++) ram[random(RAM_BYTES)] = random(256);
    vcpu.load(cpu);
    const again = saveCpu(vcpu.save());
    for (const key of ['gpr', 'rip', 'rflags', 'segments', 'cr0', 'cr3', 'cr4', 'efer', 'dr', 'pdptes', 'fpuCs']) {
      // Absent PDPTE registers are taken from memory.
      if (saved[key] !== null) assert.deepEqual(again[key], saveCpu(cpu)[key], key);
    }
    let answer = 0n;
    for (let entries = 0; entries < 12; entries++) {
      const vector = vcpu.interruptible && random(8) === 0 ? random(256) : undefined;
      const exit = vcpu.run({ answer, vector, requestInterruptWindow: random(4) === 0, sliceNs: 5000, settle: false });
      answer = random(5) === 0 && /msr/.test(exit.kind) ? 'refused' : BigInt(random(0xffffffff));
      if (exit.kind === 'shutdown') break;
    }
    vcpu.save();
  });
  assert.ok(refused > 0 && refused < done, `${refused} of ${done}`);
});

test('a machine of any saved state stops when told', { timeout: (SECONDS + 300) * 1000 }, async (t) => {
  await repeat(t, 120, async (random) => {
    const file = random(8) === 0 ? FILE : mutateJson(FILE, random);
    const opened = openState(file);
    if (opened.head.memoryBytes > 64 << 20) throw new StateError('more memory than this test has');
    const control = new ControlBlock();
    let looks = 0;
    const now = () => {
      // The loop looks at the clock once an entry: that is how long the guest runs here.
      if (++looks > 3000) control.stop();
      return looks * 2000;
    };
    const host = {
      now,
      wallClockMs: 0,
      makeEngine: (ramBytes, firmware, virtualNow) =>
        new Engines(
          { name: 'dbt', ramBytes, firmware, switchable: false, runtime, virtualNow },
          { now, random: () => random(0xffffffff) },
        ),
      engineChanged() {},
      serial() {},
      debugcon() {},
      held() {},
      state() {},
    };
    const vm = new VirtualMachine({ ...(await readFiles(opened)), noReboot: true }, control, host);
    await vm.load(file);
    // A halted guest waits on the control block for real time, which does not pass here.
    control.sleep = () => control.stop();
    vm.run();
  });
});
