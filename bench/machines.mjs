/** The three ways a work is run: in Trapeze, in QEMU with TCG, and natively; and what is measured of a guest. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HostProcess } from './host-process.mjs';
import { nativeTools, TOOLS_PATH } from './tools.mjs';

const MEMORY_MIB = 512;
const BOOT_TIMEOUT_MS = 120_000;
const WORK_TIMEOUT_MS = 420_000;
const POWER_OFF_TIMEOUT_MS = 20_000;
const PROMPT = /trapeze:\S*# /;
const SETTLE_MS = 10_000;
const IDLE_MS = 20_000;
const CLOCK_TOLERANCE = 0.03;
const LATENESS_MS = 3;
const LATENESS_SHARE = 0.1;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Each: (kernel, initrd, append) to a command line. Same kernel, initramfs, parameters, memory and processor count. */
export const MACHINES = {
  tcg: {
    title: 'QEMU TCG',
    command: (kernel, initrd, append) => [
      'qemu-system-x86_64',
      [
        '-accel',
        'tcg,thread=single',
        '-machine',
        'pc',
        '-smp',
        '1',
        '-m',
        `${MEMORY_MIB}`,
        '-nographic',
        '-no-reboot',
      ].concat(['-kernel', kernel, '-initrd', initrd, '-append', append]),
    ],
  },
  v86: {
    title: 'v86',
    command: (kernel, initrd, append, { files }) => files.v86Command(kernel, initrd, append),
  },
  trapeze: {
    title: 'Trapeze',
    /** `translations`: the directory where they are kept from one boot to the next; absent: nowhere. */
    command: (kernel, initrd, append, { dist, statsFile, translations = 'none' }) => [
      process.execPath,
      [join(dist, 'cli/main.js'), 'run', '--engine', 'dbt', '--memory', `${MEMORY_MIB}M`, '--no-reboot'].concat(
        statsFile === undefined ? [] : [`--stats=${statsFile}`],
        ['--translations', translations, '--kernel', kernel, '--initrd', initrd, '--append', append],
      ),
    ],
  },
};

/** "RESULT name milliseconds checksum cpu-milliseconds" */
const RESULT = /^RESULT (\S+) ([\d.]+) ([0-9a-f]{16}) ([\d.]+)$/;

function start(machine, files, initrd, append, context, onLine) {
  const parameters = `console=ttyS0 quiet ${append}`.trim();
  return new HostProcess(...MACHINES[machine].command(files.kernel, initrd, parameters, { ...context, files }), {
    onLine,
  });
}

/** One boot that runs the works: what `boot` says of it, {runs: [{name, ms, hostMs, cpuMs, checksum}]}, failure?. */
export async function runWorks(machine, files, works, repeats, context) {
  const runs = [];
  const boot = {};
  let begun;
  const names = (test) =>
    works
      .filter(test)
      .map((work) => work.name)
      .join(',');
  const append = [
    `bench.tests=${names((work) => work.kind !== 'shell')}`,
    `bench.shell=${names((work) => work.kind === 'shell' && !work.needsTools)}`,
    `bench.tools=${names((work) => work.needsTools)}`,
    `bench.repeats=${repeats}`,
  ].join(' ');
  const initrd = works.some((work) => work.needsTools) ? files.toolsInitrd : files.benchInitrd;
  const guest = start(machine, files, initrd, append, context, (line, at, host) => {
    if (/INIT$/.test(line)) Object.assign(boot, { initMs: at, initCpuMs: host.cpuSeconds() * 1000 });
    const source = /^CLOCKSOURCE (\S+)/.exec(line);
    if (source !== null) boot.clocksource = source[1];
    if (line.startsWith('START ')) begun = { at, threads: host.threadCpuMs() };
    const result = RESULT.exec(line);
    if (result === null || begun === undefined) return;
    // The busiest thread since the start is the one that runs the guest.
    const before = begun.threads;
    const busiest = Math.max(0, ...[...host.threadCpuMs()].map(([thread, ms]) => ms - (before.get(thread) ?? 0)));
    const [name, ms, checksum] = [result[1], Number(result[2]), result[3]];
    const hostMs = at - begun.at;
    // A line that this process read late says when, but not what the guest had used by then.
    const isPunctual = Math.abs(hostMs - ms) < LATENESS_MS + LATENESS_SHARE * ms;
    runs.push({ name, ms, hostMs, cpuMs: isPunctual ? busiest : Number.NaN, checksum });
    context.onProgress?.(`${MACHINES[machine].title}: ${name} ${ms.toFixed(0)} ms`);
  });
  const done = await guest.waitFor(/^DONE/m, WORK_TIMEOUT_MS);
  const cost = { cpuSeconds: guest.cpuSeconds(), wallSeconds: guest.elapsed() / 1000, peakMiB: guest.peakMemoryMiB() };
  const code = await guest.end(done ? POWER_OFF_TIMEOUT_MS : 0);
  return { ...boot, ...trustedClock(runs), ...cost, ...failureOf(done, code, guest) };
}

/**
 * A guest that measured its time-stamp counter wrongly at boot, as happens on a busy host, has a clock of another speed.
 * The times of such a boot are corrected by the host's clock, which tells when the lines before and after a work came.
 */
