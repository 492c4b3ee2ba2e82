// `npm test`: builds, then runs every src/**/*.test.ts (as built) and test/**/*.test.mjs, two files at a time, each in
// a process of its own. Says of every skipped test why. The last line is `N passed, N failed, N skipped`.
//   node tools/test.mjs [--no-build] [--jobs N] [--verbose] [PART OF A PATH]...
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const reporter = new URL('test-reporter.mjs', import.meta.url).href;
/** A file that takes longer hangs. */
const FILE_TIMEOUT_MS = 10 * 60_000;
/** Folders whose tests take minutes: they start first, so that the short ones fill the gaps. */
const SLOW = ['test/guest', 'test/browser', 'test/simd', 'test/float', 'test/isa', 'test/'];

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    'no-build': { type: 'boolean', default: false },
    jobs: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    verbose: { type: 'boolean', default: false },
  },
});

function filesUnder(folder, pattern) {
  if (!existsSync(join(root, folder))) return [];
  const names = readdirSync(join(root, folder), { recursive: true }).map((name) => `${folder}/${name}`);
  return names.filter((name) => pattern.test(name)).sort();
}

function newest(...folders) {
  const times = folders
    .flatMap((folder) => filesUnder(folder, /\.(ts|json)$/))
    .map((f) => statSync(join(root, f)).mtimeMs);
  return Math.max(0, ...times);
}

/** tsc looks for itself what is new; the runtime is built where a source is newer. */
function build() {
  const runtime = statSync(join(root, 'dist/runtime.wasm'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const all = newest('runtime', 'src') > runtime;
  const { status } = spawnSync(process.execPath, [join(root, 'tools/build.mjs'), ...(all ? [] : ['--ts'])], {
    stdio: 'inherit',
  });
  return status === 0;
}

/** Runs one file; its tests and, where the process failed apart from them, a reason. */
async function runFile(file) {
  const started = performance.now();
  const arguments_ = ['--test-reporter', reporter, '--test-reporter-destination', 'stdout', join(root, file)];
  const child = spawn(process.execPath, arguments_, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, FILE_TIMEOUT_MS);
  const tests = [];
  const output = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    const test = parse(line);
    if (test === undefined) output.push(line);
    else tests.push(test);
  });
  child.stderr.on('data', (chunk) => output.push(String(chunk).trimEnd()));
  const closed = new Promise((resolve) => lines.on('close', resolve));
  const status = await new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal)));
  await closed;
  clearTimeout(timer);
  const hasFailed = tests.some((test) => test.failed);
  let problem;
  if (isLate) problem = `stopped after ${FILE_TIMEOUT_MS / 1000} seconds`;
  else if (status !== 0 && !hasFailed) problem = `the process ended with ${status}`;
  else if (tests.length === 0) problem = 'it holds no test';
  return { file, tests, output, problem, seconds: (performance.now() - started) / 1000 };
}

function parse(line) {
  if (!line.startsWith('{"name":')) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function print({ file, tests, output, problem, seconds }) {
  const failed = tests.filter((test) => test.failed);
  const isBad = failed.length > 0 || problem !== undefined;
  console.log(
    `${isBad ? 'FAILED' : 'ok    '} ${seconds.toFixed(1).padStart(6)} s ${String(tests.length).padStart(4)}  ${file}`,
  );
  for (const test of tests) {
    if (isSkipped(test)) console.log(`         skipped: ${test.name}: ${reasonOf(test)}`);
    else if (options.verbose && !test.failed) console.log(`         passed: ${test.name}`);
  }
  for (const test of failed) console.log(`         failed: ${test.name}\n${indent(test.error)}`);
  if (problem !== undefined) console.log(`         failed: ${problem}`);
  if (isBad && output.length > 0) console.log(indent(output.slice(-60).join('\n')));
}

function isSkipped(test) {
  return !test.failed && test.skip !== undefined && test.skip !== false;
}

function reasonOf({ skip }) {
  return typeof skip === 'string' && skip !== '' ? skip : 'no reason given';
}

function indent(text) {
  return String(text).replace(/^/gm, '           ');
}

if (!options['no-build'] && !build()) {
  console.log('the build failed');
  process.exit(1);
}

const rank = (file) => SLOW.findIndex((folder) => file.startsWith(folder)) >>> 0;
const files = [
  ...filesUnder('src', /\.test\.ts$/).map((file) => file.replace(/^src/, 'dist').replace(/\.ts$/, '.js')),
  ...filesUnder('test', /\.test\.mjs$/),
]
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort((a, b) => rank(a) - rank(b));

const totals = { passed: 0, failed: 0, skipped: 0 };
const queue = [...files];
async function worker() {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const result = await runFile(file);
    print(result);
    for (const test of result.tests) {
      if (test.failed) totals.failed++;
      else if (isSkipped(test)) totals.skipped++;
      else totals.passed++;
    }
    if (result.problem !== undefined) totals.failed++;
  }
}
const started = performance.now();
await Promise.all(Array.from({ length: Math.max(1, Number(options.jobs) || 1) }, worker));
console.log(`\n${files.length} files in ${((performance.now() - started) / 1000).toFixed(0)} s`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
if (totals.failed > 0 || files.length === 0) process.exitCode = 1;
