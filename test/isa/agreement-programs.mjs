// Runs the same random programs in every mode on the slow evaluator, the interpreter and the translator, and names what differs.
import { disassemble } from '../../dist/x86/disassemble.js';
import { disagreement, EngineEvaluator, SlowEvaluator } from './evaluators.mjs';
import { randomSource } from './forms.mjs';
import { KeptRegions } from './kept-regions.mjs';
import { listing, pointTo, randomProgram, spreadProgram } from './programs.mjs';
import { WORLDS } from './worlds.mjs';

/** More than any program takes. */
const LIMIT = 100_000;
/** The translator's runs: cold, hot, translated. */
const RUNS = 3;
/** Blocks get hot when their links have been made: regions take functions of other pages along. */
const LATER = 12;

/** x87 masked in some precision and rounding, MXCSR masked in some rounding, registers anything. */
function randomFx(r) {
  const fxsave = Uint8Array.from({ length: 512 }, () => r.below(256));
  const view = new DataView(fxsave.buffer);
  view.setUint16(0, 0x7f | (r.pick([0, 2, 3]) << 8) | (r.below(4) << 10), true);
  view.setUint16(2, r.below(8) << 11, true);
  fxsave[4] = r.below(2) ? 255 : r.below(256);
  view.setUint32(24, 0x1f80 | (r.below(4) << 13), true);
  return fxsave;
}

function randomRegisters(r, world) {
  const gpr = Array.from({ length: 16 }, () => (r.below(3) ? r.big() : BigInt(r.below(300))));
  pointTo(gpr, world, r);
  return { gpr, flags: BigInt(0x202 | (r.next() & 0x8d5)), fxsave: randomFx(r) };
}

/**
 * Until the slow evaluator has executed so many instructions; `progress` hears of the count now and then. Gives the count by
 * mode, and what differs.
 */
export function comparePrograms(instructions, seed, progress = () => {}) {
  const r = randomSource(seed);
  const slow = new SlowEvaluator();
  const engines = [
    ['interpreter', new EngineEvaluator(0), 1],
    ['translator', new EngineEvaluator(1), RUNS],
  ];
  const kept = new KeptRegions();
  const wide = new EngineEvaluator(LATER, kept);
  // Finds what that one has made.
  const again = new EngineEvaluator(LATER, kept);
  const evaluators = [
    ...engines,
    ['translator of several pages', wide, RUNS],
    ['translator that finds regions', again, RUNS],
  ];
  const byMode = Object.fromEntries(Object.keys(WORLDS).map((name) => [name, 0]));
  const vectors = new Map();
  const wrong = [];
  let programs = 0;
  while (slow.steps < instructions) {
    const name = Object.keys(WORLDS)[programs++ % Object.keys(WORLDS).length];
    const world = WORLDS[name];
    const isSpread = world.bits === 64 && r.below(2) === 0;
    const program = isSpread ? spreadProgram(r, world) : randomProgram(r, world);
    const data = Uint8Array.from({ length: 0x1ff0 }, () => r.below(256));
    const registers = randomRegisters(r, world);
    const before = slow.steps;
    slow.start(world, program, data, registers);
    const stop = slow.run(LIMIT);
    byMode[name] += slow.steps - before;
    if (stop === undefined) continue;
    vectors.set(stop, (vectors.get(stop) ?? 0) + 1);
    for (const [engine, evaluator, runs] of isSpread ? evaluators : engines) {
      const what = firstDifference(slow, stop, evaluator, runs, [world, program, data, registers]);
      if (what === '') continue;
      const text = Buffer.from(program).toString('hex');
      wrong.push(
        `${engine}, ${name}, program ${programs}: ${what}; ${text} ${listing(program, world.bits, disassemble)}`,
      );
    }
    progress(slow.steps, programs, wrong.length);
  }
  return {
    executed: slow.steps,
    programs,
    byMode,
    vectors,
    wrong,
    regions: engines[1][1].regions,
    wideRegions: wide.wideRegions,
    restoredRegions: again.restoredRegions,
  };
}

function firstDifference(slow, stop, evaluator, runs, what) {
  for (let n = 1; n <= runs; n++) {
    try {
      evaluator.start(...what);
      const stopped = evaluator.run();
      const found =
        stopped === stop ? disagreement(slow, evaluator) : `stops at ${stop.toString(16)} ${stopped.toString(16)}`;
      if (found !== '') return `${found} (run ${n})`;
    } catch (error) {
      return String(error.message).slice(0, 200);
    }
  }
  return '';
}