function trustedClock(runs) {
  const sum = (key) => runs.reduce((total, run) => total + run[key], 0);
  const clockSpeed = sum('ms') / sum('hostMs');
  if (!(Math.abs(clockSpeed - 1) > CLOCK_TOLERANCE)) return { runs, clockSpeed, clock: 'guest' };
  return { runs: runs.map((run) => ({ ...run, ms: run.ms / clockSpeed })), clockSpeed, clock: 'corrected' };
}

/** Boots the stock userland to its prompt; with `idle`, also what it costs to sit there. */
export async function bootToShell(machine, files, idle, context) {
  const guest = start(machine, files, files.shellInitrd, '', context);
  const done = await guest.waitFor(PROMPT, BOOT_TIMEOUT_MS);
  const boot = {
    shellMs: guest.elapsed(),
    shellCpuMs: guest.cpuSeconds() * 1000,
    peakMiB: guest.peakMemoryMiB(),
  };
  if (done && idle) {
    await sleep(SETTLE_MS);
    const [cpu, at] = [guest.cpuSeconds(), guest.elapsed()];
    await sleep(IDLE_MS);
    boot.idlePercent = ((guest.cpuSeconds() - cpu) / ((guest.elapsed() - at) / 1000)) * 100;
  }
  guest.write('exit\n');
  const code = await guest.end(done ? POWER_OFF_TIMEOUT_MS : 0);
  return { ...boot, ...failureOf(done, code, guest) };
}

/** A minute of mixed load: by how much the guest's clock goes faster than the host's, in per cent; waits for translation. */
export async function clockDrift(machine, files, seconds, context) {
  const points = [];
  const statsFile = join(context.directory, `${machine}-load.json`);
  const here = { ...context, statsFile };
  const guest = start(machine, files, files.benchInitrd, `bench.load=${seconds}`, here, (line, at) => {
    const clock = /^CLOCK ([\d.]+)$/.exec(line);
    if (clock !== null) points.push({ host: at, lag: at - Number(clock[1]) });
  });
  const done = await guest.waitFor(/^DONE/m, BOOT_TIMEOUT_MS + seconds * 2000);
  const code = await guest.end(done ? POWER_OFF_TIMEOUT_MS : 0);
  if (!done || points.length < 4) return failureOf(false, code, guest);
  // A line may come late but never early: the smallest lag of the first and of the last third are the true ones.
  const third = Math.floor(points.length / 3) || 1;
  const least = (list) => list.reduce((best, point) => (point.lag < best.lag ? point : best));
  const [first, last] = [least(points.slice(0, third)), least(points.slice(-third))];
  return {
    driftPercent: (-(last.lag - first.lag) / (last.host - first.host)) * 100,
    seconds: (last.host - first.host) / 1000,
    points: points.length,
    stalls: stallsOf(statsFile),
  };
}

/** How often the guest waited how long for translation, by name; Trapeze alone tells. */
function stallsOf(statsFile) {
  if (!existsSync(statsFile)) return undefined;
  const { translator } = JSON.parse(readFileSync(statsFile, 'utf8'));
  return Object.fromEntries(Object.entries(translator).filter(([name]) => name.includes('stalls')));
}

function failureOf(done, code, guest) {
  if (done && code === 0) return {};
  const what = done
    ? `did not power off cleanly (${code ?? 'ended by bench'})`
    : `stopped short (${code ?? 'time is up'})`;
  return {
    failure: `${what}: ${`${guest.text.slice(-300)} ${guest.errors.slice(-300)}`.replaceAll(/[^\x20-\x7e]+/g, ' ')}`,
  };
}

/** The same programs on the host itself. */
export async function runNative(files, works, repeats, context) {
  const runs = [];
  const data = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'trapeze-bench-'));
  const env = { ...process.env, PATH: files.nativePath, BENCH_DATA: join(data, 'data') };
  const onLine = (line) => {
    const result = RESULT.exec(line);
    if (result === null) return;
    runs.push({ name: result[1], ms: Number(result[2]), checksum: result[3], cpuMs: Number(result[4]) });
    context.onProgress?.(`native: ${result[1]} ${Number(result[2]).toFixed(0)} ms`);
  };
  const run = async (program, args) =>
    await new HostProcess(join(files.nativePath, program), args, { onLine, env }).end(WORK_TIMEOUT_MS);
  try {
    const tests = works.filter((work) => work.kind !== 'shell').map((work) => work.name);
    if (tests.length > 0) await run('suite', ['-r', `${repeats}`, ...tests]);
    const shell = works.filter((work) => work.kind === 'shell' && !work.needsTools).map((work) => work.name);
    if (shell.length > 0) await run('sh', [files.work, 'prepare']);
    for (const name of shell) await run('suite', ['--time', name, `${repeats}`, 'sh', files.work, name]);
    const tools = works.filter((work) => work.needsTools).map((work) => work.name);
    const commands = tools.map((name) => `suite --time ${name} ${repeats} sh /bench/tools.sh ${name}`);
    const inTools = ['sh', '-c', ['sh /bench/tools.sh prepare', ...commands].join(' && ')];
    const command = tools.length > 0 ? nativeTools(files.toolsRoot, files.toolsBench, inTools) : undefined;
    if (command !== undefined) {
      await new HostProcess(...command, { onLine, env: { PATH: TOOLS_PATH } }).end(WORK_TIMEOUT_MS);
    }
  } finally {
    rmSync(data, { recursive: true });
  }
  return { runs };
}
