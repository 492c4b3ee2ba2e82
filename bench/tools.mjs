/**
 * Debian's own xz, python3, gcc and sqlite3 as works: a root file system of just these packages and what they need, made
 * once and kept in the cache; an initramfs with it, in which the works run by chroot; and the same chroot on the host.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { BenchError } from './problem.mjs';

const PACKAGES = 'python3-minimal,gcc,sqlite3,xz-utils';
/** What no work opens: a guest without it boots sooner. */
const UNUSED = [
  /^(var|etc\/(alternatives|ssl)|usr\/share|usr\/include|dev)(\/|$)/,
  /^usr\/lib\/gcc\/.*\/(lto1|lto-wrapper|.*\.a|g\+\+-mapper-server)$/,
  /^usr\/bin\/.*(lto-dump|gold|dwp|gprof|gdb|gcov|objdump|readelf|-ld|cpp).*$/,
  /^usr\/lib\/x86_64-linux-gnu\/(gconv|gprofng|perl|lib(asan|tsan|lsan|ubsan|gprofng|itm|atomic|stdc|quadmath|cc1|crypto|ssl)[^/]*)(\/|$)/,
];
export const TOOLS = 'tools';
/** Applets that the works call, by way of the chroot's /bench. */
const APPLETS = ['sh', 'head', 'md5sum', 'rm'];
/** "$1" is the root, "$2" the directory that becomes its /bench, and then the command. */
const NATIVE =
  'mount -t tmpfs tmpfs "$1/tmp" && mount --bind "$2" "$1/bench" && root=$1 && shift 2 && exec chroot "$root" "$@"';
export const TOOLS_PATH = '/usr/sbin:/usr/bin:/sbin:/bin:/bench';

/** The root file system's directory; made where it is not there. */
export function toolsRoot(cache) {
  const version = createHash('sha256').update(PACKAGES).digest('hex').slice(0, 8);
  const root = join(cache, `${TOOLS}-${version}`);
  if (existsSync(root)) return root;
  console.error(`bench: making a root file system of ${PACKAGES}`);
  const unfinished = `${root}.unfinished-${process.pid}`;
  mkdirSync(cache, { recursive: true });
  const args = ['--variant=extract', '--architectures=amd64', `--include=${PACKAGES}`];
  const { VERSION_CODENAME: suite } = osRelease();
  args.push('--aptopt=APT::Install-Recommends "false"', suite, unfinished, ...releaseAlone(suite));
  const { status, stderr } = spawnSync('mmdebstrap', args, { encoding: 'utf8' });
  if (status !== 0) throw new BenchError(`mmdebstrap could not make ${root}: ${(stderr ?? '').trim().slice(-300)}`);
  for (const path of ['tmp', 'bench']) mkdirSync(join(unfinished, path), { recursive: true });
  renameSync(unfinished, root);
  return root;
}

function osRelease() {
  const lines = readFileSync('/etc/os-release', 'utf8').split('\n');
  return Object.fromEntries(lines.map((line) => line.replaceAll('"', '').split('=')));
}

/** The source of the release without its updates, which do not change what is measured. */
function releaseAlone(suite) {
  const format = '$(REPO_URI) $(RELEASE)';
  const targets = execFileSync('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], {
    encoding: 'utf8',
  });
  const found = targets.split('\n').find((line) => line.endsWith(` ${suite}`));
  return found === undefined ? [] : [`deb ${found} main`];
}

/** Entries of an initramfs: the root at /tools, and in its /bench what `files` names (by name: {data} or {target}). */
export function* toolsEntries(root, files) {
  yield { kind: 'directory', path: TOOLS };
  yield* tree(root, '');
  for (const [name, { data, target }] of Object.entries(files)) {
    const path = `${TOOLS}/bench/${name}`;
    yield target === undefined ? { kind: 'file', path, mode: 0o755, data } : { kind: 'symlink', path, target };
  }
}

