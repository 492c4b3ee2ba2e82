/**
 * npm run bench: the same kernel and programs in Trapeze, in QEMU's translator (TCG) and natively, side by side.
 * Rounds are interleaved, so that a slower minute of the host meets all of them. docs/benchmarks.md tells the method.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BenchError, buildGuest, need } from './build.mjs';
import { costGoals, costRows, costsTable, runCosts } from './costs.mjs';
import { bootToShell, clockDrift, runNative, runWorks } from './machines.mjs';
import { goals, goalsTable, machineTable, median, summarize, worksTable } from './report.mjs';
import { WORKS } from './works.mjs';

const USAGE = `usage: npm run bench -- [--runs N] [--only NAME,NAME…] [--no-qemu] [--write] [--json] [--stats FILE]
  --runs N       rounds; medians are shown (3)
  --only NAMES   works by name or class (c, shell, kernel), and boot, idle, drift, costs; all without it
  --no-qemu      do not run QEMU; there are no speed-ups then
  --repeats N    runs of each work in one boot; the first counts, the best later one is shown beside it (1)
  --clock cpu    compare CPU time of the busiest thread, not the guest's own clock: for a host that is not idle
  --kernel FILE  another kernel than Debian's cloud kernel
  --budget MIN   starts no round that would end after so many minutes (14)
  --write        puts the tables into docs/benchmarks.md
  --json         prints everything as JSON
  --stats FILE   statistics of Trapeze's last run of the works into a file`;

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DOCUMENT = join(ROOT, 'docs/benchmarks.md');
const EXTRAS = ['boot', 'idle', 'drift', 'costs'];
const DRIFT_SECONDS = 60;
const BUSY_LOAD = 0.7;

async function main() {
  const options = readOptions();
  if (options === undefined) return 0;
  const started = performance.now();
  const dist = join(ROOT, 'dist');
  if (!existsSync(join(dist, 'cli/main.js'))) throw new BenchError('dist/ is not there; run: npm run build');
  const needsGuest = options.works.length > 0 || options.boot || options.idle || options.drift;
  if (needsGuest) need('gcc', '');
  if (options.qemu) need('qemu-system-x86_64', ', or leave it out with --no-qemu');
  const loadAtStart = loadavg()[0];
  if (loadAtStart > BUSY_LOAD) {
    console.error(
      `bench: this host is busy (load ${loadAtStart.toFixed(2)}); times will not mean much, see --clock cpu`,
    );
  }

  const directory = mkdtempSync(join(tmpdir(), 'trapeze-bench-'));
  try {
    const context = { dist, directory, statsFile: options.stats, onProgress: progress };
    const files = needsGuest ? await buildGuest(dist, directory, options) : undefined;
    const measured = await measure(options, files, context, started);
    const rows = summarize(options.works, measured.rounds, options.clock);
    const machines = machineMedians(measured);
    const list = goals(rows, machines, options.clock);
    const costs = measured.costs.trapeze.length > 0 ? await costRows(measured.costs, context) : [];
    const costList = costGoals(costs);
    const conditions = describe(options, files, measured, started, loadAtStart);
    const failures = measured.failures.map((text) => `**Failed:** ${text}`);
    const parts = {
      measured: needsGuest && [
        ...(rows.length > 0 ? [worksTable(rows, { warm: options.repeats > 1 })] : []),
        machineTable(machines),
        ...(list.length > 0 ? [goalsTable(list)] : []),
      ],
      costs: costs.length > 0 && [costsTable(costs), goalsTable(costList)],
    };
    clearProgress();
    const report = { conditions, rows, machines, goals: [...list, ...costList], costs, measured };
    const tables = Object.values(parts).flatMap((part) => part || []);
    console.log(options.json ? JSON.stringify(report, null, 1) : [conditions, ...tables, ...failures].join('\n\n'));
    for (const [name, part] of options.write ? Object.entries(parts) : []) {
      if (part) writeDocument(name, [conditions, ...part, ...failures].join('\n\n'));
    }
    const wrong = rows.some((row) => !row.checksumsEqual || row.missing.length > 0);
    return wrong || measured.failures.length > 0 ? 1 : 0;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '3' },
      only: { type: 'string', multiple: true },
      'no-qemu': { type: 'boolean', default: false },
      repeats: { type: 'string', default: '1' },
      clock: { type: 'string', default: 'own' },
      kernel: { type: 'string' },
      budget: { type: 'string', default: '14' },
      write: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      stats: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return undefined;
  }
  const number = (name) => {
    if (!/^[1-9]\d{0,2}$/.test(values[name])) throw new BenchError(`--${name} wants a whole number above 0`);
    return Number(values[name]);
  };
  if (!['own', 'cpu'].includes(values.clock)) throw new BenchError('--clock is own or cpu');
  const only = values.only?.flatMap((text) => text.split(','));
  const known = new Set([...WORKS.flatMap((work) => [work.name, work.kind]), ...EXTRAS]);
  for (const name of only ?? []) if (!known.has(name)) throw new BenchError(`--only: there is no "${name}"`);
  const wanted = (name) => only === undefined || only.includes(name);
  return {
    runs: number('runs'),
    repeats: number('repeats'),
    budgetMs: number('budget') * 60_000,
    clock: values.clock,
    kernel: values.kernel,
    qemu: !values['no-qemu'],
    write: values.write,
    json: values.json,
    stats: values.stats,
    works: WORKS.filter((work) => wanted(work.name) || wanted(work.kind)),
    ...Object.fromEntries(EXTRAS.map((name) => [name, wanted(name)])),
  };
}

/** All rounds: {rounds: {native, tcg, trapeze}, boots, drifts, costs, failures}. */
async function measure(options, files, context, started) {
  const guests = options.qemu ? ['tcg', 'trapeze'] : ['trapeze'];
  const empty = () => Object.fromEntries(guests.map((machine) => [machine, []]));
  const measured = {
    rounds: { native: [], ...empty() },
    boots: empty(),
    drifts: {},
    costs: empty(),
    failures: [],
    done: 0,
  };
  const note = (machine, result) => {
    if (result.failure !== undefined) measured.failures.push(`${machine}: ${result.failure}`);
    return result;
  };
  // Once each: the clock's drift over a minute.
  for (const machine of options.drift ? guests : []) {
    progress(`${machine}: a minute of load`);
    measured.drifts[machine] = note(machine, await clockDrift(machine, files, DRIFT_SECONDS, context));
  }
  let longest = 0;
  for (let round = 0; round < options.runs; round += 1) {
    const at = performance.now();
    if (round > 0 && at - started + longest > options.budgetMs) break;
    if (options.works.length > 0) {
      measured.rounds.native.push(await runNative(files, options.works, options.repeats, context));
    }
    // Turn about, so that neither is always the first.
    for (const machine of round % 2 === 0 ? guests : guests.toReversed()) {
      if (options.works.length > 0 || options.boot) {
        const result = await runWorks(machine, files, options.works, options.repeats, context);
        measured.rounds[machine].push(note(machine, result));
      }
      if (options.boot || options.idle) {
        progress(`${machine}: boot to the shell`);
        const idle = options.idle && round === 0;
        measured.boots[machine].push(note(machine, await bootToShell(machine, files, idle, context)));
      }
    }
    for (const machine of options.costs ? (round % 2 === 0 ? guests : guests.toReversed()) : []) {
      progress(`${machine}: what traps cost`);
      measured.costs[machine].push(await runCosts(machine, context));
    }
    measured.done += 1;
    longest = Math.max(longest, performance.now() - at);
  }
  return measured;
}

