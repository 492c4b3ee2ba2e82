// Input that cannot be run: one clear sentence on standard error and exit code 2, soon; never a crash or a hang.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findImage, openImage } from '../../dist/image/node/images.js';
import { bzImage, noise } from './small-kernels.mjs';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const LIMIT_MS = 60_000;
const directory = mkdtempSync(join(tmpdir(), 'trapeze-hostile-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function command(...args) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let errors = '';
    child.stdout.on('data', (bytes) => {
      out += bytes;
    });
    child.stderr.on('data', (bytes) => {
      errors += bytes;
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, out, errors });
    });
  });
}

/** Exit code 2, nothing on standard output, one line on standard error that is no stack trace. */
async function isRefused(...args) {
  const { code, signal, out, errors } = await command(...args);
  const what = `${args.join(' ').slice(0, 120)}: ${code ?? signal} ${errors.slice(0, 600)}`;
  assert.equal(code, 2, what);
  assert.equal(out, '', what);
  assert.equal(errors.trimEnd().split('\n').length, 1, `one sentence: ${what}`);
  assert.ok(errors.trim().length > 20, what);
  assert.doesNotMatch(errors, /\bat .*\.js|node:internal|undefined|NaN|\[object/, what);
}

function file(name, bytes) {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

test('bad arguments', { timeout: 300_000 }, async () => {
  const kernel = file('any', noise(1000, 1));
  await isRefused('run', '--memory', '0M');
  await isRefused('run', '--memory', '1K');
  await isRefused('run', '--memory', '99999999999G');
  await isRefused('run', '--memory', '4G');
  await isRefused('run', '--memory=-512M');
  await isRefused('run', '--memory', '1e3M');
  await isRefused('run', '--cpus', '2');
  await isRefused('run', '--cpus', 'many');
  await isRefused('run', '--engine', 'magic');
  await isRefused('run', '--timeout', 'soon');
  await isRefused('run', '--timeout=-1');
  await isRefused('run', '--debugcon', '70000=stdio');
  await isRefused('run', '--serial', 'file:');
  await isRefused('run', '--serial', `file:${directory}/none/such`, '--kernel', kernel);
  await isRefused('run', '--no-such-option');
  await isRefused('run', 'stray');
  await isRefused('fly');
  await isRefused('image', 'pull', 'no-such-image');
});

test('files that are no kernels', { timeout: 300_000 }, async () => {
  await isRefused('run', '--kernel', join(directory, 'absent'));
  await isRefused('run', '--kernel', directory);
  await isRefused('run', '--kernel', '/dev/null');
  await isRefused('run', '--kernel', file('empty', ''));
  for (const [seed, length] of [
    [1, 1],
    [2, 511],
    [3, 5000],
    [4, 3_000_000],
  ]) {
    await isRefused('run', '--kernel', file('noise', noise(length, seed)));
  }
  await isRefused('run', '--kernel', file('text', '#!/bin/sh\necho not a kernel\n'));
  await isRefused('run', '--kernel', process.execPath);
  await isRefused('run', '--kernel', file('elf', Buffer.from('7f454c46020101000000000000000000', 'hex')));
});

test('truncated and damaged kernels', { timeout: 300_000 }, async (t) => {
  const whole = bzImage(noise(20_000, 5));
  for (const length of [0x1f0, 0x202, 0x230, 0x268, 600, 2559, 2560, 9000]) {
    await isRefused('run', '--kernel', file('short', whole.subarray(0, length)));
  }
  await isRefused(
    'run',
    '--kernel',
    file(
      'setup',
      bzImage(noise(4096, 6), (view) => view.setUint8(0x1f1, 64)),
    ),
  );
  await isRefused(
    'run',
    '--kernel',
    file(
      'size',
      bzImage(noise(4096, 6), (view) => view.setUint32(0x1f4, 0xffffffff, true)),
    ),
  );
  await isRefused(
    'run',
    '--kernel',
    file(
      'init',
      bzImage(noise(4096, 6), (view) => view.setUint32(0x260, 0xfffffff0, true)),
    ),
  );
  const record = await findImage('debian-cloud');
  if (record === undefined) return t.diagnostic('no Debian kernel in the image cache to truncate');
  const kernel = await openImage(record);
  for (const length of [700, 20_000, kernel.length >> 1]) {
    await isRefused('run', '--kernel', file('debian', kernel.subarray(0, length)));
  }
});

test('initrds that do not fit', { timeout: 120_000 }, async () => {
  const kernel = file('fits', bzImage(noise(4096, 7)));
  await isRefused('run', '--kernel', kernel, '--memory', '64M', '--initrd', file('large', new Uint8Array(80 << 20)));
  await isRefused('run', '--kernel', kernel, '--initrd', join(directory, 'absent'));
  await isRefused('run', '--kernel', kernel, '--initrd', directory);
  await isRefused('run', '--kernel', kernel, '--append', 'x'.repeat(100_000));
});

test('a kernel of noise ends as a guest does, in bounded time', { timeout: 300_000 }, async () => {
  for (const seed of [11, 12, 13, 14, 15, 16]) {
    const kernel = file('wild', bzImage(noise(65_536, seed)));
    const { code, signal, errors } = await command(
      'run',
      '--kernel',
      kernel,
      '--memory',
      '64M',
      '--no-reboot',
      '--timeout',
      '4',
    );
    assert.ok([0, 4, 124].includes(code), `seed ${seed}: ${code ?? signal} ${errors.slice(0, 500)}`);
    assert.doesNotMatch(errors, /\bat .*\.js|node:internal/, `seed ${seed}`);
  }
});
