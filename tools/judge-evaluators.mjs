// Compares the interpreter and the translator with the slow evaluator: on single random instructions, or on random programs
// with branches, calls, loops and faults in every mode, until so many instructions have been executed.
//   node tools/judge-evaluators.mjs [--count N | --programs [--instructions N]] [--seed S] [--show N]
import { parseArgs } from 'node:util';
import { compareCases } from '../test/isa/agreement.mjs';
import { comparePrograms } from '../test/isa/agreement-programs.mjs';
import { STUBS } from '../test/isa/worlds.mjs';

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '5000' },
    seed: { type: 'string', default: '1' },
    show: { type: 'string', default: '10' },
    programs: { type: 'boolean', default: false },
    instructions: { type: 'string', default: '100000' },
  },
});
const PROGRESS_MS = 30_000;
const seed = Number(options.seed);
console.log(`seed ${seed}`);

function programs() {
  const started = performance.now();
  let told = started;
  const progress = (executed, count, wrong) => {
    if (performance.now() - told < PROGRESS_MS) return;
    told = performance.now();
    const rate = (executed / (told - started)).toFixed(1);
    console.log(`${executed} instructions of ${count} programs, ${wrong} differ, ${rate} thousand a second`);
  };
  const result = comparePrograms(Number(options.instructions), seed, progress);
  for (const [mode, executed] of Object.entries(result.byMode)) console.log(`${mode}: ${executed} instructions`);
  const ends = [...result.vectors].sort(([a], [b]) => a - b).map(([stub, count]) => `${(stub - STUBS) >> 4}: ${count}`);
  console.log(`ended by vectors ${ends.join(', ')}; ${result.regions} regions translated`);
  return [result.wrong, `${result.executed} instructions of ${result.programs} programs`];
}

function singles() {
  const { compared, wrong } = compareCases(Number(options.count), seed);
  return [wrong, `${compared}`];
}

const [wrong, what] = options.programs ? programs() : singles();
for (const text of wrong.slice(0, Number(options.show))) console.log(text);
console.log(`judge-evaluators: ${what} compared, ${wrong.length} differ`);
process.exitCode = wrong.length > 0 ? 1 : 0;
