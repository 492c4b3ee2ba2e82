// The guest of `trapeze bench costs` under every engine of this host: each operation happens as often as it should. What it
// costs is no matter of tests.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { COSTS } from '../../dist/bench/costs.js';
import { summarize } from '../../dist/bench/costs-result.js';
import { runCosts } from '../../dist/bench/run-costs.js';
import { inspectEngines, Machine } from '../../dist/node.js';

const PROGRAM = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const ROUNDS = 3;
const TIMEOUT_MS = 120_000;
const QUICK = { rounds: ROUNDS, warmUpMs: 20, loopMs: 0.1, timeoutMs: TIMEOUT_MS };

for (const { name: engine, usable, problem } of inspectEngines().engines) {
  test(`every operation runs under ${engine}`, { skip: usable ? false : problem, timeout: TIMEOUT_MS }, async () => {
    // parseStream throws where one that counts did not happen as often as the loop went round.
    const stream = await runCosts(Machine, { ...QUICK, costs: COSTS, engine });
    assert.ok(stream.tscHz > 1e8 && stream.tscHz < 1e11, `${stream.tscHz} Hz`);
    for (const result of summarize(stream, COSTS, 1e9)) {
      assert.equal(result.rounds, ROUNDS, result.name);
      assert.ok(result.operations >= 32 && Number.isInteger(result.operations), `${result.name} ${result.operations}`);
      assert.ok(Number.isFinite(result.ns) && result.ns < 1e8, `${result.name} ${result.ns} ns`);
    }
  });
}

test('the time-stamp counter of the translating engine goes at its nominal speed', async () => {
  const { tscHz } = await runCosts(Machine, { ...QUICK, costs: COSTS.slice(0, 1), engine: 'dbt' });
  assert.ok(Math.abs(tscHz / 1e9 - 1) < 0.01, `${tscHz} Hz`);
});

const command = (...args) => spawnSync(process.execPath, [PROGRAM, 'bench', 'costs', ...args], { encoding: 'utf8' });

test('the command prints a table, or one JSON object', { timeout: TIMEOUT_MS }, () => {
  const text = command('--engine', 'dbt', '--only', 'call,syscall', '--rounds', '3');
  assert.equal(text.status, 0, text.stderr);
  assert.match(text.stdout, /^syscall +SYSCALL and SYSRET .* 242 +2308 +-$/m);
  assert.match(text.stdout, /^must: syscall under 500 cycles with dbt: /m);
  assert.doesNotMatch(text.stdout, /NaN|undefined|page-fault/);

  const json = command('--engine', 'dbt', '--only', 'call', '--rounds', '3', '--json');
  assert.equal(json.status, 0, json.stderr);
  const report = JSON.parse(json.stdout);
  assert.deepEqual(
    report.engines.map(({ engine, costs }) => [engine, costs.map(({ name, rounds }) => [name, rounds])]),
    [['dbt', [['call', 3]]]],
  );
  assert.deepEqual(report.costs[0].paper, { native: 11, software: 51, hardware: 11 });
});

test('wrong options are refused with a sentence', () => {
  for (const [args, problem] of [
    [['--engine', 'tcg'], /--engine "tcg" does not exist/],
    [['--only', 'call,nothing'], /there is no operation "nothing"; there are syscall, /],
    [['--rounds', '0'], /--rounds "0" is not a number of rounds/],
    [['more'], /too many arguments/],
  ]) {
    const { status, stdout, stderr } = command(...args);
    assert.equal(status, 2, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, problem);
  }
  assert.match(command('--help').stdout, /trapeze bench costs --json/);
});
