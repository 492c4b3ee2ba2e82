// A guest saved in the middle of its boot goes on in another process as if nothing had been, and the saved one goes on too.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Machine, StateError } from '../../dist/node.js';
import { GuestConsole } from './console.mjs';
import { openGuestFile } from './files.mjs';
import { goOn, startCommand } from './saved-state.mjs';
import { bzImage, ENTRY_64 } from './small-kernels.mjs';

const BOOT_MS = 200_000;
const COMMAND_MS = 60_000;
/** Bytes on the console at which the boot is saved: the first one, and two places that nobody has thought about. */
const MOMENTS = [1, 6101, 11_873];
const directory = mkdtempSync(join(tmpdir(), 'trapeze-saved-'));
after(() => rmSync(directory, { recursive: true, force: true }));

async function defaultGuest() {
  try {
    return { kernel: await openGuestFile('vmlinuz'), initrd: await openGuestFile('initrd.cpio') };
  } catch (error) {
    return { missing: `the default guest cannot be had: ${error.message}` };
  }
}
const guest = await defaultGuest();

function file(name, bytes) {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

const machines = new Set();
after(() => {
  for (const machine of machines) machine.close();
});

async function load(state, options) {
  const machine = await Machine.load(state, options);
  machines.add(machine);
  return machine;
}

/** A machine with a program of a few bytes, and what it wrote to port 0xe9. */
function small(code, options = {}) {
  const payload = new Uint8Array(0x4000);
  payload.set(Buffer.from(code.replaceAll(' ', ''), 'hex'), ENTRY_64);
  const settings = { memoryBytes: 32 << 20, noReboot: true, debugExit: true, debugcon: 0xe9, timeoutMs: 60_000 };
  const machine = new Machine({ kernel: bzImage(payload), ...settings, ...options });
  machines.add(machine);
  return machine;
}

test('a boot saved at several moments goes on in new processes', {
  skip: guest.missing ?? false,
  timeout: 600_000,
}, async () => {
  const machine = new Machine({
    kernel: guest.kernel,
    modules: [{ data: guest.initrd, args: '' }],
    append: 'console=ttyS0',
    memoryBytes: 256 << 20,
    noReboot: true,
    timeoutMs: 500_000,
  });
  const terminal = new GuestConsole((text) => machine.write(Buffer.from(text, 'latin1')));
  const saved = [];
  const save = async (name) => {
    const path = file(name, await machine.save());
    // What the guest had written came before its state did.
    saved.push([terminal.text, path]);
  };
  const hasWritten = (length) => ({ exec: (text) => (text.length >= length ? [text] : null) });
  machine.on('serial', (bytes) => terminal.receive(bytes));
  const ended = machine.run();
  ended.then(
    ({ reason }) => terminal.end(reason),
    (error) => terminal.end(error.message),
  );
  for (const length of MOMENTS) {
    await terminal.waitFor(hasWritten(length), BOOT_MS);
    await save(`${length}.state`);
  }
  await terminal.waitForShell(BOOT_MS);
  assert.equal((await terminal.run('kept=here; echo $((6 * 7))', COMMAND_MS)).output, '42\n');
  await save('shell.state');
  assert.equal((await terminal.run('echo $kept', COMMAND_MS)).output, 'here\n', 'the saved machine goes on');
  terminal.type('poweroff -f\n');
  assert.equal((await ended).reason, 'power-off');
  for (const [before, path] of saved) {
    const isShell = path.endsWith('shell.state');
    const { problems, exitCode } = await goOn(startCommand(['run', '--load', path, '--timeout', '300']), before, {
      bootMs: isShell ? undefined : BOOT_MS,
      commandMs: COMMAND_MS,
      checks: [['echo $kept', isShell ? /^here\n$/ : /^\n$/]],
    });
    assert.deepEqual([problems, exitCode], [[], 0], path);
  }
});

test('a loop of port accesses and memory-mapped ones loses and repeats none', { timeout: 120_000 }, async () => {
  // Counts in ebx: mov ecx, 200000; l: lea rdx, HPET counter: mov eax, [0xfed000f0]; mov al, bl; out 0xe9, al; inc ebx;
  // in al, 0x61; dec ecx; jnz l; mov al, 42; out 0xf4, al
  const machine = small('b9400d0300 31db  a1f000d0fe00000000 88d8 e6e9 ffc3 e461 ffc9 75eb  b02a e6f4 f4ebfd', {
    memoryBytes: 16 << 20,
  });
  const pieces = [];
  const ended = watch(machine, pieces);
  let current = machine;
  let end = ended;
  for (let generation = 0; generation < 6; generation++) {
    await new Promise((resolve) => setTimeout(resolve, 40 + 37 * generation));
    await current.pause();
    const state = await current.save();
    current.close();
    const { reason } = await end;
    if (reason !== 'closed') break;
    current = await load(state, { noReboot: true, timeoutMs: 100_000 });
    end = watch(current, pieces);
  }
  const result = await end;
  assert.deepEqual([result.reason, result.exitCode], ['debug-exit', 85]);
  const bytes = Buffer.concat(pieces);
  assert.equal(bytes.length, 200_000);
  assert.ok(
    bytes.every((byte, n) => byte === (n & 255)),
    'every byte once and in order',
  );
});

/** The guest runs and has written something to its debug port. */
function firstByte(machine) {
  return new Promise((resolve) => machine.on('debugcon', resolve));
}

function watch(machine, pieces) {
  machine.on('debugcon', (bytes) => pieces.push(Buffer.from(bytes)));
  return machine.run();
}

test('a halted guest stays halted, and wakes by the interrupt that it waits for', { timeout: 60_000 }, async () => {
  // mov al, 0x55; out 0xe9, al; cli; hlt: nothing wakes it; jmp back
  const machine = small('b055 e6e9 fa f4 ebf8');
  const output = [];
  const ended = watch(machine, output);
  await firstByte(machine);
  const state = await machine.save();
  machine.close();
  const before = await ended;
  const loaded = await load(state, { timeoutMs: 700 });
  const result = await watch(loaded, output).then((r) => r);
  assert.equal(result.reason, 'timeout');
  assert.equal(result.cpu.rip, before.cpu.rip);
  assert.equal(Buffer.concat(output).length, 1);
});

test('virtual time stands still while a machine is paused and goes on where it was saved', {
  timeout: 60_000,
}, async () => {
  // out 0xe9, al; l: rdtsc; shl rdx, 32; or rax, rdx; mov [0x300000], rax; jmp l
  const machine = small('e6e9 0f31 48c1e220 4809d0 48a30000300000000000 ebeb');
  const tsc = (result) => result.cpu.msrs.get(0x10);
  const ended = watch(machine, []);
  await firstByte(machine);
  await machine.pause();
  const state = await machine.save();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  machine.resume();
  machine.close();
  const first = await ended;
  assert.ok(tsc(first) < 1_400_000_000n, `paused for 1.5 s, but the TSC is ${tsc(first)}`);
  const loaded = await load(state);
  const again = watch(loaded, []);
  await loaded.pause();
  loaded.close();
  const second = await again;
  assert.ok(tsc(second) > 0n && tsc(second) < 1_400_000_000n, `${tsc(second)}`);
  assert.ok(second.cpu.gpr[0] <= tsc(second));
});

test('pausing, saving twice at once, and asking too late', { timeout: 60_000 }, async () => {
  const machine = small('ebfe');
  await assert.rejects(machine.save(), { code: 'bad-usage' });
  const ended = machine.run();
  const [one, two] = await Promise.all([machine.save(), machine.save(), machine.pause()]);
  machine.resume();
  assert.ok(one.length > 1000 && two.length > 1000);
  const late = machine.save();
  machine.close();
  await late.catch((error) => assert.ok(error instanceof StateError));
  await ended;
  await assert.rejects(machine.save(), { code: 'bad-usage' });
  await assert.rejects(Machine.load(one, { memoryBytes: 64 << 20 }), /has 32 MiB of memory, not 64 MiB/);
  await assert.rejects(Machine.load(new Uint8Array(100)), { code: 'bad-state', exitCode: 2 });
});

test('a running guest tells its counters and goes on; one that does not run has none', {
  timeout: 60_000,
}, async () => {
  const machine = small('ebfe');
  await assert.rejects(machine.statistics(), { code: 'bad-usage' });
  const ended = machine.run();
  const executed = ({ instructions }) => instructions.interpreted + instructions.translated;
  const first = executed(await machine.statistics());
  await new Promise((resolve) => setTimeout(resolve, 50));
  await machine.pause();
  const second = executed(await machine.statistics());
  assert.ok(second > first, `${first} and then ${second} instructions`);
  assert.equal(executed(await machine.statistics()), second, 'a paused guest executes nothing');
  machine.close();
  assert.ok(executed((await ended).statistics) >= second);
  await assert.rejects(machine.statistics(), { code: 'bad-usage' });
});

test('files that are no saved states end the command with 2 and one sentence', { timeout: 60_000 }, async () => {
  const machine = small('ebfe');
  const ended = machine.run();
  const state = await machine.save();
  machine.close();
  await ended;
  const flipped = state.slice();
  flipped[state.length >> 1] ^= 0x10;
  for (const [bytes, expected] of [
    ['not a state', /not a saved state/],
    [state.subarray(0, state.length - 5), /truncated/],
    [flipped, /damaged/],
  ]) {
    const child = startCommand(['run', '--load', file('bad.state', bytes), '--timeout', '20']);
    const { code, errors } = await child.ended;
    assert.equal(code, 2, errors);
    assert.match(errors, expected);
    assert.equal(errors.trimEnd().split('\n').length, 1, errors);
  }
  const other = startCommand(['run', '--load', file('good.state', state), '--memory', '64M']);
  const { code, errors } = await other.ended;
  assert.equal(code, 2);
  assert.match(errors, /has 32 MiB of memory, not 64 MiB of memory/);
});
