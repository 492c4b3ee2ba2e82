/**
 * npm run bench: the same kernel and programs in Trapeze, in QEMU's translator (TCG) and natively, side by side.
 * Rounds are interleaved, so that a slower minute of the host meets all of them. docs/benchmarks.md tells the method.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build32, buildGuest, need, needMultilib } from './build.mjs';
import { costGoals, costRows, costsTable, runCosts } from './costs.mjs';
import { bootToShell, clockDrift, runNative, runWorks } from './machines.mjs';
import { newestNode } from './newest-node.mjs';
import { readOptions } from './options.mjs';
import { BenchError } from './problem.mjs';
import { goals, goalsTable, machineTable, median, stallsLine, summarize, worksTable } from './report.mjs';
import { runStability, stabilityGoals, stabilityTable } from './stability.mjs';
import { goals32, rows32, runRound32, table32, v86Package } from './v86.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DOCUMENT = join(ROOT, 'docs/benchmarks.md');
const CLOCK_NAMES = {
  own: "the guest's own clock",
  cpu: 'CPU time of the busiest thread (boots: of all threads)',
};
const DRIFT_SECONDS = 60;
const BUSY_LOAD = 0.7;

async function main() {
  const options = readOptions();
  if (options === undefined) return 0;
  if (options.node !== undefined) return runByNode(options.node);
  const started = performance.now();
  const dist = join(ROOT, 'dist');
  if (!existsSync(join(dist, 'cli/main.js'))) throw new BenchError('dist/ is not there; run: npm run build');
  const needsGuest = options.works.length > 0 || options.boot || options.idle || options.drift || options.stability;
  const hasRounds = options.works.length > 0 || options.boot || options.idle || options.drift;
  if (needsGuest || options.v86) need('gcc', '');
  if (options.v86) needMultilib();
  if (options.qemu && (hasRounds || options.costs)) need('qemu-system-x86_64', ', or leave it out with --no-qemu');
  const loadAtStart = loadavg()[0];
  if (loadAtStart > BUSY_LOAD) {
    console.error(
      `bench: this host is busy (load ${loadAtStart.toFixed(2)}); times will not mean much, see --clock cpu`,
    );
  }

  const directory = mkdtempSync(join(tmpdir(), 'trapeze-bench-'));
  try {
    const translations = join(directory, 'translations');
    const context = { dist, directory, translations, statsFile: options.stats, onProgress: progress };
    const files = needsGuest ? await buildGuest(dist, directory, options) : undefined;
    const files32 = options.v86 ? await build32(dist, directory) : undefined;
    if (files32 !== undefined) files32.v86 = v86Package(files32.cache);
    const stability = options.stability ? await runStability(dist, files, options.minutes, progress) : undefined;
    const measured = await measure(options, { files, files32 }, context, started);
    const rows = summarize(options.works, measured.rounds, { clock: options.clock, first: measured.first.rounds });
    const machines = machineMedians(measured);
    const list = goals(rows, machines, options.clock);
    const costs = measured.costs.trapeze.length > 0 ? await costRows(measured.costs, context) : [];
    const costList = costGoals(costs);
    const works32 = rows32(measured.v86, options.clock);
    const goalsOf32 = goals32(works32);
    const goalsOfStability = stability === undefined ? [] : stabilityGoals(stability);
    const conditions = describe(options, files, measured, started, loadAtStart);
    const failures = measured.failures.map((text) => `**Failed:** ${text}`);
    const parts = {
      measured: hasRounds && [
        ...(rows.length > 0 ? [worksTable(rows, { warm: options.repeats > 1 })] : []),
        machineTable(machines),
        ...(machines.trapeze.stalls === undefined ? [] : [stallsLine(machines.trapeze.stalls)]),
        ...(list.length > 0 ? [goalsTable(list)] : []),
      ],
      costs: costs.length > 0 && [costsTable(costs), goalsTable(costList)],
      v86: measured.v86.length > 0 && [
        `v86 ${files32.v86.version} from npm; ${files32.kernelName}.`,
        table32(works32, { warm: options.repeats > 1 }),
        goalsTable(goalsOf32),
      ],
      stability: stability !== undefined && [stabilityTable(stability), goalsTable(goalsOfStability)],
    };
    clearProgress();
    const report = {
      conditions,
      rows,
      machines,
      goals: [...list, ...costList, ...goalsOf32, ...goalsOfStability],
      costs,
      works32,
      stability,
      measured,
    };
    const tables = Object.values(parts).flatMap((part) => part || []);
    console.log(options.json ? JSON.stringify(report, null, 1) : [conditions, ...tables, ...failures].join('\n\n'));
    for (const [name, part] of options.write ? Object.entries(parts) : []) {
      if (part)
        writeDocument(
          [name, options.section].filter(Boolean).join(' '),
          [conditions, ...part, ...failures].join('\n\n'),
        );
    }
    const wrong = [...rows, ...works32].some((row) => !row.checksumsEqual || row.missing.length > 0);
    const unstable = goalsOfStability.some(({ reached }) => !reached);
    return wrong || unstable || measured.failures.length > 0 ? 1 : 0;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** All rounds: {rounds: {native, tcg, trapeze}, boots, drifts, costs, v86, failures}. */
