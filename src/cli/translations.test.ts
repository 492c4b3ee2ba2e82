import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { HostFileError } from '../base/errors.js';
import type { FirmwareGuest } from './guest.js';
import { translationsFile } from './translations.js';

const directory = mkdtempSync(join(tmpdir(), 'trapeze-translations-'));
after(() => rmSync(directory, { recursive: true }));

const guest = (kernel: Uint8Array, module = new Uint8Array(10)): FirmwareGuest => ({
  kernel,
  kernelName: 'vmlinuz',
  modules: [{ data: module, args: '', name: 'initrd' }],
  append: '',
  hasDefaultInit: false,
  title: 'vmlinuz',
});

test('each guest has a file of its own, in a directory that is made', async () => {
  const folder = join(directory, 'a', 'b');
  const path = await translationsFile(folder, guest(Uint8Array.of(1, 2, 3)));
  assert.equal(path && dirname(path), folder);
  assert.match(path ? basename(path) : '', /^[0-9a-f]{16}-[0-9a-f]{16}\.regions$/);
  assert.equal(await translationsFile(folder, guest(Uint8Array.of(1, 2, 3))), path);
  assert.notEqual(await translationsFile(folder, guest(Uint8Array.of(1, 2, 4))), path);
  assert.notEqual(await translationsFile(folder, guest(Uint8Array.of(1, 2, 3), new Uint8Array(11))), path);
});

test('none keeps nothing', async () => {
  assert.equal(await translationsFile('none', guest(Uint8Array.of(1))), undefined);
});

test('a directory that cannot be had is named', async () => {
  const file = join(directory, 'file');
  writeFileSync(file, '');
  await assert.rejects(translationsFile(join(file, 'below'), guest(Uint8Array.of(1))), (error: unknown) => {
    assert.ok(error instanceof HostFileError);
    assert.match(error.message, /--translations/);
    assert.match(error.message, /below/);
    return true;
  });
});

test('files that were not used for longest go when all are too large, and nothing else does', async () => {
  const folder = join(directory, 'full');
  const first = await translationsFile(folder, guest(Uint8Array.of(1)));
  assert.ok(first);
  const file = (name: string, size: number, age: number): string => {
    const path = join(folder, name);
    writeFileSync(path, '');
    truncateSync(path, size);
    utimesSync(path, 2e9 - age, 2e9 - age);
    return path;
  };
  const [old, young, other] = [
    file('old.regions', 300 << 20, 1000),
    file('young.regions', 300 << 20, 10),
    file('notes.txt', 300 << 20, 2000),
  ];
  await translationsFile(folder, guest(Uint8Array.of(1)));
  assert.deepEqual([old, young, other].map(existsSync), [false, true, true]);
});
