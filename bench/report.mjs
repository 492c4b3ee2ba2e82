/** From runs to medians, ratios, a markdown table, and the goals with a yes or no each. */
import { CLASSES } from './works.mjs';

const GOALS_MEMORY_MIB = 300;
const GOALS_IDLE_PERCENT = 1;
const GOALS_STALL_MS = 100;
const GOALS_DRIFT_PERCENT = 0.1;

export function median(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Half the distance between the extremes, in per cent of the median. */
function spread(all) {
  const values = all.filter(Number.isFinite);
  return ((Math.max(...values) - Math.min(...values)) / 2 / median(values)) * 100;
}

export function geomean(values) {
  const known = values.filter((value) => Number.isFinite(value) && value > 0);
  return known.length === 0
    ? Number.NaN
    : Math.exp(known.reduce((sum, value) => sum + Math.log(value), 0) / known.length);
}

/**
 * rounds: {native, tcg, trapeze} of lists of {runs}. clock 'own': milliseconds of the machine's own clock; 'cpu': of the
 * host's CPU. Only the first run of a work in a boot counts; the least of the later ones is `warm`. `first`: the same of Trapeze
 * when nothing was kept of the guest.
 */
export function summarize(works, rounds, { clock, peer = 'tcg', first = [] }) {
  const key = clock === 'cpu' ? 'cpuMs' : 'ms';
  return works.map((work) => {
    const row = { name: work.name, kind: work.kind, what: work.what, checksums: {} };
    for (const [machine, list] of Object.entries(rounds)) {
      const firsts = [];
      const later = [];
      for (const { runs } of list) {
        const mine = runs.filter((run) => run.name === work.name);
        if (mine.length === 0) continue;
        firsts.push(mine[0][key]);
        later.push(...mine.slice(1).map((run) => run[key]));
        row.checksums[machine] = new Set([...(row.checksums[machine] ?? []), ...mine.map((run) => run.checksum)]);
      }
      row[machine] = {
        ms: median(firsts),
        spread: spread(firsts),
        warm: Math.min(...later.filter(Number.isFinite)),
        runs: firsts.length,
      };
    }
    row.peer = row[peer];
    row.firstMs = median(first.map(({ runs }) => runs.find((run) => run.name === work.name)?.[key]));
    row.firstSpeedUp = (row.peer?.ms ?? Number.NaN) / row.firstMs;
    row.speedUp = (row.peer?.ms ?? Number.NaN) / row.trapeze.ms;
    row.warmSpeedUp = (row.peer?.warm ?? Number.NaN) / row.trapeze.warm;
    row.toNative = row.trapeze.ms / row.native.ms;
    row.peerToNative = (row.peer?.ms ?? Number.NaN) / row.native.ms;
    const answers = new Set(Object.values(row.checksums).flatMap((set) => [...set]));
    row.missing = Object.keys(rounds).filter(
      // Without root there is no chroot on the host.
      (machine) => row[machine].runs === 0 && !(machine === 'native' && work.needsTools),
    );
    row.checksumsEqual = answers.size === 1;
    row.checksums = Object.fromEntries(Object.entries(row.checksums).map(([name, set]) => [name, [...set]]));
    return row;
  });
}

export const cell = (value, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : '-');
export const ratio = (value) => cell(value, value < 10 ? 2 : 1);
const timing = (value) =>
  !Number.isFinite(value?.ms) ? '-' : `${cell(value.ms)}${value.runs > 1 ? ` ±${cell(value.spread)} %` : ''}`;
export const line = (cells) => `| ${cells.join(' | ')} |`;

export function worksTable(rows, { warm, peer = 'TCG' }) {
  const head = [
    'work',
    'native ms',
    `${peer} ms`,
    'Trapeze ms',
    `${peer} / native`,
    'Trapeze / native',
    `**speed-up over ${peer}**`,
  ];
  const hasFirst = rows.some(({ firstMs }) => Number.isFinite(firstMs));
  if (hasFirst) head.push('first start');
  if (warm) head.push('second run');
  head.push('answers');
  const lines = [line(head), line(head.map((_, at) => (at === 0 ? '---' : '---:')))];
  for (const [kind, title] of Object.entries(CLASSES)) {
    const mine = rows.filter((row) => row.kind === kind);
    if (mine.length === 0) continue;
    for (const row of mine) {
      const answers =
        row.missing.length > 0 ? `none: ${row.missing.join(', ')}` : row.checksumsEqual ? 'equal' : '**DIFFERENT**';
      lines.push(
        line([
          row.name,
          timing(row.native),
          timing(row.peer),
          timing(row.trapeze),
          ratio(row.peerToNative),
          ratio(row.toNative),
          `**${ratio(row.speedUp)}**`,
          ...(hasFirst ? [ratio(row.firstSpeedUp)] : []),
          ...(warm ? [ratio(row.warmSpeedUp)] : []),
          answers,
        ]),
      );
    }
    const mean = (value) => ratio(geomean(mine.map(value)));
    lines.push(
      line([
        `*${title}, geomean*`,
        '',
        '',
        '',
        mean((row) => row.peerToNative),
        mean((row) => row.toNative),
        `**${mean((row) => row.speedUp)}**`,
        ...(hasFirst ? [mean((row) => row.firstSpeedUp)] : []),
        ...(warm ? [mean((row) => row.warmSpeedUp)] : []),
        mine.every((row) => row.checksumsEqual && row.missing.length === 0) ? 'equal' : 'see above',
      ]),
    );
  }
  return lines.join('\n');
}

/** [label, unit digits, pick] of the boots and the idle machine. */
const MACHINE_ROWS = [
  ['power-on to /init, s', 2, (m) => m.initMs / 1000],
  ['the same, CPU s of all threads', 2, (m) => m.initCpuMs / 1000],
  ['power-on to the shell prompt, s', 2, (m) => m.shellMs / 1000],
  ['the same, CPU s of all threads', 2, (m) => m.shellCpuMs / 1000],
  ['peak memory of the host process at the prompt, MiB', 0, (m) => m.peakMiB],
  ['idle at the prompt, % of a core', 2, (m) => m.idlePercent],
  ['guest clock against the host over a minute of load, %', 4, (m) => m.driftPercent],
  ['peak memory of the host process over the suite, MiB', 0, (m) => m.suitePeakMiB],
  ['CPU s of all threads over the suite', 1, (m) => m.suiteCpuSeconds],
];

export function machineTable(machines) {
  const head = ['', 'TCG', 'Trapeze', 'speed-up', 'first start'];
  const lines = [line(head), line(head.map((_, at) => (at === 0 ? '---' : '---:')))];
  for (const [label, digits, pick] of MACHINE_ROWS) {
    const [tcg, trapeze] = [machines.tcg, machines.trapeze].map((m) => (m === undefined ? Number.NaN : pick(m)));
    if (!Number.isFinite(tcg) && !Number.isFinite(trapeze)) continue;
    const speedUp = / s$|threads/.test(label) ? `**${ratio(tcg / trapeze)}**` : '';
    const first = cell(pick(machines.first), digits);
    lines.push(line([label, cell(tcg, digits), cell(trapeze, digits), speedUp, first]));
  }
  return lines.join('\n');
}

const LONGEST_STALL = 'longest of the stalls, ms';

/** The histogram of waits for translation in one line. */
export function stallsLine(stalls) {
  const counts = Object.entries(stalls).filter(([name]) => /^stalls (under|of)/.test(name));
  const text = counts.map(([name, count]) => `${name.slice(7)}: ${count}`);
  return `Waits of the guest for translation, boot and a minute of mixed load: ${text.join(', ')}; longest ${cell(stalls[LONGEST_STALL], 1)} ms.`;
}

/** Every goal that can be told from what was measured: [text, value as text, reached]. */
export function goals(rows, machines, clock) {
  const list = [];
  const of = (kind) => rows.filter((row) => row.kind === kind && Number.isFinite(row.speedUp));
  const add = (text, value, digits, reached, unit = '') => {
    if (Number.isFinite(value)) list.push({ text, value: `${value.toFixed(digits)}${unit}`, reached: reached(value) });
  };
  const atLeast = (limit) => (value) => value >= limit;
  const under = (limit) => (value) => Math.abs(value) < limit;
  const { tcg, trapeze } = machines;
  // On a busy host the wall clock says who was given a processor.
  const [toInit, toShell] = clock === 'cpu' ? ['initCpuMs', 'shellCpuMs'] : ['initMs', 'shellMs'];
  const boot = tcg && trapeze ? tcg[toShell] / trapeze[toShell] : Number.NaN;
  const init = tcg && trapeze ? tcg[toInit] / trapeze[toInit] : Number.NaN;
  const mean = (kind) => geomean(of(kind).map((row) => row.speedUp));
  const lowest = (list) => (list.length === 0 ? Number.NaN : Math.min(...list.map((row) => row.speedUp)));
  const least = lowest(of('c'));
  // Works that TCG runs at under 1.5 times the native time need not be won.
  const leastOpen = lowest(of('c').filter((row) => !(row.peerToNative < 1.5)));

  add('first stage: boot to the shell within 5x of TCG', 1 / boot, 2, (value) => value <= 5, 'x');
  add('first stage: suite within 3x of TCG (geomean of the C suite)', 1 / mean('c'), 2, (value) => value <= 3, 'x');
  add(
    'first stage: every work within 3x of TCG (the worst one)',
    1 / lowest(rows.filter((row) => Number.isFinite(row.speedUp))),
    2,
    (value) => value <= 3,
    'x',
  );
  add('C suite, geomean at least 1.3', mean('c'), 2, atLeast(1.3));
  add('C suite, none under 0.7', least, 2, atLeast(0.7));
  add('C suite, aim: geomean 2', mean('c'), 2, atLeast(2));
  add('C suite, aim: none under 1', leastOpen, 2, atLeast(1));
  add('shell and tools, geomean at least 0.8', mean('shell'), 2, atLeast(0.8));
  add('shell and tools, aim: geomean 1.5', mean('shell'), 2, atLeast(1.5));
  add('kernel work, geomean at least 1', mean('kernel'), 2, atLeast(1));
  add('kernel work, aim: geomean 2', mean('kernel'), 2, atLeast(2));
  add('boot to /init at least 0.6', init, 2, atLeast(0.6));
  add('boot to the shell at least 0.6', boot, 2, atLeast(0.6));
  add('boot, aim: both 1', Math.min(boot, init), 2, atLeast(1));
  add(
    `peak memory at the prompt at most ${GOALS_MEMORY_MIB} MB`,
    (trapeze?.peakMiB * 2 ** 20) / 1e6,
    0,
    (v) => v <= GOALS_MEMORY_MIB,
    ' MB',
  );
  add(`idle under ${GOALS_IDLE_PERCENT} % of a core`, trapeze?.idlePercent, 2, under(GOALS_IDLE_PERCENT), ' %');
  add(
    `no wait of ${GOALS_STALL_MS} ms for translation`,
    trapeze?.stalls?.[LONGEST_STALL],
    1,
    under(GOALS_STALL_MS),
    ' ms',
  );
  add(
    `clock within ${GOALS_DRIFT_PERCENT} % of the host's`,
    trapeze?.driftPercent,
    4,
    under(GOALS_DRIFT_PERCENT),
    ' %',
  );
  return list;
}

export function goalsTable(list) {
  return [
    line(['goal', 'measured', 'reached']),
    line(['---', '---:', '---']),
    ...list.map(({ text, value, reached }) => line([text, value, reached ? 'yes' : '**no**'])),
  ].join('\n');
}
