// `npm run judge`: every long judge, one after another, as a table. A judge compares this project with something outside
// of it (the host's processor, objdump, QEMU), or its evaluators with each other.
//   node tools/judge.mjs [--write] [--verbose] [--minutes N] [NAME]...
// --minutes: how long the judge of parsers goes on (60).
// --write: also into docs/reference/judges.md, keeping what that page says of judges that were not run.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const PAGE = join(root, 'docs/reference/judges.md');
const LIMIT_MS = 2 * 60 * 60_000;

/**
 * Name: what is judged by what; program and arguments (default: tools/judge-NAME.mjs). A judge that is not here runs
 * without arguments. `counts` sums numbers of its output where its last line does not tell them. `writes`: with --write it
 * writes what it has seen for the reference.
 */
const JUDGES = {
  decoder: {
    what: 'lengths and texts of random and enumerated encodings against objdump',
    args: ['--random', '400000'],
    counts: [/(\d+) instructions/g, 'instructions'],
  },
  'decoder-elf': {
    what: 'lengths and texts of the code of a large program (Node itself) against objdump',
    args: ['judge-decoder.mjs', '--elf', process.execPath],
    counts: [/(\d+) instructions/g, 'instructions'],
  },
  'decoder-native': {
    what: "lengths and #UD of encodings against the host's processor",
    args: ['--random', '400000'],
    counts: [/(\d+) samples/g, 'samples'],
  },
  instructions: {
    what: "every user-mode instruction form in 64-, 32- and 16-bit code, faults included, against the host's processor",
    args: ['--count', '735000'],
    writes: true,
  },
  integer: { what: "integer instructions, flags included, against the host's processor", args: ['--count', '200000'] },
  float: {
    what: "x87 and SSE arithmetic, results and flags, against the host's processor",
    args: ['test.mjs', '--no-build', 'test/float'],
    env: { FLOAT_CASES: '100000' },
  },
  simd: {
    what: "SSE to SSE4.2, MMX and x87 instructions in both tiers against the host's processor",
    args: ['test.mjs', '--no-build', 'test/simd'],
    env: { SIMD_CASES: '40' },
  },
  evaluators: {
    what: 'interpreter and translator against the slow evaluator: instructions',
    args: ['--count', '40000'],
  },
  programs: {
    what: 'interpreter and translator against the slow evaluator: programs with loops and faults, in every mode',
    args: ['judge-evaluators.mjs', '--programs', '--instructions', '10000000', '--seed', '2026'],
  },
  ring3: {
    what: "user-mode instructions, exact faults included, against the host's processor as a guest under KVM",
    args: ['--count', '40000'],
    counts: [/(\d+) compared/g, 'cases'],
  },
  system: {
    what: 'system instructions, interrupts and task switches in every mode against QEMU',
    args: ['../test/system/judge.mjs', 'qemu', '3000'],
    needs: 'qemu-system-x86_64',
    counts: [/(\d+) compared/g, 'cases'],
  },
  privilege: {
    what: 'bare-metal guests of all rings, gates, segments, tasks and pages against the manual; QEMU beside, its differences listed',
  },
  guests: { what: "Debian's kernels: shell, commands, power-off, kernel log against QEMU's" },
  'saved-states': {
    what: 'boots saved at random moments go on in new processes: shell, answers, clean log, power-off',
  },
  'kvm-debian': {
    what: "Debian's cloud kernel and busybox under engine kvm: shell, commands, power-off; slow where ring 0 is emulated",
    // Asked for by name, it runs however long that takes.
    named: ['--slow'],
    counts: [/(\d+) wrong/g, 'wrong'],
  },
  commands: {
    what: 'commands in a Debian root file system, in 64-bit and in 32-bit user land, some compiling: guest against host',
  },
  parsers: {
    what: 'damaged input for every parser of files, options and requests: taken or refused with one sentence',
  },
};

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    write: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    minutes: { type: 'string' },
  },
});

function names() {
  const found = readdirSync(join(root, 'tools')).flatMap((file) => /^judge-(.+)\.mjs$/.exec(file)?.[1] ?? []);
  const all = [...new Set([...Object.keys(JUDGES), ...found])];
  return all.filter((name) => wanted.length === 0 || wanted.includes(name));
}