async function measure(options, { files, files32 }, context, started) {
  const guests = options.qemu ? ['tcg', 'trapeze'] : ['trapeze'];
  const empty = () => Object.fromEntries(guests.map((machine) => [machine, []]));
  const measured = {
    rounds: { native: [], ...empty() },
    boots: empty(),
    /** Of Trapeze before the rounds: nothing was kept of these guests. */
    first: { rounds: [], boots: [] },
    drifts: {},
    costs: empty(),
    v86: [],
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
  const hasGuests = options.works.length > 0 || options.boot || options.idle;
  if (hasGuests && options.runs > 0) {
    const { rounds, boots } = measured.first;
    await runGuests('trapeze', options, false, files, context, note, rounds, boots);
  }
  const hasRounds = hasGuests || options.costs || options.v86;
  let longest = 0;
  for (let round = 0; hasRounds && round < options.runs; round += 1) {
    const at = performance.now();
    if (round > 0 && at - started + longest > options.budgetMs) break;
    if (options.works.length > 0) {
      measured.rounds.native.push(await runNative(files, options.works, options.repeats, context));
    }
    // Turn about, so that neither is always the first.
    for (const machine of round % 2 === 0 ? guests : guests.toReversed()) {
      const idle = options.idle && round === 0;
      await runGuests(machine, options, idle, files, context, note, measured.rounds[machine], measured.boots[machine]);
    }
    for (const machine of options.costs ? (round % 2 === 0 ? guests : guests.toReversed()) : []) {
      progress(`${machine}: what traps cost`);
      measured.costs[machine].push(await runCosts(machine, context));
    }
    if (options.v86) {
      progress('32-bit guests');
      const result = await runRound32(files32, round, options.repeats, context);
      for (const machine of ['v86', 'trapeze']) note(`32 bits, ${machine}`, result[machine]);
      measured.v86.push(result);
    }
    measured.done += 1;
    longest = Math.max(longest, performance.now() - at);
  }
  return measured;
}

/** One machine's part of a round: all works, and the boot to the shell. */
async function runGuests(machine, options, idle, files, context, note, rounds, boots) {
  const [tools, plain] = [true, false].map((is) => options.works.filter((work) => (work.needsTools ?? false) === is));
  if (plain.length > 0 || options.boot) {
    rounds.push(note(machine, await runWorks(machine, files, plain, options.repeats, context)));
  }
  // A boot of their own: what the others measure has no large initramfs.
  if (tools.length > 0) {
    const { runs, ...rest } = note(machine, await runWorks(machine, files, tools, options.repeats, context));
    rounds.push({ runs, clock: rest.clock, clockSpeed: rest.clockSpeed });
  }
  if (options.boot || options.idle) {
    progress(`${machine}: boot to the shell`);
    boots.push(note(machine, await bootToShell(machine, files, idle, context)));
  }
}

/** The same command by another Node; its exit status. */
function runByNode(which) {
  const node = which === 'newest' ? newestNode() : which;
  const args = process.argv.slice(2).filter((arg, at, all) => !/^--node(=|$)/.test(arg) && all[at - 1] !== '--node');
  const { status, error } = spawnSync(node, [process.argv[1], ...args], { stdio: 'inherit' });
  if (error !== undefined) throw new BenchError(`--node ${which} cannot be run: ${error.message}`);
  return status ?? 1;
}

function machineMedians({ first, ...measured }) {
  const rounds = { ...measured.rounds, first: first.rounds };
  const boots = { ...measured.boots, first: first.boots };
  const { drifts } = measured;
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
      stalls: drifts[machine]?.stalls,
    };
  }
  return machines;
}

function describe(options, files, measured, started, loadAtStart) {
  const machines = Object.keys(measured.boots).filter((machine) => measured.rounds[machine].length > 0);
  const sources = machines.map(
    (machine) => `${machine} ${measured.rounds[machine].find((round) => round.clocksource)?.clocksource ?? '-'}`,
  );
  const isTimed = machines.length > 0 || measured.v86.length > 0;
  const hasQemu = options.qemu && (options.costs || machines.includes('tcg'));
  return [
    `Measured ${new Date().toISOString().slice(0, 10)} on ${cpus().length} processors ${cpus()[0]?.model.trim()}, `,
    `Linux ${release()}, load ${loadAtStart.toFixed(2)} before and ${loadavg()[0].toFixed(2)} after; Node ${process.version}`,
    ...(hasQemu ? [`; ${firstLine('qemu-system-x86_64')}`] : []),
    ...(isTimed ? [`; ${firstLine('gcc')}`] : []),
    ...(files === undefined ? [] : [`. Guest: ${files.kernelName || 'a kernel of choice'}, 512 MB, 1 vCPU`]),
    ...(machines.length > 0 ? [`; clock sources: ${sources.join(', ')}`] : []),
    ...(measured.done > 0 ? [`. ${measured.done} of ${options.runs} rounds, medians, ± half the range`] : []),
    ...(isTimed ? [`; ${CLOCK_NAMES[options.clock]}`] : []),
    `. ${((performance.now() - started) / 60_000).toFixed(1)} minutes in all.`,
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
