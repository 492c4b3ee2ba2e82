// Boots Debian's kernel and saves the machine at random moments of the boot. Every saved state is loaded into a new process,
// which must go on to the same end: a shell that answers, a kernel log without complaints or jumps of time, power-off. Every
// fifth one is saved a second time on its way, by a signal, and loaded again.
//   node tools/judge-saved-states.mjs [--moments N] [--seed N] [--per-boot N] [--dist DIR] [--guests DIR] [--keep DIR] [--timeout SECONDS]
// --per-boot: moments saved of one boot. --keep: where states that did not go on stay.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GuestConsole } from '../test/guest/console.mjs';
import { openGuestFile } from '../test/guest/files.mjs';
import { goOn, startCommand } from '../test/guest/saved-state.mjs';
import { distUrl } from '../test/guest/trapeze.mjs';

const { values: options } = parseArgs({
  options: {
    moments: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    'per-boot': { type: 'string', default: '10' },
    dist: { type: 'string', default: 'dist' },
    guests: { type: 'string' },
    keep: { type: 'string' },
    timeout: { type: 'string', default: '240' },
  },
});
const dist = distUrl(resolve(options.dist));
const limitMs = Number(options.timeout) * 1000;
const directory = mkdtempSync(join(tmpdir(), 'trapeze-moments-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const { Machine } = await import(new URL('node.js', dist).href);
const kernel = await openGuestFile('vmlinuz', options.guests);
const initrd = await openGuestFile('initrd.cpio', options.guests);

/** mulberry32: a seed gives the same moments, as far as the host's clock does. */
function randomSource(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const random = randomSource(Number(options.seed));

/** Boots to the shell and saves at `fractions` of the time that takes. */
async function boot(fractions, bootMs) {
  const machine = new Machine({
    kernel,
    modules: [{ data: initrd, args: '' }],
    append: 'console=ttyS0',
    memoryBytes: 256 * 2 ** 20,
    noReboot: true,
    timeoutMs: 4 * limitMs,
  });
  const terminal = new GuestConsole((text) => machine.write(Buffer.from(text, 'latin1')));
  machine.on('serial', (bytes) => terminal.receive(bytes));
  const began = performance.now();
  const ended = machine.run();
  ended.then(
    ({ reason }) => terminal.end(reason),
    (error) => terminal.end(error.message),
  );
  const saved = [];
  let spent = 0;
  for (const fraction of fractions.toSorted((a, b) => a - b)) {
    await new Promise((resolve) => setTimeout(resolve, fraction * bootMs - (performance.now() - began - spent)));
    const started = performance.now();
    const state = await machine.save();
    spent += performance.now() - started;
    const path = join(directory, `${saved.length}.state`);
    writeFileSync(path, state);
    saved.push({ path, fraction, before: terminal.text, bytes: state.length });
  }
  await terminal.waitForShell(limitMs);
  const shellMs = performance.now() - began - spent;
  terminal.type('poweroff -f\n');
  const { reason } = await ended;
  return {
    saved,
    shellMs,
    problem: reason === 'power-off' ? undefined : `the saved guest itself ended with ${reason}`,
  };
}

/** Lets a state go on for a while in one process, saves it by a signal and gives the new file. */
async function saveAgain(path, ms) {
  const again = `${path}.again`;
  const { child, terminal, ended } = startCommand(['run', '--load', path, '--save', again], dist);
  await Promise.race([new Promise((resolve) => setTimeout(resolve, ms)), ended]);
  child.kill('SIGTERM');
  const { code, errors } = await ended;
  if (code !== 143 || !errors.includes('saved to')) throw new Error(`saving again ended with ${code}: ${errors}`);
  return { path: again, before: terminal.text };
}

const wanted = Number(options.moments);
let { shellMs: bootMs } = await boot([], 0);
console.log(`a boot takes ${(bootMs / 1000).toFixed(1)} s`);
let judged = 0;
let savedTwice = 0;
let failures = 0;
while (judged < wanted) {
  const count = Math.min(Number(options['per-boot']), wanted - judged);
  const { saved, shellMs, problem } = await boot(Array.from({ length: count }, random), bootMs);
  bootMs = shellMs;
  if (problem !== undefined) {
    failures++;
    console.log(`  ${problem}`);
  }
  for (const { path, fraction, before, bytes } of saved) {
    judged++;
    let current = { path, before };
    const problems = [];
    let twice = '';
    try {
      if (judged % 5 === 0) {
        current = await saveAgain(path, 3000 + random() * 0.5 * bootMs);
        savedTwice++;
        twice = ', saved twice';
      }
      const isShell = /trapeze:\S*[#$] (?:\S\[6n)?$/.test(before + current.before);
      const began = performance.now();
      const command = startCommand(['run', '--load', current.path, '--timeout', String(limitMs / 500)], dist);
      const end = await goOn(command, current.before, { bootMs: isShell ? undefined : limitMs, commandMs: limitMs });
      problems.push(...end.problems);
      if (end.exitCode !== 0) problems.push(`the command ended with ${end.exitCode}`);
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      const moment = `moment ${judged}: ${(100 * fraction).toFixed(0)} % of the boot, ${before.length} characters`;
      console.log(`${moment}, ${(bytes / 2 ** 20).toFixed(0)} MiB${twice}; went on for ${seconds} s`);
    } catch (error) {
      problems.push(error.message);
    }
    for (const text of problems) console.log(`  wrong: ${text}`);
    if (problems.length === 0) continue;
    failures++;
    if (options.keep === undefined) continue;
    mkdirSync(options.keep, { recursive: true });
    copyFileSync(current.path, join(options.keep, `${judged}.state`));
  }
}
console.log(`judge-saved-states: ${judged} moments, ${savedTwice} of them saved twice, ${failures} failures`);
process.exitCode = failures > 0 ? 1 : 0;
