// Runs cases on Trapeze and on QEMU: one image with all of them, started again behind a case that the guest does not come
// back from.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Machine } from '../../dist/node.js';
import * as L from './layout.mjs';

/** A guest that tells nothing for so long does not come back. */
const SILENCE_MS = 6000;
const TICK_MS = 200;

/** Calls `stop` once `told()` has not changed for so long; ends the watch. */
function watch(told, stop) {
  let last = -1;
  // Ticks, not time: this process may have stood still itself.
  let ticks = 0;
  const timer = setInterval(() => {
    const now = told();
    if (now !== last) [last, ticks] = [now, 0];
    else if (++ticks > SILENCE_MS / TICK_MS) stop();
  }, TICK_MS);
  return () => clearInterval(timer);
}

export async function onTrapeze(file) {
  const machine = new Machine({
    kernel: file,
    kernelName: 'privilege',
    memoryBytes: L.MEMORY_BYTES,
    debugcon: 0xe9,
    debugExit: true,
    noReboot: true,
    engine: 'dbt',
  });
  const parts = [];
  machine.on('debugcon', (bytes) => parts.push(Uint8Array.from(bytes)));
  const unwatch = watch(
    () => Math.min(parts.length, file.length >> 12),
    () => machine.close(),
  );
  const { reason } = await machine.run();
  unwatch();
  machine.close();
  return {
    output: Buffer.concat(parts),
    end: { 'debug-exit': 'end', 'triple-fault': 'shutdown', reset: 'shutdown' }[reason] ?? 'hang',
  };
}

export async function onQemu(file) {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'trapeze-privilege-'));
  const [kernel, output] = [join(folder, 'kernel'), join(folder, 'output')];
  writeFileSync(kernel, file);
  const options = [
    ...['-accel', 'tcg', '-cpu', 'max,vendor=GenuineIntel,la57=off', '-m', String(L.MEMORY_BYTES >> 20)],
    ...['-display', 'none', '-nodefaults', '-no-reboot', '-kernel', kernel, '-debugcon', `file:${output}`],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=4'],
  ];
  try {
    const child = spawn('qemu-system-x86_64', options, { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (data) => {
      errors += data;
    });
    const most = file.length;
    // More than all results: it is astray, which is as silent.
    const size = () => Math.min(most, statSync(output, { throwIfNoEntry: false })?.size ?? 0);
    const unwatch = watch(size, () => child.kill('SIGKILL'));
    const [status, signal] = await new Promise((resolve) => child.on('close', (...how) => resolve(how)));
    unwatch();
    if (status === 1) throw new Error(`QEMU: ${errors}`);
    return { output: readFileSync(output), end: status === 0x21 ? 'end' : signal === null ? 'shutdown' : 'hang' };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The result of every case: what the monitor told, or how the guest ended instead. */
export async function results(run, { image, decodeResult, RESULT_SIZE }, cases, pages) {
  const built = image(cases, pages);
  const found = [];
  while (found.length < cases.length) {
    built.start(found.length);
    const { output, end } = await run(built.file);
    let isAstray = false;
    for (let at = 0; at + RESULT_SIZE <= output.length && !isAstray; at += RESULT_SIZE) {
      const result = decodeResult(output, at);
      // A guest that jumped into its own monitor tells all kinds of things.
      isAstray = found.length >= cases.length || result.number !== (found.length & 0xffff);
      if (!isAstray) found.push(result);
    }
    if (found.length < cases.length) found.push(isAstray ? 'astray' : end === 'end' ? 'ended' : end);
  }
  return found;
}
