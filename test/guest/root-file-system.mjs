// A Debian root file system for tests, made by mmdebstrap from the host's own package sources and kept in a directory.
import { spawnSync } from 'node:child_process';
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
  'python3,perl,gcc,g++,libc6-dev,make,binutils,sqlite3,openssl,xz-utils,bzip2,zstd,gawk,bc,dc,file,procps,bsdextrautils,busybox-static';
/** Large, and used by nothing that the tests run. */
const UNUSED = ['usr/share/doc', 'usr/share/locale', 'usr/share/man', 'var/cache', 'var/lib/apt', 'boot'];
const UNUSED_NAMES = /^(lto1|lto-dump|libasan.*|libtsan.*|liblsan.*|libubsan.*|g\+\+-mapper-server)$/;

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;

/** The directory of the root file system under `directory`; made if it is not there, which needs root and mmdebstrap. */
export function rootFileSystem(directory) {
  const root = join(directory, 'root');
  if (existsSync(root)) return root;
  mkdirSync(directory, { recursive: true });
  const unfinished = join(directory, 'root.unfinished');
  rmSync(unfinished, { recursive: true, force: true });
  const { VERSION_CODENAME: suite } = osRelease();
  const args = [
    '--variant=minbase',
    `--include=${PACKAGES}`,
    '--aptopt=APT::Install-Recommends "false"',
    suite,
    unfinished,
  ];
  const { status, error } = spawnSync('mmdebstrap', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (error !== undefined) throw new Error(`mmdebstrap cannot be run (${error.message}); install it`);
  if (status !== 0) throw new Error(`mmdebstrap ended with ${status}`);
  for (const path of UNUSED) rmSync(join(unfinished, path), { recursive: true, force: true });
  renameSync(unfinished, root);
  return root;
}

function osRelease() {
  const lines = readFileSync('/etc/os-release', 'utf8').split('\n');
  return Object.fromEntries(
    lines.map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1).replaceAll('"', '')]),
  );
}

/** The same as an initramfs without /init; cached beside it. */
export function rootArchive(directory) {
  const root = rootFileSystem(directory);
  const file = join(directory, 'root.cpio');
  if (existsSync(file)) return readFileSync(file);
  const archive = writeCpio([...entries(root, '')]);
  writeFileSync(`${file}.unfinished`, archive);
  renameSync(`${file}.unfinished`, file);
  return archive;
}

function* entries(root, directory) {
  for (const name of readdirSync(join(root, directory)).sort()) {
    const path = directory === '' ? name : `${directory}/${name}`;
    const full = join(root, path);
    const status = lstatSync(full);
    const mode = status.mode & 0o7777;
    if (status.isDirectory()) {
      yield { kind: 'directory', path, mode };
      if (path !== 'proc' && path !== 'sys' && path !== 'corpus') yield* entries(root, path);
    } else if (status.isSymbolicLink()) {
      yield { kind: 'symlink', path, target: readlinkSync(full) };
    } else if ((status.mode & S_IFMT) === S_IFCHR) {
      yield { kind: 'character-device', path, mode, major: Math.floor(status.rdev / 256), minor: status.rdev % 256 };
    } else if (status.isFile() && !UNUSED_NAMES.test(name)) {
      yield { kind: 'file', path, mode, data: readFileSync(full) };
    }
  }
}