function machineMedians({ rounds, boots, drifts }) {
  const machines = {};
  for (const machine of Object.keys(boots)) {
    const of = (list, name) => median(list.map((entry) => entry[name] ?? Number.NaN));
    machines[machine] = {
      initMs: of(rounds[machine], 'initMs'),
      initCpuMs: of(rounds[machine], 'initCpuMs'),
      suitePeakMiB: of(rounds[machine], 'peakMiB'),
      suiteCpuSeconds: of(rounds[machine], 'cpuSeconds'),
      shellMs: of(boots[machine], 'shellMs'),
      shellCpuMs: of(boots[machine], 'shellCpuMs'),
      peakMiB: of(boots[machine], 'peakMiB'),
      idlePercent: of(boots[machine], 'idlePercent'),
      driftPercent: drifts[machine]?.driftPercent ?? Number.NaN,
    };
  }
  return machines;
}

function describe(options, files, measured, started, loadAtStart) {
  const qemu = options.qemu ? `${firstLine('qemu-system-x86_64')}; ` : '';
  const clocks = Object.keys(measured.boots).map(
    (machine) => `${machine} ${measured.rounds[machine][0]?.clocksource ?? '-'}`,
  );
  return [
    `Measured ${new Date().toISOString().slice(0, 10)} on ${cpus().length} processors ${cpus()[0]?.model.trim()}, `,
    `Linux ${release()}, load ${loadAtStart.toFixed(2)} before and ${loadavg()[0].toFixed(2)} after; Node ${process.version}; `,
    ...(files === undefined
      ? [`${qemu}${measured.done} of ${options.runs} rounds, medians, ± half the range; `]
      : [
          `${qemu}${firstLine('gcc')}. Guest: ${files.kernelName || 'a kernel of choice'}, 512 MB, 1 vCPU; clock sources: ${clocks.join(', ')}. `,
          `${measured.done} of ${options.runs} rounds, medians, ± half the range; `,
          `${options.clock === 'cpu' ? 'CPU time of the busiest thread (boots: of all threads)' : "the guest's own clock"}; `,
        ]),
    `${((performance.now() - started) / 60_000).toFixed(1)} minutes in all.`,
    ...wrongClocks(measured),
  ].join('');
}

/** A sentence for each machine whose guest kept wrong time in some boot. */
function wrongClocks({ rounds }) {
  return Object.entries(rounds).flatMap(([machine, list]) => {
    const wrong = list.filter((round) => round.clock === 'corrected');
    if (wrong.length === 0) return [];
    const speeds = wrong.map((round) => round.clockSpeed.toFixed(2)).join(', ');
    return [` The guest's clock in ${machine} went at ${speeds} of the true speed; those times are corrected.`];
  });
}

function firstLine(program) {
  return execFileSync(program, ['--version'], { encoding: 'utf8' }).split('\n')[0].trim();
}

/** Between the markers of that name. */
function writeDocument(name, tables) {
  const text = readFileSync(DOCUMENT, 'utf8');
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new BenchError(`docs/benchmarks.md has lost its markers of ${name}`);
  writeFileSync(DOCUMENT, `${text.slice(0, from + begin.length)}\n${tables}\n${text.slice(to)}`);
  console.error(`bench: wrote ${name} into docs/benchmarks.md`);
}

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function clearProgress() {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof BenchError) && !String(error.code).startsWith('ERR_PARSE_ARGS')) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 2;
}
