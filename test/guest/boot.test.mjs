// The default guest, unmodified: Debian's cloud kernel with our busybox userland boots to its shell, answers, powers off.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GuestConsole } from './console.mjs';
import { openGuestFile } from './files.mjs';
import { kernelLines } from './kernel-log.mjs';
import { bootTrapeze } from './trapeze.mjs';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const BOOT_MS = 150_000;
const COMMAND_MS = 30_000;
/** What no healthy kernel says on a healthy machine. */
const ALARM =
  /WARNING|BUG:|Oops|Call Trace|Kernel panic|unstable|lost interrupt|segfault|general protection|nobody cared|stall/;

/** The default images are in the cache or can be pulled; otherwise the reason why not. */
async function missingImages() {
  try {
    await openGuestFile('vmlinuz');
    await openGuestFile('initrd.cpio');
    return false;
  } catch (error) {
    return `the default guest cannot be had: ${error.message}`;
  }
}
const skip = await missingImages();

test('the default guest boots to its shell through the command and powers off', {
  skip,
  timeout: 240_000,
}, async () => {
  const child = spawn(process.execPath, [MAIN, 'run', '--timeout', '230'], { stdio: ['pipe', 'pipe', 'pipe'] });
  const terminal = new GuestConsole((text) => child.stdin.write(text));
  let errors = '';
  child.stdout.on('data', (bytes) => terminal.receive(bytes));
  child.stderr.on('data', (bytes) => {
    errors += bytes;
  });
  const ended = new Promise((resolve) => {
    child.on('close', (code) => {
      terminal.end(`the command ended with ${code} ${errors}`);
      resolve(code);
    });
  });
  try {
    await terminal.waitForShell(BOOT_MS);
    assert.equal((await terminal.run('echo $((6 * 7)) works', COMMAND_MS)).output, '42 works\n');
    assert.equal((await terminal.run('uname -m', COMMAND_MS)).output, 'x86_64\n');
    assert.deepEqual(await terminal.run('false', COMMAND_MS), { output: '', status: 1 });
    terminal.type('poweroff -f\n');
    assert.equal(await ended, 0, errors);
  } finally {
    child.kill();
  }
});

test('32-bit programs run under the 64-bit kernel, and its log is clean', { skip, timeout: 240_000 }, async (t) => {
  let initrd;
  try {
    initrd = await openGuestFile('initrd-i386.cpio');
  } catch (error) {
    // A host may have no source of the other architecture.
    t.diagnostic(`the 64-bit busybox instead: ${error.message}`);
    initrd = await openGuestFile('initrd.cpio');
  }
  const guest = {
    kernel: await openGuestFile('vmlinuz'),
    initrd,
    append: 'console=ttyS0 loglevel=8',
    memoryMiB: 256,
    timeoutMs: 230_000,
  };
  const visited = await bootTrapeze(guest);
  try {
    await visited.console.waitForShell(BOOT_MS);
    await visited.console.run('dmesg -n 1', COMMAND_MS);
    const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    assert.equal((await visited.console.run('printf abc | sha256sum | cut -c1-64', COMMAND_MS)).output, `${abc}\n`);
    const lines = kernelLines((await visited.console.run('dmesg', COMMAND_MS)).output);
    assert.ok(lines.length > 100, `${lines.length} lines in the kernel's log`);
    assert.deepEqual(
      lines.filter((line) => ALARM.test(line)),
      [],
    );
    visited.console.type('exit\n');
    assert.equal((await visited.ended).reason, 'power-off');
  } finally {
    visited.close();
  }
});
