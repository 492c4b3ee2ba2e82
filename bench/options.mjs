/** The command line of npm run bench. */
import { parseArgs } from 'node:util';
import { BenchError } from './problem.mjs';
import { WORKS } from './works.mjs';

const USAGE = `usage: npm run bench -- [--runs N] [--only NAME,NAME…] [--no-qemu] [--write] [--json] [--stats FILE]
  --runs N       rounds; medians are shown (3)
  --only NAMES   works by name or class (c, shell, kernel), and boot, idle, drift, costs, v86, stability; without it all
                 but the last, which takes an hour
  --no-qemu      do not run QEMU; there are no speed-ups then
  --repeats N    runs of each work in one boot; the first counts, the best later one is shown beside it (1)
  --clock cpu    compare CPU time of the busiest thread, not the guest's own clock: for a host that is not idle
  --kernel FILE  another kernel than Debian's cloud kernel
  --minutes N    how long the changing workload of stability runs (60)
  --node WHICH   run all of it by another Node: a program, or "newest" of npm's package "node", fetched into the cache
  --section NAME with --write: into the tables of that name, beside those of this Node
  --budget MIN   starts no round that would end after so many minutes (14)
  --write        puts the tables into docs/benchmarks.md
  --json         prints everything as JSON
  --stats FILE   statistics of Trapeze's last run of the works into a file`;

/** What is measured besides works; the last only when it is asked for. */
const EXTRAS = ['boot', 'idle', 'drift', 'costs', 'v86', 'stability'];
const ONLY_BY_NAME = 'stability';

/** undefined: help was shown. */
export function readOptions() {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '3' },
      only: { type: 'string', multiple: true },
      'no-qemu': { type: 'boolean', default: false },
      repeats: { type: 'string', default: '1' },
      clock: { type: 'string', default: 'own' },
      kernel: { type: 'string' },
      minutes: { type: 'string', default: '60' },
      node: { type: 'string' },
      section: { type: 'string' },
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
  const wanted = (name) => (only === undefined ? name !== ONLY_BY_NAME : only.includes(name));
  return {
    runs: number('runs'),
    repeats: number('repeats'),
    budgetMs: number('budget') * 60_000,
    minutes: number('minutes'),
    node: values.node,
    section: values.section,
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
