// Runs the commands of test/guest/commands.txt in a Debian root file system: inside a guest of Trapeze, and on the host in a
// chroot of the same files, with the processor features that the guest lacks masked for the C library. Names every command
// that prints something else. Needs root (chroot, mmdebstrap).
//   node tools/judge-commands.mjs [PATTERN...] [--corpus DIR] [--dist DIR] [--kernel FILE] [--each SECONDS] [--keep DIR] [--host] [--verbose] [--quick]
// --quick: programs that gcc compiles are compiled on the host alone. --corpus: where the root file system is kept. --keep: write differing outputs there. --host: only the host's side, printed.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeCpio } from '../dist/image/cpio.js';
import { CORPUS, corpusFiles, ENVIRONMENT, ResultReader, readCommands } from '../test/guest/commands.mjs';
import { openGuestFile } from '../test/guest/files.mjs';
import { isComplaint } from '../test/guest/kernel-log.mjs';
import { rootArchive, rootFileSystem } from '../test/guest/root-file-system.mjs';
import { bootTrapeze, distUrl } from '../test/guest/trapeze.mjs';

const MEMORY_MIB = 2048;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    corpus: { type: 'string', default: join(tmpdir(), 'trapeze-corpus') },
    dist: { type: 'string' },
    kernel: { type: 'string' },
    keep: { type: 'string' },
    each: { type: 'string', default: '300' },
    host: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
if (process.getuid?.() !== 0 || spawnSync('mmdebstrap', ['--version']).status !== 0) {
  console.log('judge-commands: skipped, it needs root and mmdebstrap');
  process.exit(0);
}
const commands = readCommands().filter(
  ({ name }) => positionals.length === 0 || positionals.some((p) => new RegExp(p).test(name)),
);
const each = Number(options.each);
const files = corpusFiles(commands, each, options.quick);

/** Name -> {output, status} from the host. */
async function onHost() {
  const root = rootFileSystem(options.corpus);
  rmSync(join(root, CORPUS), { recursive: true, force: true });
  for (const [path, text] of Object.entries(files)) {
    if (path === 'init') continue;
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text, { mode: 0o755 });
  }
  const script =
    'mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/tmp" && exec chroot "$1" bash /corpus/run "$2"';
  const child = spawn('unshare', ['-m', '-p', '-f', 'sh', '-c', script, 'sh', root, String(each)], {
    env: ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const results = new Map();
  const reader = new ResultReader((name, output, status) => results.set(name, { output, status }));
  child.stdout.setEncoding('utf8').on('data', (text) => reader.push(text));
  const [code] = await new Promise((resolve) => {
    child.on('close', (...args) => resolve(args));
  });
  if (code !== 0) throw new Error(`the host's side ended with ${code}`);
  return results;
}

/** The lines where two outputs part. */
function firstDifference(host, guest) {
  const [theirs, ours] = [host.split('\n'), guest.split('\n')];
  const at = ours.findIndex((line, index) => line !== theirs[index]);
  const line = at < 0 ? ours.length : at;
  const show = (lines) => JSON.stringify(lines[line]?.slice(0, 400));
  return `    line ${line + 1}\n    host  ${show(theirs)}\n    guest ${show(ours)}`;
}

/** What the compilers' stand-in kept on the host's side. */
function compiled() {
  const directory = join(options.corpus, 'root', CORPUS, 'compiled');
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory);
  const entries = names.map((name) => {
    const path = join(directory, name);
    const mode = statSync(path).mode & 0o777;
    return { kind: 'file', path: `${CORPUS}/compiled/${name}`, data: readFileSync(path), mode };
  });
  return [{ kind: 'directory', path: `${CORPUS}/compiled` }, ...entries];
}

const host = await onHost();
if (options.host) {
  for (const [name, { output, status }] of host) {
    if (name !== 'kernel') console.log(`== ${name} (${status})\n${output}`);
  }
  process.exit(0);
}

const archive = rootArchive(options.corpus);
const overlay = writeCpio([
  { kind: 'directory', path: CORPUS },
  { kind: 'directory', path: `${CORPUS}/bin` },
  ...compiled(),
  ...Object.entries(files).map(([path, data]) => ({ kind: 'file', path, data, mode: 0o755 })),
]);
const guest = {
  kernel: options.kernel === undefined ? await openGuestFile('vmlinuz') : readFileSync(options.kernel),
  initrd: Buffer.concat([archive, overlay]),
  append: 'console=ttyS0 quiet loglevel=1',
  memoryMiB: MEMORY_MIB,
};
const began = performance.now();
const seconds = () => ((performance.now() - began) / 1000).toFixed(1);
let equal = 0;
let different = 0;
let complaints = 0;
const missing = new Set(commands.map(({ name }) => name));
const reader = new ResultReader((name, output, status) => {
  if (name === 'kernel') {
    for (const line of output.split('\n')) {
      if (!/BUG|WARNING|Oops|Call Trace|unstable|lost|stall|lockup|general protection/.test(line) || !isComplaint(line))
        continue;
      complaints++;
      console.log(`  kernel: ${line}`);
    }
    return;
  }
  missing.delete(name);
  const theirs = host.get(name);
  if (theirs?.output === output && theirs.status === status) {
    equal++;
    if (options.verbose) console.log(`${seconds()} s: ${name} is equal`);
    return;
  }
  different++;
  console.log(`${seconds()} s: ${name} differs (status: host ${theirs?.status}, guest ${status})`);
  console.log(firstDifference(theirs?.output ?? '', output));
  if (options.keep !== undefined) {
    mkdirSync(options.keep, { recursive: true });
    writeFileSync(join(options.keep, `${name}.host`), theirs?.output ?? '');
    writeFileSync(join(options.keep, `${name}.guest`), output);
  }
});
const visited = await bootTrapeze(guest, options.dist === undefined ? undefined : distUrl(options.dist));
let position = 0;
// A command that never ends is ended by `timeout` in the guest; if the guest itself is stuck, nothing more comes.
const stuck = (2 * each + 120) * 1000;
let watchdog = setTimeout(() => visited.close(), stuck);
const poll = setInterval(() => {
  const text = visited.console.text.slice(position);
  if (text === '') return;
  position += text.length;
  const before = reader.current;
  reader.push(text);
  if (options.verbose && reader.current !== undefined && reader.current !== before) {
    console.log(`${seconds()} s: ${reader.current}`);
  }
  clearTimeout(watchdog);
  watchdog = setTimeout(() => visited.close(), stuck);
}, 100);
const { reason } = await visited.ended;
clearInterval(poll);
clearTimeout(watchdog);
reader.push(visited.console.text.slice(position));
for (const name of missing) console.log(`  ${name} did not finish`);
if (reason !== 'power-off')
  console.log(`the guest ended with ${reason}; its console: ${visited.console.text.slice(-600)}`);
console.log(`judge-commands: ${equal} equal, ${different} different, ${missing.size} missing in ${seconds()} s`);
process.exitCode = equal === commands.length && complaints === 0 && reason === 'power-off' ? 0 : 1;
