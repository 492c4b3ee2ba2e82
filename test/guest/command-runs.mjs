// Runs the corpus of commands on the host, in a chroot of the root file system, and in a guest of Trapeze.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { writeCpio } from '../../dist/image/cpio.js';
import { CORPUS, corpusFiles, ENVIRONMENT, ResultReader } from './commands.mjs';
import { I386, rootArchive, rootFileSystem } from './root-file-system.mjs';
import { bootTrapeze } from './trapeze.mjs';

const MEMORY_MIB = 2048;
/** What the namespaces of the host's side need before the corpus; "$1" is the root, "$2" the limit in seconds, "$3" the corpus. */
const HOST_SCRIPT =
  'mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/tmp" && mount --bind "$3" "$1/corpus" && ' +
  'exec chroot "$1" bash /corpus/run "$2"';

/**
 * Results of `commands` on the host by name, each {output, status, milliseconds}. `corpus` is an empty directory for the
 * files of the run; what gcc makes stays there.
 */
export async function runOnHost(directory, corpus, commands, seconds, all) {
  const root = rootFileSystem(directory);
  mkdirSync(join(root, CORPUS), { recursive: true });
  for (const [path, text] of Object.entries(corpusFiles(commands, seconds, all))) {
    if (path === 'init') continue;
    const file = join(corpus, relative(CORPUS, path));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text, { mode: 0o755 });
  }
  const child = spawn(
    'unshare',
    ['-m', '-p', '-n', '-u', '-i', '-f', 'sh', '-c', HOST_SCRIPT, 'sh', root, `${seconds}`, corpus],
    {
      env: ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const results = new Map();
  let last = performance.now();
  const reader = new ResultReader((name, output, status) => {
    const now = performance.now();
    results.set(name, { output, status, milliseconds: now - last });
    last = now;
  });
  child.stdout.setEncoding('utf8').on('data', (text) => reader.push(text));
  const [code] = await new Promise((resolve) => {
    child.on('close', (...args) => resolve(args));
  });
  if (code !== 0) throw new Error(`the host's side ended with ${code}`);
  return results;
}

/** What the compilers' stand-in kept on the host's side. */
function compiled(corpus) {
  const kept = join(corpus, 'compiled');
  if (!existsSync(kept)) return [];
  const entries = readdirSync(kept).map((name) => {
    const path = join(kept, name);
    const mode = statSync(path).mode & 0o777;
    return { kind: 'file', path: `${CORPUS}/compiled/${name}`, data: readFileSync(path), mode };
  });
  return [{ kind: 'directory', path: `${CORPUS}/compiled` }, ...entries];
}

/** The initramfs for a run of `commands` after runOnHost. */
function initramfs(directory, corpus, commands, seconds, all) {
  const overlay = writeCpio([
    { kind: 'directory', path: CORPUS },
    { kind: 'directory', path: `${CORPUS}/bin` },
    ...compiled(corpus),
    ...Object.entries(corpusFiles(commands, seconds, all)).map(([path, data]) => ({
      kind: 'file',
      path,
      data,
      mode: 0o755,
    })),
  ]);
  const parts = ['base'];
  if (commands.some(({ compiles }) => compiles)) parts.push('compilers');
  if (commands.some(({ name }) => name.startsWith(`${I386}-`))) parts.push(I386);
  return Buffer.concat([...parts.map((part) => rootArchive(directory, part)), overlay]);
}

/**
 * One boot: calls `onResult(name, output, status)` for each command that ends, and tells how the guest ended.
 * `guest` is {kernel, directory, corpus, commands, seconds, all, dist}.
 */
export async function runInGuest(guest, onResult, onStart = () => {}) {
  const { kernel, directory, corpus, commands, seconds, all, dist } = guest;
  const reader = new ResultReader(onResult);
  const machine = {
    kernel,
    initrd: initramfs(directory, corpus, commands, seconds, all),
    append: 'console=ttyS0 quiet loglevel=1',
    memoryMiB: MEMORY_MIB,
  };
  const visited = await bootTrapeze(machine, dist);
  machine.initrd = undefined;
  let position = 0;
  // A command that never ends is ended by `timeout` in the guest; if the guest itself is stuck, nothing more comes.
  const stuck = (2 * seconds + 120) * 1000;
  let watchdog = setTimeout(() => visited.close(), stuck);
  const poll = setInterval(() => {
    const text = visited.console.text.slice(position);
    if (text === '') return;
    position += text.length;
    const before = reader.current;
    reader.push(text);
    if (reader.current !== undefined && reader.current !== before) onStart(reader.current);
    clearTimeout(watchdog);
    watchdog = setTimeout(() => visited.close(), stuck);
  }, 100);
  const { reason } = await visited.ended;
  clearInterval(poll);
  clearTimeout(watchdog);
  reader.push(visited.console.text.slice(position));
  return { reason, lastText: visited.console.text.slice(-600) };
}