/** Program and arguments of a judge, or undefined where its program is missing. */
function commandOf(name) {
  const given = name === 'parsers' && options.minutes !== undefined ? ['--minutes', options.minutes] : [];
  // It has a page of its own.
  if (name === 'privilege' && options.write) given.push('--write');
  const { args = given, named = [] } = JUDGES[name] ?? {};
  const extra = wanted.includes(name) ? named : [];
  const command = /\.mjs$/.test(args[0] ?? '') ? args : [`judge-${name}.mjs`, ...args, ...extra];
  const own = options.write && JUDGES[name]?.writes ? ['--write'] : [];
  return existsSync(join(root, 'tools', command[0]))
    ? [join(root, 'tools', command[0]), ...command.slice(1), ...own]
    : undefined;
}

async function run(name) {
  const command = commandOf(name);
  if (command === undefined) return { name, verdict: 'missing', counts: 'there is no such judge', seconds: 0 };
  const { needs } = JUDGES[name] ?? {};
  if (needs !== undefined && spawnSync(needs, ['--version']).status !== 0) {
    return { name, verdict: 'skipped', counts: `there is no ${needs} on this host`, seconds: 0 };
  }
  const started = performance.now();
  const env = { ...process.env, ...JUDGES[name]?.env };
  const child = spawn(process.execPath, command, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  let output = '';
  const keep = (chunk) => {
    output += chunk;
    if (options.verbose) process.stdout.write(chunk);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const status = await new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal)));
  clearTimeout(timer);
  const last = output.trim().split('\n').at(-1) ?? '';
  const isSkipped = /\bskipped, /.test(last);
  if (status !== 0 && !options.verbose) process.stdout.write(output);
  return {
    name,
    verdict: isSkipped ? 'skipped' : status === 0 ? 'passed' : 'FAILED',
    counts: isSkipped ? last.replace(/^.*?skipped, /, '') : countsOf(name, output, last),
    seconds: (performance.now() - started) / 1000,
  };
}

function countsOf(name, output, last) {
  const [pattern, unit] = JUDGES[name]?.counts ?? [];
  if (pattern === undefined) return last.replace(/^judge-[\w-]+: /, '');
  const sum = [...output.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0);
  const unexpected = /(\d+) unexpected/.exec(output)?.[1] ?? '0';
  return `${sum} ${unit} compared, ${unexpected} differ unexpectedly`;
}

const HEAD = '| Judge | What | Verdict | Last full result | Time | Date | Host |';

/** Rows of the page by judge, as cells. */
function writtenRows() {
  if (!existsSync(PAGE)) return new Map();
  const lines = readFileSync(PAGE, 'utf8').split('\n');
  const first = lines.indexOf(HEAD);
  if (first < 0) return new Map();
  const rows = lines.slice(first + 2).filter((line) => line.startsWith('| '));
  return new Map(rows.map((line) => [line.split(' | ')[0].slice(2).replaceAll('`', ''), line]));
}

function writePage(results) {
  const rows = writtenRows();
  const date = new Date().toISOString().slice(0, 10);
  const host = `${cpus()[0]?.model.trim() ?? 'unknown'}, Node ${process.versions.node}`;
  for (const { name, verdict, counts, seconds } of results) {
    const what = JUDGES[name]?.what ?? '';
    rows.set(name, `| \`${name}\` | ${what} | ${verdict} | ${counts} | ${seconds.toFixed(0)} s | ${date} | ${host} |`);
  }
  const text = `# Judges

\`npm run judge\` compares this project with something outside of it and \`npm run judge -- --write\` writes this page.
\`npm test\` runs shorter versions of most of them. "skipped" says what the host lacked.

${HEAD}
${HEAD.replaceAll(/[^|]+/g, ' --- ')}
${[...rows.values()].join('\n')}
`;
  writeFileSync(PAGE, text);
}

const results = [];
for (const name of names()) {
  process.stdout.write(`${name.padEnd(16)} …\n`);
  const result = await run(name);
  results.push(result);
  const { verdict, counts, seconds } = result;
  console.log(`${name.padEnd(16)} ${verdict.padEnd(8)} ${`${seconds.toFixed(0)} s`.padStart(7)}  ${counts}`);
  if (options.write) writePage([result]);
}
const failed = results.filter(({ verdict }) => verdict === 'FAILED' || verdict === 'missing');
console.log(`\n${results.length} judges, ${failed.length} failed`);
if (failed.length > 0 || results.length === 0) process.exitCode = 1;