function* tree(root, directory) {
  for (const name of readdirSync(join(root, directory)).sort()) {
    const from = directory === '' ? name : `${directory}/${name}`;
    if (UNUSED.some((pattern) => pattern.test(from))) continue;
    const full = join(root, from);
    const status = lstatSync(full);
    const path = `${TOOLS}/${from}`;
    const mode = status.mode & 0o7777;
    if (status.isDirectory()) {
      yield { kind: 'directory', path, mode };
      yield* tree(root, from);
    } else if (status.isSymbolicLink()) {
      yield { kind: 'symlink', path, target: readlinkSync(full) };
    } else if (status.isFile()) {
      yield { kind: 'file', path, mode, data: readFileSync(full) };
    }
  }
}

/** What lies in the chroot's /bench. */
export function toolsFiles(directory, busybox, suite) {
  const files = { busybox: { data: busybox }, suite: { data: suite }, 'program.c': { data: cProgram() } };
  for (const name of readdirSync(directory)) files[name] = { data: readFileSync(join(directory, name)) };
  for (const applet of APPLETS) files[applet] = { target: 'busybox' };
  return files;
}

/** The same as a directory, for the chroot on this host. */
export function writeTools(directory, files) {
  mkdirSync(directory);
  for (const [name, { data, target }] of Object.entries(files)) {
    if (target === undefined) writeFileSync(join(directory, name), data, { mode: 0o755 });
    else symlinkSync(target, join(directory, name));
  }
}

/** Program and arguments that run a command in the chroot on this host; undefined where that cannot be done. */
export function nativeTools(root, bench, command) {
  if (process.getuid?.() !== 0 || spawnSync('unshare', ['-m', 'true']).status !== 0) return undefined;
  return ['unshare', ['-m', 'sh', '-c', NATIVE, 'sh', root, bench, ...command]];
}

const LINES = 2000;

/** A C program of some 2,000 lines: the same every time, and no two functions of it alike. */
export function cProgram() {
  let seed = 12345;
  const chance = (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 16) % below;
  };
  const name = () => 'abcde'[chance(5)];
  const binary = () => ['+', '-', '*', '^', '&', '|'][chance(6)];
  const term = () => [name(), `table[${name()} & 63]`, `${chance(1000) + 1}u`, `s->${name()}`][chance(4)];
  const statements = [
    () => [`  ${name()} = ${term()} ${binary()} (${term()} ${binary()} ${term()});`],
    () => [
      `  if (${term()} > ${term()}) ${name()} ${['+=', '-=', '^='][chance(3)]} ${term()};`,
      `  else s->${name()} = ${term()};`,
    ],
    () => [
      `  for (unsigned i = 0; i < ${4 + chance(40)}; i++) {`,
      `    table[(i + ${name()}) & 63] ${['+=', '^='][chance(2)]} ${term()} >> (i & 7);`,
      `    ${name()} += i ${binary()} ${term()};`,
      '  }',
    ],
    () => [
      `  switch (${name()} & 7) {`,
      ...[0, 1, 2, 5].map((value) => `    case ${value}: ${name()} ${binary()}= ${term()}; break;`),
      `    default: s->${name()}++;`,
      '  }',
    ],
    () => [`  s->x = s->x * ${chance(9) + 1}.5 + (double)${name()};`],
    () => [`  while (a + b > ${50 + chance(1000)}u) a >>= 1, b >>= 1, ${name()}--;`],
  ];
  const lines = ['struct state {', '  unsigned a, b, c, d, e;', '  double x;', '};', 'static unsigned table[64];', ''];
  const functions = [];
  while (lines.length < LINES) {
    const self = `step_${functions.length}`;
    const body = Array.from({ length: 6 + chance(6) }, () => statements[chance(statements.length)]()).flat();
    lines.push(`unsigned ${self}(struct state *s, unsigned a, unsigned b) {`);
    lines.push('  unsigned c = a ^ b, d = a + b, e = s->e;', ...body);
    if (functions.length > 0) lines.push(`  if (e & 1) c += ${functions[chance(functions.length)]}(s, d, ${name()});`);
    lines.push('  s->a += a, s->b += b;', '  return c ^ d ^ e;', '}', '');
    functions.push(self);
  }
  return `${lines.join('\n')}\n`;
}
