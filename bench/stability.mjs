/**
 * An hour of a changing workload in one guest of Trapeze: does the host's memory, do the code caches and the speed stay
 * where they are? bench/guest/churn is what the guest does. Sampled once a minute from the host's kernel and from the
 * machine's statistics.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { geomean, median } from './report.mjs';

const MEMORY_BYTES = 512 * 2 ** 20;
const SAMPLE_MS = 60_000;
/** Until then every cache fills for the first time. */
const SETTLED = 0.25;
const RESULT = /^RESULT (\S+) ([\d.]+) ([0-9a-f]{16}) /;
const GROWTH_PERCENT = 10;
const SLOWER_PERCENT = 10;

/** {samples, works, wrong, minutes, rounds, capacity}. */
export async function runStability(dist, files, minutes, onProgress) {
  const module = async (path) => await import(pathToFileURL(join(dist, path)).href);
  const { Machine } = await module('node.js');
  const { BLOCKS, BLOCKS_END } = await module('x86/state.js');
  const { MAX_TABLE_SIZE } = await module('engine/dbt/interpreter.js');
  const machine = new Machine({
    kernel: readFileSync(files.kernel),
    modules: [{ data: readFileSync(files.benchInitrd), args: '' }],
    append: 'console=ttyS0 quiet bench.churn=1',
    memoryBytes: MEMORY_BYTES,
    engine: 'dbt',
    noReboot: true,
  });
  // What the engine has room for at a time.
  const capacity = { 'block cache bytes': BLOCKS_END - BLOCKS, 'live regions': MAX_TABLE_SIZE };
  const run = { samples: [], works: [], wrong: [], rounds: 0, minutes: 0, capacity };
  const started = performance.now();
  const since = () => (performance.now() - started) / 60_000;
  let begun = threadCpuMs();
  let rest = '';
  machine.on('serial', (bytes) => {
    rest += Buffer.from(bytes).toString('latin1');
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      const line = rest.slice(0, end).replaceAll('\r', '');
      rest = rest.slice(end + 1);
      const result = RESULT.exec(line);
      if (line.startsWith('ROUND ')) run.rounds = Number(line.slice(6));
      else if (line.startsWith('START ')) begun = threadCpuMs();
      else if (result !== null)
        run.works.push({ name: result[1], cpuMs: busiest(begun), at: since(), checksum: result[3] });
      else if (/WRONG|not found|panic|Oops|BUG|segfault|killed/i.test(line)) run.wrong.push(line);
    }
  });
  const sample = async () => {
    const statistics = await machine.statistics();
    const { translator, interpreter, instructions } = statistics;
    run.samples.push({
      minute: since(),
      residentMiB: residentMiB(),
      'live regions': translator.regions - translator['regions dropped'],
      'regions made': translator.regions,
      'module bytes made': translator['module bytes'],
      'block cache bytes': interpreter['block cache bytes'],
      'block cache flushes': interpreter['block cache flushes'],
      'handler modules': interpreter['handler modules'],
      instructions: instructions.interpreted + instructions.translated,
      translatedShare: instructions.translated / (instructions.interpreted + instructions.translated),
      longestStallMs: translator['longest of the stalls, ms'],
      rounds: run.rounds,
    });
    const now = run.samples.at(-1);
    onProgress(
      `stability: minute ${now.minute.toFixed(0)}, round ${now.rounds}, ${now.residentMiB.toFixed(0)} MiB, ` +
        `${now['live regions']} regions, ${now['block cache flushes']} flushes`,
    );
  };
  let problem;
  const timer = setInterval(() => sample().catch((error) => (problem ??= error.message)), SAMPLE_MS);
  const ended = machine.run().then(
    ({ reason }) => reason,
    (error) => `error: ${error.message}`,
  );
  const first = await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, minutes * 60_000))]);
  clearInterval(timer);
  if (first === undefined) await sample().catch((error) => (problem ??= error.message));
  machine.close();
  await ended;
  run.minutes = since();
  if (first !== undefined) run.wrong.push(`the guest ended early (${first})`);
  if (problem !== undefined) run.wrong.push(problem);
  return run;
}

