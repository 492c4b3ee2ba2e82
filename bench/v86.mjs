/**
 * Debian's 32-bit kernel and the C suite, compiled for 32 bits, in Trapeze and in the newest v86 of npm, which is fetched
 * into the cache (never into this repository; its licence stays its own) and runs on Node as it comes: its own
 * WebAssembly, 512 MB, its default devices, and Debian's SeaBIOS, since the package brings no BIOS.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runNative, runWorks } from './machines.mjs';
import { BenchError } from './problem.mjs';
import { geomean, summarize, worksTable } from './report.mjs';
import { WORKS } from './works.mjs';

export const WORKS_32 = WORKS.filter((work) => work.kind === 'c');
const HOST = fileURLToPath(new URL('v86-host.mjs', import.meta.url));
const MUST = 2;
const AIM = 4;

/** {directory, version} of the package; installed where it is not there. */
export function v86Package(cache) {
  const directory = join(cache, 'v86');
  const installed = join(directory, 'node_modules/v86');
  if (!existsSync(join(installed, 'build/v86.wasm'))) {
    console.error('bench: installing v86 from npm into the cache');
    npmInstall(directory, 'v86');
  }
  return { directory: installed, version: JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')).version };
}

/** One package, aside and then in its place: an interrupted installation leaves nothing half-done. */
export function npmInstall(directory, name) {
  const unfinished = `${directory}.unfinished-${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  try {
    const flags = ['--no-save', '--no-audit', '--no-fund', '--no-package-lock', '--silent', '--prefix', unfinished];
    execFileSync('npm', ['install', ...flags, name], { stdio: ['ignore', 'ignore', 'inherit'], cwd: unfinished });
  } catch {
    throw new BenchError(`npm could not install ${name}; is there a network?`);
  }
  renameSync(unfinished, directory);
}

/** The command of v86 in its own process, in the form of MACHINES. */
export function v86Command({ v86, firmware }) {
  return (kernel, initrd, append) => [process.execPath, [HOST, v86.directory, firmware, kernel, initrd, append]];
}

/** One round: {native, v86, trapeze}, in turn about. */
export async function runRound32(files, round, repeats, context) {
  const here = { ...files, v86Command: v86Command(files) };
  // Both begin from nothing.
  const fresh = { ...context, translations: undefined };
  const result = { native: await runNative(here, WORKS_32, repeats, fresh) };
  const order = round % 2 === 0 ? ['v86', 'trapeze'] : ['trapeze', 'v86'];
  for (const machine of order) result[machine] = await runWorks(machine, here, WORKS_32, repeats, fresh);
  return result;
}

export function rows32(rounds, clock) {
  if (rounds.length === 0) return [];
  const lists = Object.fromEntries(
    ['native', 'v86', 'trapeze'].map((name) => [name, rounds.map((round) => round[name])]),
  );
  return summarize(WORKS_32, lists, { clock, peer: 'v86' });
}

export function table32(rows, options) {
  return worksTable(rows, { ...options, peer: 'v86' });
}

export function goals32(rows) {
  const value = geomean(rows.map((row) => row.speedUp));
  const text = '32-bit guest, C suite against v86';
  return Number.isFinite(value)
    ? [
        { text: `${text}: geomean at least ${MUST}`, value: value.toFixed(2), reached: value >= MUST },
        { text: `${text}, aim: geomean ${AIM}`, value: value.toFixed(2), reached: value >= AIM },
      ]
    : [];
}
