/** What the measured machines run: the suite, compiled here, and an initramfs around it; and the peers' programs. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const GUEST = join(HERE, 'guest');

export class BenchError extends Error {}

/** Programs that are not ours, and the Debian packages that hold them. */
const PACKAGES = {
  gcc: ['gcc', 'libc6-dev'],
  'qemu-system-x86_64': ['qemu-system-x86'],
};

function isHere(program) {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => existsSync(join(directory, program)));
}

/** Makes sure a program is there; installs it where that can be done without asking, and else says how. */
export function need(program, otherwise) {
  if (isHere(program)) return;
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...PACKAGES[program]];
  if (process.getuid?.() === 0 && isHere('apt-get')) {
    console.error(`bench: ${program} is not here; running ${install.join(' ')}`);
    try {
      execFileSync('apt-get', ['update', '-q'], { stdio: ['ignore', 'ignore', 'inherit'] });
      execFileSync(install[0], install.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
    } catch {
      // The sentence below is the answer.
    }
    if (isHere(program)) return;
  }
  throw new BenchError(`${program} is not here; install it with: sudo ${install.join(' ')}${otherwise}`);
}

/** Kernel, busybox, suite, the two initramfs and a directory of busybox's applets for native runs. */
export async function buildGuest(dist, directory, { kernel }) {
  const { buildBusyboxInitramfs, busyboxApplets } = await import(join(dist, 'image/busybox-initramfs.js'));
  const suite = join(directory, 'suite');
  const sources = readdirSync(GUEST).filter((name) => name.endsWith('.c'));
  // -ffp-contract=off: a compiler that fuses multiply and add would change the checksums.
  const flags = ['-O2', '-static', '-ffp-contract=off', '-Wall'];
  execFileSync('gcc', [...flags, '-o', suite, ...sources.map((name) => join(GUEST, name)), '-lm'], {
    stdio: 'inherit',
  });

  const images = await import(join(dist, 'image/node/images.js'));
  const { ImageCache } = await import(join(dist, 'image/node/cache.js'));
  const cache = new ImageCache();
  const record = async (name) => {
    const found = await images.findImage(name, cache);
    if (found !== undefined) return found;
    console.error(`bench: fetching the image ${name}`);
    return await images.pullImage(name, () => undefined, cache);
  };
  const busybox = await cache.read(await record('busybox'), images.BUSYBOX_FILE);
  const files = {
    kernel: kernel ?? join(directory, 'vmlinuz'),
    kernelName: kernel ?? '',
    shellInitrd: join(directory, 'shell.cpio'),
    benchInitrd: join(directory, 'bench.cpio'),
    nativePath: join(directory, 'bin'),
    work: join(GUEST, 'work.sh'),
  };
  if (kernel === undefined) {
    const kernelRecord = await record('debian-cloud');
    files.kernelName = `${kernelRecord.package} ${kernelRecord.packageVersion}`;
    writeFileSync(files.kernel, await images.openImage(kernelRecord, cache));
  }
  writeFileSync(files.shellInitrd, buildBusyboxInitramfs(busybox));
  const program = (path, from) => ({ kind: 'file', path, data: readFileSync(from), mode: 0o755 });
  writeFileSync(
    files.benchInitrd,
    buildBusyboxInitramfs(busybox, [
      { kind: 'directory', path: 'bench' },
      program('init', join(GUEST, 'init.sh')),
      program('bench/work.sh', files.work),
      program('bin/suite', suite),
    ]),
  );

  mkdirSync(files.nativePath);
  writeFileSync(join(files.nativePath, 'busybox'), busybox, { mode: 0o755 });
  writeFileSync(join(files.nativePath, 'suite'), readFileSync(suite), { mode: 0o755 });
  for (const applet of busyboxApplets(busybox)) {
    if (!existsSync(join(files.nativePath, applet))) symlinkSync('busybox', join(files.nativePath, applet));
  }
  return files;
}