/** Numbers that say whether it stayed bounded and stable. */
export function judgeStability({ samples, works, wrong }) {
  const total = samples.at(-1)?.minute ?? 0;
  const settled = samples.filter(({ minute }) => minute >= total * SETTLED);
  const half = total * (SETTLED + (1 - SETTLED) / 2);
  const growth = (key) => {
    const [before, after] = [settled.filter((s) => s.minute < half), settled.filter((s) => s.minute >= half)];
    return (median(after.map((s) => s[key])) / median(before.map((s) => s[key])) - 1) * 100;
  };
  const names = [...new Set(works.map(({ name }) => name))];
  const speeds = names.map((name) => {
    const mine = works.filter((work) => work.name === name && work.at >= total * SETTLED);
    return (
      median(mine.filter((w) => w.at < half).map((w) => w.cpuMs)) /
      median(mine.filter((w) => w.at >= half).map((w) => w.cpuMs))
    );
  });
  // Each part but `churn`, which never does the same twice and judges itself, has one answer.
  const answers = names.filter(
    (name) => name !== 'churn' && new Set(works.filter((w) => w.name === name).map((w) => w.checksum)).size !== 1,
  );
  return {
    most: (key) => Math.max(...samples.map((s) => s[key])),
    memoryGrowth: growth('residentMiB'),
    speedChange: (geomean(speeds) - 1) * 100,
    wrong: [...wrong, ...answers.map((name) => `${name} gave different answers`)],
  };
}

export function stabilityTable(run) {
  const { samples } = run;
  const columns = [
    ['minute', (s) => s.minute.toFixed(0)],
    ['rounds', (s) => s.rounds],
    ['resident MiB', (s) => s.residentMiB.toFixed(0)],
    ['regions live', (s) => s['live regions']],
    ['regions made', (s) => s['regions made']],
    ['MB of WebAssembly made', (s) => (s['module bytes made'] / 1e6).toFixed(0)],
    ['MB of decoded blocks', (s) => (s['block cache bytes'] / 1e6).toFixed(1)],
    ['block cache flushes', (s) => s['block cache flushes']],
    ['10^9 instructions', (s) => (s.instructions / 1e9).toFixed(1)],
    ['translated %', (s) => (s.translatedShare * 100).toFixed(1)],
  ];
  const step = Math.max(1, Math.ceil(samples.length / 12));
  const shown = samples.filter((_, n) => n % step === 0 || n === samples.length - 1);
  const row = (cells) => `| ${cells.join(' | ')} |`;
  return [
    row(columns.map(([title]) => title)),
    row(columns.map(() => '---:')),
    ...shown.map((s) => row(columns.map(([, pick]) => pick(s)))),
  ].join('\n');
}

export function stabilityGoals(run) {
  const { most, memoryGrowth, speedChange, wrong } = judgeStability(run);
  const share = (key) => (most(key) / run.capacity[key]) * 100;
  return [
    [
      'code caches within their bounds (fullest, % of decoded blocks and of regions)',
      `${share('block cache bytes').toFixed(0)} %, ${share('live regions').toFixed(1)} %`,
      share('block cache bytes') <= 100 && share('live regions') <= 100,
    ],
    [
      `memory of the host process grows by less than ${GROWTH_PERCENT} %`,
      `${memoryGrowth.toFixed(1)} %, at most ${most('residentMiB').toFixed(0)} MiB`,
      memoryGrowth < GROWTH_PERCENT,
    ],
    [
      `speed falls by less than ${SLOWER_PERCENT} % (CPU time of the vCPU thread per work, geomean)`,
      `${speedChange >= 0 ? '+' : ''}${speedChange.toFixed(1)} %`,
      speedChange > -SLOWER_PERCENT,
    ],
    [
      'every answer right',
      wrong.length === 0 ? `${run.works.length} works` : wrong.slice(0, 3).join('; '),
      wrong.length === 0 && run.works.length > 0,
    ],
  ].map(([text, value, reached]) => ({ text: `stability: ${text}`, value, reached }));
}

function residentMiB() {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'latin1'))[1]) / 1024;
}

function threadCpuMs() {
  return new Map(
    readdirSync('/proc/self/task').flatMap((task) => {
      try {
        return [[task, Number(readFileSync(`/proc/self/task/${task}/schedstat`, 'latin1').split(' ')[0]) / 1e6]];
      } catch {
        return [];
      }
    }),
  );
}

/** What the thread that ran most since then ran: the vCPU's. */
function busiest(before) {
  return Math.max(0, ...[...threadCpuMs()].map(([task, ms]) => ms - (before.get(task) ?? 0)));
}
