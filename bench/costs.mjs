/** What traps cost: the guest of `trapeze bench costs` in Trapeze and, the same bytes, in QEMU's translator. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BenchError } from './problem.mjs';
import { cell, line, median, ratio } from './report.mjs';

const TIMEOUT_MS = 300_000;
/** isa-debug-exit ends QEMU with (value << 1) | 1. */
const QEMU_DONE = 0x63;
const MEMORY_MIB = 32;
/** A cost below this is as good as none: a ratio to less would tell of noise. */
const LEAST_CYCLES = 0.1;
const [MUST_SPEED_UP, AIM_SPEED_UP] = [1, 2];

const run = promisify(execFile);

/** One run of the command: {hz, native, costs}, by operation. */
async function inTrapeze({ dist }) {
  const args = [join(dist, 'cli/main.js'), 'bench', 'costs', '--engine', 'dbt', '--json'];
  const { stdout } = await run(process.execPath, args, { timeout: TIMEOUT_MS });
  const { host, engines } = JSON.parse(stdout);
  return { hz: host.hz, native: host.native, costs: engines[0].costs };
}

async function inQemu({ dist, directory }) {
  const { COSTS, DEFAULT_COSTS_ROUNDS } = await import(join(dist, 'bench/costs.js'));
  const { costsGuest } = await import(join(dist, 'bench/costs-guest.js'));
  const { COSTS_TIMES } = await import(join(dist, 'bench/run-costs.js'));
  const { parseStream, summarize } = await import(join(dist, 'bench/costs-result.js'));
  const image = join(directory, 'costs.img');
  writeFileSync(image, costsGuest({ costs: COSTS, rounds: DEFAULT_COSTS_ROUNDS, ...COSTS_TIMES }));
  const args = ['-accel', 'tcg,thread=single', '-machine', 'pc', '-smp', '1', '-m', `${MEMORY_MIB}`, '-no-reboot'];
  args.push('-display', 'none', '-monitor', 'none', '-serial', 'none', '-debugcon', 'stdio');
  args.push('-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-kernel', image);
  const stdout = await new Promise((resolve, reject) => {
    execFile('qemu-system-x86_64', args, { timeout: TIMEOUT_MS, encoding: 'buffer' }, (error, bytes) => {
      if (error?.code === QEMU_DONE) resolve(bytes);
      else reject(new BenchError(`costs in QEMU: ${error?.message ?? 'it ended by itself'}`));
    });
  });
  // Cycles come from the host's speed later.
  return { costs: summarize(parseStream(stdout, COSTS), COSTS, Number.NaN) };
}

const RUNNERS = { trapeze: inTrapeze, tcg: inQemu };

export const runCosts = (machine, context) => RUNNERS[machine](context);

/** Rows of {name, title, paper, native, tcg, trapeze, speedUp, must, aim} from lists of runs by machine. */
export async function costRows(runs, { dist }) {
  const { COSTS } = await import(join(dist, 'bench/costs.js'));
  const hz = median(runs.trapeze.map((one) => one.hz ?? Number.NaN));
  return COSTS.map(({ name, title, paper, must, aim }) => {
    const of = (list, key) => {
      const all = (list ?? []).flatMap((one) => one[key].filter((cost) => cost.name === name));
      const values = all.map(({ ns }) => (ns * hz) / 1e9);
      return { cycles: median(values), spread: (Math.max(...values) - Math.min(...values)) / 2, runs: values.length };
    };
    const row = {
      name,
      title,
      paper,
      native: of(runs.trapeze, 'native'),
      tcg: of(runs.tcg, 'costs'),
      trapeze: of(runs.trapeze, 'costs'),
    };
    const { cycles } = row.trapeze;
    row.speedUp = row.tcg.cycles / Math.max(cycles, LEAST_CYCLES);
    row.must = row.speedUp >= MUST_SPEED_UP && cycles < (must ?? Number.POSITIVE_INFINITY);
    row.aim = row.speedUp >= AIM_SPEED_UP && cycles < Math.min(aim ?? Infinity, paper.software ?? Infinity);
    return row;
  });
}

const cycles = (value) => cell(value, Math.abs(value) < 9.95 ? 1 : 0);
const timing = (value) => `${cycles(value.cycles)}${value.runs > 1 ? ` ±${cycles(value.spread)}` : ''}`;
const known = (value) => (value === undefined ? '-' : String(value));
const reached = (value, isKnown) => (!isKnown ? '-' : value ? 'yes' : '**no**');

export function costsTable(rows) {
  const head = ['operation', 'native', 'TCG', 'Trapeze', '**speed-up over TCG**', 'must', 'aim'];
  head.push('2006: native', 'translator', 'VT-x');
  return [
    line(head),
    line(head.map((_, at) => (at === 0 || at === 5 || at === 6 ? '---' : '---:'))),
    ...rows.map(({ title, native, tcg, trapeze, speedUp, must, aim, paper }) =>
      line([
        title,
        ...[native, tcg, trapeze].map(timing),
        `**${ratio(speedUp)}**`,
        reached(must, Number.isFinite(speedUp)),
        reached(aim, Number.isFinite(speedUp)),
        ...[paper.native, paper.software, paper.hardware].map(known),
      ]),
    ),
  ].join('\n');
}

/** The goals as report.mjs has them: [text, value as text, reached]. */
export function costGoals(rows) {
  const worst = (list, key) => list.toSorted((a, b) => key(a) - key(b))[0];
  const list = [];
  const slowest = worst(
    rows.filter((row) => Number.isFinite(row.speedUp)),
    (row) => row.speedUp,
  );
  const add = (text, row, value, isReached) =>
    list.push({ text: `costs, ${text}`, value: `${value} (${row.name})`, reached: isReached });
  if (slowest !== undefined) {
    const value = ratio(slowest.speedUp);
    add(`each at least ${MUST_SPEED_UP}`, slowest, value, slowest.speedUp >= MUST_SPEED_UP);
    add(`aim: each ${AIM_SPEED_UP}`, slowest, value, slowest.speedUp >= AIM_SPEED_UP);
  }
  const call = rows.find(({ name }) => name === 'syscall');
  if (call !== undefined) {
    for (const [text, limit] of [
      ['a system call under 500 cycles', 500],
      ['aim: a system call under 242 cycles', 242],
    ]) {
      add(text, call, cycles(call.trapeze.cycles), call.trapeze.cycles < limit);
    }
  }
  const share = (row) => row.trapeze.cycles / row.paper.software;
  const furthest = worst(
    rows.filter((row) => row.paper.software !== undefined),
    (row) => -share(row),
  );
  if (furthest !== undefined) {
    const value = `${cycles(furthest.trapeze.cycles)} of ${furthest.paper.software}`;
    add('aim: all under the cycles of the translator of 2006', furthest, value, share(furthest) < 1);
  }
  return list;
}
