/** `trapeze bench costs`: what privileged and trapping operations cost a guest on this host, beside the figures of 2006. */
import { TrapezeError } from '../base/errors.js';
import { COSTS, type Cost } from '../bench/costs.js';
import { type CostResult, summarize } from '../bench/costs-result.js';
import { type HostCycles, hostCycles } from '../bench/node/host-cycles.js';
import { COSTS_TIMES, runCosts } from '../bench/run-costs.js';
import type { BenchCostsOptions, BenchEngine } from './bench-options.js';
import type { CommandHost, Product } from './product.js';

interface EngineCosts {
  readonly engine: BenchEngine;
  /** Of the guest's time-stamp counter, by its ACPI timer. */
  readonly tscHz?: number;
  readonly costs: readonly CostResult[];
  /** Why there are none. */
  readonly problem?: string;
}

interface Goal {
  readonly engine: BenchEngine;
  readonly kind: 'must' | 'aim';
  readonly name: string;
  readonly below: number;
  readonly cycles: number;
  readonly reached: boolean;
}

const TIMEOUT_MS = 60_000;
/** An engine that steps every instruction may need this for a round of all. */
const ROUND_TIMEOUT_MS = 2000;

export async function benchCosts(options: BenchCostsOptions, host: CommandHost): Promise<number> {
  const product = await host.product();
  const costs = options.only ?? COSTS;
  const cycles = hostCycles(costs, options.rounds, COSTS_TIMES.loopMs);
  const engines: EngineCosts[] = [];
  for (const { name, usable, problem } of product.inspectEngines().engines) {
    if (options.engine !== 'all' && options.engine !== name) continue;
    if (!usable) {
      if (options.engine === name)
        throw new TrapezeError('host-unsupported', `engine ${name} is not usable: ${problem}`);
      engines.push({ engine: name, costs: [], problem: problem ?? 'not usable' });
      continue;
    }
    engines.push(await measure(name, costs, options, cycles, product));
  }
  const goals = engines.flatMap((engine) => goalsOf(engine, costs));
  const report = { host: { hz: cycles.hz, source: cycles.source, native: cycles.native }, engines, goals };
  host.output.write(
    options.json === true
      ? `${JSON.stringify({ ...report, costs: costs.map(({ name, title, paper }) => ({ name, title, paper })) }, null, 2)}\n`
      : `${formatReport(costs, cycles, engines, goals)}\n`,
  );
  return 0;
}

async function measure(
  engine: BenchEngine,
  costs: readonly Cost[],
  options: BenchCostsOptions,
  cycles: HostCycles,
  { Machine }: Product,
): Promise<EngineCosts> {
  const { rounds } = options;
  const timeoutMs = TIMEOUT_MS + rounds * ROUND_TIMEOUT_MS;
  try {
    const run = { ...COSTS_TIMES, costs, rounds, engine, timeoutMs };
    const stream = await runCosts(Machine, run);
    return { engine, tscHz: stream.tscHz, costs: summarize(stream, costs, cycles.hz) };
  } catch (error) {
    if (options.engine !== 'all' || !(error instanceof TrapezeError) || error.code === 'internal') throw error;
    return { engine, costs: [], problem: error.message };
  }
}

/** The translator's goals: its own, and to stay below the translator of 2006 everywhere. */
function goalsOf({ engine, costs: results }: EngineCosts, costs: readonly Cost[]): Goal[] {
  if (engine !== 'dbt') return [];
  return costs.flatMap(({ name, must, aim, paper }) => {
    const cycles = results.find((result) => result.name === name)?.cycles ?? Number.NaN;
    const goal = (kind: Goal['kind'], below: number | undefined): Goal[] =>
      below === undefined ? [] : [{ engine, kind, name, below, cycles, reached: cycles < below }];
    return [...goal('must', must), ...goal('aim', aim), ...goal('aim', paper.software)];
  });
}

function formatReport(
  costs: readonly Cost[],
  { hz, source, native }: HostCycles,
  engines: readonly EngineCosts[],
  goals: readonly Goal[],
): string {
  const measured = engines.filter((engine) => engine.problem === undefined);
  const cell = (result: CostResult | undefined): string =>
    result === undefined ? '-' : `${cyclesText(result.cycles)} ±${cyclesText(result.spreadCycles)}`;
  const of = (results: readonly CostResult[], { name }: Cost): string =>
    cell(results.find((result) => result.name === name));
  const rows = [
    ['', '', 'here', ...measured.map(() => ''), '2006', '', ''],
    ['', 'operation', 'native', ...measured.map(({ engine }) => engine), 'native', 'translator', 'VT-x'],
    ...costs.map((cost) => [
      cost.name,
      cost.title,
      of(native, cost),
      ...measured.map((engine) => of(engine.costs, cost)),
      ...[cost.paper.native, cost.paper.software, cost.paper.hardware].map((value) => value?.toString() ?? '-'),
    ]),
  ];
  return [
    ...table(rows),
    '',
    Number.isNaN(hz)
      ? "The speed of this host's processor is not known, so there are no cycles; --json has nanoseconds."
      : `Cycles of this host, of which ${(hz / 1e6).toFixed(0)} million make a second (${source}).`,
    'Medians of the rounds, ± half the distance between the quartiles; the empty loop is taken off.',
    'Native here: the same loop in a process; the system call is getppid of the host. 2006: Adams and Agesen.',
    ...engines.flatMap(({ engine, problem }) => (problem === undefined ? [] : [`${engine}: ${problem}`])),
    ...(goals.length === 0 ? [] : ['', ...goals.map(goalText)]),
  ].join('\n');
}

function goalText({ engine, kind, name, below, cycles, reached }: Goal): string {
  return `${kind}: ${name} under ${below} cycles with ${engine}: ${cyclesText(cycles)}, ${reached ? 'reached' : 'not reached'}`;
}

/** Three digits are more than the host's noise leaves. */
function cyclesText(cycles: number): string {
  if (Number.isNaN(cycles)) return '-';
  return Math.abs(cycles) < 9.95 ? cycles.toFixed(1) : cycles.toFixed(0);
}

/** Names to the left, numbers to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((text, column) => (column < 2 ? text.padEnd(widths[column]) : text.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}
