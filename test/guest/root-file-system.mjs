// A Debian root file system for tests, made by mmdebstrap from the host's own package sources and kept in a directory.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { writeCpio } from '../../dist/image/cpio.js';

const PACKAGES =
  'python3,perl,gcc,g++,libc6-dev,make,binutils,sqlite3,openssl,xz-utils,bzip2,zstd,gawk,bc,dc,file,procps,bsdextrautils,' +
  'busybox-static,m4,patch,cpio,zip,unzip,ed,jq,original-awk,mksh,lua5.4,luajit,tcl8.6,nasm,libjpeg-turbo-progs,flac,lz4,' +
  'brotli,argon2,pari-gp,gforth,locales';
/** A second, 32-bit root file system, at /i386 of the first. Its compilers run on the host alone. */
export const I386 = 'i386';
const I386_PACKAGES =
  'python3,perl,gcc,g++,libc6-dev,sqlite3,openssl,xz-utils,bzip2,zstd,gawk,bc,dc,m4,jq,busybox-static,mksh,lua5.4,luajit,' +
  'libjpeg-turbo-progs,flac,argon2,pari-gp';
/** Besides C.UTF-8: one that sorts and separates thousands, and one with a decimal comma. */
const LOCALES = ['en_US', 'de_DE'];

/** Large, and used by nothing that the tests run. */
const UNUSED = 'usr/share/doc usr/share/locale usr/share/man usr/share/i18n var/cache var/lib/apt boot'.split(' ');
const UNUSED_NAMES = /^(lto1|.*lto-dump.*|libasan.*|libtsan.*|liblsan.*|libubsan.*|g\+\+-mapper-server)$/;
const HOST_ALONE =
  /^i386\/usr\/(lib\/gcc|include|bin\/i686-linux-gnu-.*|bin\/lto-dump.*|lib\/i386-linux-gnu\/lib(bfd|opcodes).*|.*\.a)(\/|$)/;

/** A name for the directory of this file system: another list of packages, another file system. */
export const ROOT_VERSION = createHash('sha256')
  .update(JSON.stringify([PACKAGES, I386_PACKAGES, LOCALES]))
  .digest('hex')
  .slice(0, 8);

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;

/** The directory of the root file system under `directory`; made if it is not there, which needs root and mmdebstrap. */
export function rootFileSystem(directory) {
  const root = join(directory, 'root');
  if (existsSync(root)) return root;
  mkdirSync(directory, { recursive: true });
  const unfinished = join(directory, 'root.unfinished');
  rmSync(unfinished, { recursive: true, force: true });
  const localedef = LOCALES.map((name) => `chroot "$1" localedef -i ${name} -f UTF-8 ${name}.UTF-8`);
  makeRoot(unfinished, 'amd64', PACKAGES, localedef);
  makeRoot(join(unfinished, I386), 'i386', I386_PACKAGES);
  renameSync(unfinished, root);
  return root;
}

function makeRoot(target, architecture, packages, hooks = []) {
  const { VERSION_CODENAME: suite } = osRelease();
  const args = [
    '--variant=minbase',
    `--architectures=${architecture}`,
    `--include=${packages}`,
    '--aptopt=APT::Install-Recommends "false"',
    ...hooks.map((hook) => `--customize-hook=${hook}`),
    suite,
    target,
    ...releaseAlone(suite),
  ];
  const { status, error } = spawnSync('mmdebstrap', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (error !== undefined) throw new Error(`mmdebstrap cannot be run (${error.message}); install it`);
  if (status !== 0) throw new Error(`mmdebstrap ended with ${status}`);
  for (const path of UNUSED) rmSync(join(target, path), { recursive: true, force: true });
}

/** The source of the release without its updates: a mirror that lacks those of one architecture is enough. */
function releaseAlone(suite) {
  const format = '$(REPO_URI) $(RELEASE)';
  const { stdout } = spawnSync('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  const found = (stdout ?? '')
    .toString()
    .split('\n')
    .find((line) => line.endsWith(` ${suite}`));
  return found === undefined ? [] : [`deb ${found} main`];
}

function osRelease() {
  const lines = readFileSync('/etc/os-release', 'utf8').split('\n');
  return Object.fromEntries(
    lines.map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1).replaceAll('"', '')]),
  );
}

/** What only some commands need: a guest without it boots sooner. */
const COMPILERS = /^usr\/(lib\/gcc|include|lib\/x86_64-linux-gnu\/.*\.a)(\/|$)/;

/** The part of the root file system that a path belongs to. */
function partOf(path) {
  if (path === I386 || path.startsWith(`${I386}/`)) return I386;
  return COMPILERS.test(path) ? 'compilers' : 'base';
}

/** The same as an initramfs without /init: 'base', 'compilers' or I386, to be put together; cached beside it. */
export function rootArchive(directory, part) {
  const root = rootFileSystem(directory);
  const file = join(directory, `${part}.cpio`);
  if (existsSync(file)) return readFileSync(file);
  const archive = writeCpio([...entries(root, '')].filter(({ path }) => partOf(path) === part));
  writeFileSync(`${file}.unfinished`, archive);
  renameSync(`${file}.unfinished`, file);
  return archive;
}

function* entries(root, directory) {
  for (const name of readdirSync(join(root, directory)).sort()) {
    const path = directory === '' ? name : `${directory}/${name}`;
    const full = join(root, path);
    if (HOST_ALONE.test(path)) continue;
    const status = lstatSync(full);
    const mode = status.mode & 0o7777;
    if (status.isDirectory()) {
      yield { kind: 'directory', path, mode };
      if (!/^(i386\/)?(proc|sys|tmp|corpus)$/.test(path)) yield* entries(root, path);
    } else if (status.isSymbolicLink()) {
      yield { kind: 'symlink', path, target: readlinkSync(full) };
    } else if ((status.mode & S_IFMT) === S_IFCHR) {
      yield { kind: 'character-device', path, mode, major: Math.floor(status.rdev / 256), minor: status.rdev % 256 };
    } else if (status.isFile() && !UNUSED_NAMES.test(name)) {
      yield { kind: 'file', path, mode, data: readFileSync(full) };
    }
  }
}
