// Compares the interpreter and the translator with the slow evaluator: on single random instructions, or on random programs
// with branches, calls, loops and faults in every mode, until so many instructions have been executed.
//   node tools/judge-evaluators.mjs [--count N | --programs [--instructions N]] [--seed S] [--show N]
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
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
/** A process keeps what it has compiled until it collects garbage, which it hardly ever does: so many, and a new one. */
const SLICE = 500_000;
/** A judgement of so many instructions has regions of several pages. */
const ENOUGH = 200_000;
const seed = Number(options.seed);
const wanted = Number(options.instructions);
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
  const result = comparePrograms(wanted, seed, progress);
  for (const [mode, executed] of Object.entries(result.byMode)) console.log(`${mode}: ${executed} instructions`);
  const ends = [...result.vectors].sort(([a], [b]) => a - b).map(([stub, count]) => `${(stub - STUBS) >> 4}: ${count}`);
  console.log(
    `ended by vectors ${ends.join(', ')}; ${result.regions} regions translated, ${result.wideRegions} of several pages, ${result.restoredRegions} found again`,
  );
  // Enough programs call functions of other pages: without such regions they were not judged.
  if (wanted >= ENOUGH && result.wideRegions === 0)
    result.wrong.push('translator, no region of several pages was made');
  if (wanted >= ENOUGH && result.restoredRegions === 0) result.wrong.push('translator, no region was found again');
  report(result.wrong, `${result.executed} instructions of ${result.programs} programs`);
}

/** The same in processes one after another, each with the next seed. */
function slices() {
  const byMode = {};
  const wrong = [];
  let executed = 0;
  let count = 0;
  for (let n = 0; executed < wanted; n++) {
    const part = Math.min(SLICE, wanted - executed);
    const args = ['--programs', '--instructions', String(part), '--seed', String(seed + n), '--show', options.show];
    const { stdout } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args], { encoding: 'utf8' });
    const last = /(\d+) instructions of (\d+) programs compared/.exec(stdout);
    if (last === null) throw new Error(`seed ${seed + n}: ${stdout}`);
    executed += Number(last[1]);
    count += Number(last[2]);
    for (const [, mode, own] of stdout.matchAll(/^(\S.*): (\d+) instructions$/gm))
      byMode[mode] = (byMode[mode] ?? 0) + Number(own);
    wrong.push(
      ...stdout
        .split('\n')
        .filter((line) => /^(interpreter|translator), /.test(line))
        .map((line) => `seed ${seed + n}: ${line}`),
    );
    console.log(`${executed} instructions of ${count} programs, ${wrong.length} differ (seed ${seed + n})`);
  }
  for (const [mode, own] of Object.entries(byMode)) console.log(`${mode}: ${own} instructions`);
  report(wrong, `${executed} instructions of ${count} programs`);
}

function singles() {
  const { compared, wrong } = compareCases(Number(options.count), seed);
  report(wrong, `${compared}`);
}

function report(wrong, what) {
  for (const text of wrong.slice(0, Number(options.show))) console.log(text);
  console.log(`judge-evaluators: ${what} compared, ${wrong.length} differ`);
  process.exitCode = wrong.length > 0 ? 1 : 0;
}

if (!options.programs) singles();
else if (wanted > SLICE) slices();
else programs();
