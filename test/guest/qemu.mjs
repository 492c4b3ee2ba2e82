// Boots a guest in Debian's qemu-system-x86_64, the judge of what a kernel says on a PC of this kind.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GuestConsole } from './console.mjs';

const PROGRAM = 'qemu-system-x86_64';
/** TCG's nearest to what our guests are offered: x86-64-v2. */
const CPU = 'Nehalem';

export function hasQemu() {
  return spawnSync(PROGRAM, ['--version']).status === 0;
}

/** The same shape as bootTrapeze. */
export async function bootQemu(guest) {
  const directory = mkdtempSync(join(tmpdir(), 'trapeze-qemu-'));
  const kernel = join(directory, 'kernel');
  writeFileSync(kernel, guest.kernel);
  const args = ['-accel', 'tcg', '-machine', 'pc', '-cpu', guest.cpu ?? CPU, '-m', String(guest.memoryMiB)];
  args.push(
    '-display',
    'none',
    '-monitor',
    'none',
    '-serial',
    'stdio',
    '-no-reboot',
    '-kernel',
    kernel,
    '-append',
    guest.append,
  );
  if (guest.firmware !== undefined) {
    writeFileSync(join(directory, 'firmware'), guest.firmware);
    args.push('-bios', join(directory, 'firmware'));
  }
  if (guest.initrd !== undefined) {
    writeFileSync(join(directory, 'initrd'), guest.initrd);
    args.push('-initrd', join(directory, 'initrd'));
  }
  const child = spawn(PROGRAM, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const terminal = new GuestConsole((text) => child.stdin.write(Buffer.from(text, 'latin1')));
  let errors = '';
  child.stdout.on('data', (bytes) => terminal.receive(bytes));
  child.stderr.on('data', (bytes) => {
    errors += bytes;
  });
  child.stdin.on('error', () => undefined);
  const timer = guest.timeoutMs === undefined ? undefined : setTimeout(() => child.kill(), guest.timeoutMs);
  const ended = new Promise((resolve) => {
    const finish = (reason) => {
      clearTimeout(timer);
      rmSync(directory, { recursive: true, force: true });
      terminal.end(`the guest ended (${reason})`);
      resolve({ reason });
    };
    child.on('error', (error) => finish(`error: ${error.message}`));
    child.on('close', (code, signal) => finish(code === 0 ? 'power-off' : `error: ${signal ?? code} ${errors.trim()}`));
  });
  return { console: terminal, ended, close: () => child.kill() };
}
