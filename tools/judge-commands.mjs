// Runs the commands of test/guest/commands in a Debian root file system: inside guests of Trapeze, and on the host in a
// chroot of the same files, with the processor features that the guest lacks masked for the C library. Names every command
// that prints something else. Needs root (chroot, mmdebstrap) and a host that runs 32-bit programs.
//   node tools/judge-commands.mjs [PATTERN...] [--boots N] [--compile] [--each SECONDS] [--keep DIR] [--host] [--verbose]
//                                 [--corpus DIR] [--dist DIR] [--kernel FILE]
// PATTERN is matched against KIND/NAME. --boots: among how many guests the commands are shared out. --compile: gcc and g++
// run inside the guest for every command. --each: the limit for one command. --keep: write differing outputs there, and kernel logs with complaints.
// --host: only the host's side, printed. --corpus: where the root file system is kept.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runInGuest, runOnHost } from '../test/guest/command-runs.mjs';
import { readCommands } from '../test/guest/commands.mjs';
import { openGuestFile } from '../test/guest/files.mjs';
import { isComplaint } from '../test/guest/kernel-log.mjs';
import { ROOT_VERSION } from '../test/guest/root-file-system.mjs';
import { distUrl } from '../test/guest/trapeze.mjs';

const COMPLAINT = /BUG|WARNING|Oops|Call Trace|unstable|lost|stall|lockup|general protection/;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    boots: { type: 'string', default: '4' },
    compile: { type: 'boolean', default: false },
    corpus: { type: 'string', default: join(tmpdir(), `trapeze-corpus-${ROOT_VERSION}`) },
    dist: { type: 'string' },
    kernel: { type: 'string' },
    keep: { type: 'string' },
    each: { type: 'string', default: '900' },
    host: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
if (process.getuid?.() !== 0 || spawnSync('mmdebstrap', ['--version']).status !== 0) {
  console.log('judge-commands: skipped, it needs root and mmdebstrap');
  process.exit(0);
}
const all = readCommands();
const isWanted = ({ kind, name }) =>
  positionals.length === 0 || positionals.some((pattern) => new RegExp(pattern).test(`${kind}/${name}`));
const compiles = (command) => options.compile && !command.name.startsWith('i386-');
const commands = all.filter(isWanted).map((command) => (compiles(command) ? { ...command, compiles: true } : command));
const seconds = Number(options.each);

/** The lines where two outputs part. */
function firstDifference(host, guest) {
  const [theirs, ours] = [host.split('\n'), guest.split('\n')];
  const at = ours.findIndex((line, index) => line !== theirs[index]);
  const line = at < 0 ? ours.length : at;
  const show = (lines) => JSON.stringify(lines[line]?.slice(0, 400));
  return `    line ${line + 1}\n    host  ${show(theirs)}\n    guest ${show(ours)}`;
}

const began = performance.now();
const elapsed = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
const corpus = mkdtempSync(join(tmpdir(), 'trapeze-commands-'));
process.on('exit', () => rmSync(corpus, { recursive: true, force: true }));
const host = await runOnHost(options.corpus, corpus, commands, seconds, all);
if (options.host) {
  for (const [name, { output, status, milliseconds }] of host) {
    if (name !== 'kernel') console.log(`== ${name} (status ${status}, ${milliseconds.toFixed(0)} ms)\n${output}`);
  }
  process.exit(0);
}

let equal = 0;
let different = 0;
let complaints = 0;
let badEnds = 0;
let boots = 0;
const missing = new Set(commands.map(({ name }) => name));

function compare(name, output, status) {
  if (name === 'kernel') return compareKernel(output);
  missing.delete(name);
  const theirs = host.get(name);
  if (theirs?.output === output && theirs.status === status) {
    equal++;
    if (options.verbose) console.log(`${elapsed()}: ${name} is equal`);
    return;
  }
  different++;
  console.log(`${elapsed()}: ${name} differs (status: host ${theirs?.status}, guest ${status})`);
  console.log(firstDifference(theirs?.output ?? '', output));
  keep(`${name}.host`, theirs?.output ?? '');
  keep(`${name}.guest`, output);
}

function compareKernel(output) {
  const before = complaints;
  for (const line of output.split('\n')) {
    if (!COMPLAINT.test(line) || !isComplaint(line)) continue;
    complaints++;
    console.log(`  kernel: ${line}`);
  }
  if (complaints > before) keep(`kernel-${boots}.guest`, output);
}

function keep(name, text) {
  if (options.keep === undefined) return;
  mkdirSync(options.keep, { recursive: true });
  writeFileSync(join(options.keep, name), text);
}

const kernel = options.kernel === undefined ? await openGuestFile('vmlinuz') : readFileSync(options.kernel);
const dist = options.dist === undefined ? undefined : distUrl(options.dist);
const share = Math.ceil(commands.length / Number(options.boots));
const waiting = [...commands];
while (waiting.length > 0) {
  const batch = waiting.splice(0, share);
  const guest = { kernel, directory: options.corpus, corpus, commands: batch, seconds, all, dist };
  boots++;
  if (options.verbose) console.log(`${elapsed()}: boot ${boots}, ${batch.length} commands`);
  let isUp = false;
  const { reason, lastText } = await runInGuest(guest, compare, (name) => {
    isUp = true;
    if (options.verbose) console.log(`${elapsed()}: ${name}`);
  });
  if (reason === 'power-off') continue;
  badEnds++;
  console.log(`the guest ended with ${reason}; its console: ${lastText}`);
  // The command that was running is lost; those behind it are tried in another guest.
  if (!isUp) break;
  waiting.unshift(...batch.filter(({ name }) => missing.has(name)).slice(1));
}
for (const name of missing) console.log(`  ${name} did not finish`);
const narrow = commands.filter(({ name }) => name.startsWith('i386-')).length;
console.log(
  `judge-commands: ${equal} equal (${narrow} of ${commands.length} in 32-bit user land), ${different} different, ` +
    `${missing.size} missing in ${elapsed()}`,
);
process.exitCode = equal === commands.length && complaints + badEnds === 0 ? 0 : 1;
