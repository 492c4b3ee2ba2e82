/** What the measured machines run: the suite, compiled here, and an initramfs around it; and the peers' programs. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BenchError } from './problem.mjs';
import { toolsEntries, toolsFiles, toolsRoot, writeTools } from './tools.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const GUEST = join(HERE, 'guest');
const CHURN = join(GUEST, 'churn');
// -ffp-contract=off: a compiler that fuses multiply and add would change the checksums.
const C_FLAGS = ['-O2', '-static', '-ffp-contract=off', '-Wall'];

/** Programs that are not ours, and the Debian packages that hold them. */
const PACKAGES = {
  gcc: ['gcc', 'libc6-dev'],
  'qemu-system-x86_64': ['qemu-system-x86'],
  mmdebstrap: ['mmdebstrap'],
  'gcc -m32': ['gcc-multilib'],
};

function isHere(program) {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => existsSync(join(directory, program)));
}

/** Makes sure a program is there; installs it where that can be done without asking, and else says how. */
export function need(program, otherwise, isThere = () => isHere(program)) {
  if (isThere()) return;
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...PACKAGES[program]];
  if (process.getuid?.() === 0 && isHere('apt-get')) {
    console.error(`bench: ${program} is not here; running ${install.join(' ')}`);
    try {
      execFileSync('apt-get', ['update', '-q'], { stdio: ['ignore', 'ignore', 'inherit'] });
      execFileSync(install[0], install.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
    } catch {
      // The sentence below is the answer.
    }
    if (isThere()) return;
  }
  throw new BenchError(`${program} is not here; install it with: sudo ${install.join(' ')}${otherwise}`);
}

/** gcc -m32 needs libraries of its own. */
export function needMultilib() {
  // The bare name where there is none.
  const library = () => execFileSync('gcc', ['-m32', '-print-file-name=libc.a'], { encoding: 'utf8' }).trim();
  need('gcc -m32', '', () => existsSync(library()));
}

/** One static program of all C files of a directory. */
function compile(directory, output, more = []) {
  const sources = readdirSync(directory).filter((name) => name.endsWith('.c'));
  const files = sources.map((name) => join(directory, name));
  execFileSync('gcc', [...C_FLAGS, ...more, '-o', output, ...files, '-lm'], { stdio: 'inherit' });
  return output;
}

/** Images of the catalogue, pulled where they are not cached. */
export async function openImages(dist) {
  const images = await import(join(dist, 'image/node/images.js'));
  const { BUSYBOX_FILE, ImageCache, cacheDirectory } = await import(join(dist, 'image/node/cache.js'));
  const cache = new ImageCache();
  const record = async (name) => {
    const found = await images.findImage(name, cache);
    if (found !== undefined) return found;
    console.error(`bench: fetching the image ${name}`);
    return await images.pullImage(name, () => undefined, cache);
  };
  return {
    /** What is not ours and was fetched for measuring. */
    cache: join(cacheDirectory(), 'bench'),
    busybox: async (name) => await cache.read(await record(name), BUSYBOX_FILE),
    /** {data, name} */
    kernel: async (name) => {
      const found = await record(name);
      return { data: await images.openImage(found, cache), name: `${found.package} ${found.packageVersion}` };
    },
  };
}

/** An initramfs of the measuring guest: `programs` are paths in the guest and files. */
async function writeBenchInitrd(dist, output, busybox, programs, more = []) {
  const { buildBusyboxInitramfs } = await import(join(dist, 'image/busybox-initramfs.js'));
  const program = ([path, from]) => ({ kind: 'file', path, data: readFileSync(from), mode: 0o755 });
  const all = { init: join(GUEST, 'init.sh'), 'bench/work.sh': join(GUEST, 'work.sh'), ...programs };
  const entries = [{ kind: 'directory', path: 'bench' }, ...Object.entries(all).map(program), ...more];
  writeFileSync(output, buildBusyboxInitramfs(busybox, entries));
  return output;
}

/** Kernel, busybox, suite, the initramfs and a directory of busybox's applets for native runs. */
export async function buildGuest(dist, directory, { kernel, works }) {
  const { buildBusyboxInitramfs, busyboxApplets } = await import(join(dist, 'image/busybox-initramfs.js'));
  const images = await openImages(dist);
  const suite = compile(GUEST, join(directory, 'suite'));
  const churn = compile(CHURN, join(directory, 'churn'));
  const busybox = await images.busybox('busybox');
  const files = {
    kernel: kernel ?? join(directory, 'vmlinuz'),
    kernelName: kernel ?? '',
    shellInitrd: join(directory, 'shell.cpio'),
    nativePath: join(directory, 'bin'),
    work: join(GUEST, 'work.sh'),
  };
  if (kernel === undefined) {
    const { data, name } = await images.kernel('debian-cloud');
    files.kernelName = name;
    writeFileSync(files.kernel, data);
  }
  writeFileSync(files.shellInitrd, buildBusyboxInitramfs(busybox));
  files.benchInitrd = await writeBenchInitrd(dist, join(directory, 'bench.cpio'), busybox, {
    'bin/suite': suite,
    'bin/churn': churn,
    'bench/churn.sh': join(CHURN, 'churn.sh'),
  });

  mkdirSync(files.nativePath);
  writeFileSync(join(files.nativePath, 'busybox'), busybox, { mode: 0o755 });
  writeFileSync(join(files.nativePath, 'suite'), readFileSync(suite), { mode: 0o755 });
  for (const applet of busyboxApplets(busybox)) {
    if (!existsSync(join(files.nativePath, applet))) symlinkSync('busybox', join(files.nativePath, applet));
  }

  if (works.some((work) => work.needsTools)) {
    need('mmdebstrap', '');
    files.toolsRoot = toolsRoot(images.cache);
    files.toolsBench = join(directory, 'tools');
    const inBench = toolsFiles(join(GUEST, 'tools'), busybox, readFileSync(suite));
    writeTools(files.toolsBench, inBench);
    const more = [...toolsEntries(files.toolsRoot, inBench)];
    files.toolsInitrd = await writeBenchInitrd(dist, join(directory, 'tools.cpio'), busybox, {}, more);
  }
  return files;
}

/** The suite of 32 bits with Debian's 686 kernel: the same files as buildGuest makes, as far as works need them. */
export async function build32(dist, directory) {
  const images = await openImages(dist);
  const suite = compile(GUEST, join(directory, 'suite-32'), ['-m32']);
  const kernel = join(directory, 'vmlinuz-686');
  const { data, name } = await images.kernel('debian-686');
  writeFileSync(kernel, data);
  const programs = { 'bin/suite': suite };
  const initrd = join(directory, 'bench-32.cpio');
  await writeBenchInitrd(dist, initrd, await images.busybox('busybox-i386'), programs);
  const firmware = join(directory, 'bios.bin');
  writeFileSync(firmware, (await images.kernel('seabios')).data);
  const nativePath = join(directory, 'bin-32');
  mkdirSync(nativePath);
  writeFileSync(join(nativePath, 'suite'), readFileSync(suite), { mode: 0o755 });
  return { kernel, kernelName: name, benchInitrd: initrd, nativePath, firmware, cache: images.cache };
}
