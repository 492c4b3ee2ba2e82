import assert from 'node:assert/strict';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { BadImageError } from '../base/errors.js';
import { bzImage } from '../machine/boot/test-images.js';
import { buildBusyboxInitramfs, busyboxApplets } from './busybox-initramfs.js';
import { writeCpio } from './cpio.js';
import { decompressLz4Legacy } from './lz4.js';
import { TarPicker } from './tar.js';
import { extractVmlinux } from './vmlinux.js';

const encoder = new TextEncoder();
const LZ4_MAGIC = [0x02, 0x21, 0x4c, 0x18];

function lz4Frame(...blocks: readonly (readonly number[])[]): Uint8Array {
  const bytes = [...LZ4_MAGIC];
  for (const block of blocks) bytes.push(block.length & 0xff, block.length >> 8, 0, 0, ...block);
  return Uint8Array.from(bytes);
}

test('LZ4: literals, matches that overlap, long lengths, several blocks', () => {
  const text = (data: Uint8Array): string => new TextDecoder().decode(data);
  assert.equal(text(decompressLz4Legacy(lz4Frame([0x30, 97, 98, 99]), 3)), 'abc');
  // "ab", then 8 bytes from 2 back, then one literal.
  assert.equal(text(decompressLz4Legacy(lz4Frame([0x24, 97, 98, 2, 0, 0x10, 33]), 20)), 'ababababab!');
  // A run of 19 + 255 + 10 bytes.
  const run = decompressLz4Legacy(lz4Frame([0x1f, 120, 1, 0, 255, 10, 0x00]), 1000);
  assert.equal(text(run), 'x'.repeat(1 + 4 + 15 + 255 + 10));
  assert.equal(text(decompressLz4Legacy(lz4Frame([0x10, 97], [0x10, 98]), 2)), 'ab');
  // Long literals and a long match that does not overlap are copied in bulk.
  const long = [0xff, 30 - 15, ...encoder.encode('abcdefghijklmnopqrstuvwxyz0123'), 30, 0, 30 - 19, 0x00];
  assert.equal(text(decompressLz4Legacy(lz4Frame(long), 100)), 'abcdefghijklmnopqrstuvwxyz0123'.repeat(2));
});

test('LZ4: damaged data is refused', () => {
  const cases: Uint8Array[] = [
    Uint8Array.of(1, 2, 3, 4),
    Uint8Array.of(),
    lz4Frame([0x30, 97]),
    lz4Frame([0x14, 97, 2, 0, 0]),
    lz4Frame([0x14, 97, 0, 0, 0]),
    lz4Frame([0x14, 97, 1]),
    lz4Frame([0xf0, 255, 255]),
    lz4Frame([0x1f, 97, 1, 0, 255, 255, 255, 255, 0]),
    Uint8Array.of(...LZ4_MAGIC, 255, 255, 255, 255, 0),
    lz4Frame(new Array(40).fill(0).map((_, index) => (index === 0 ? 0xf0 : 20))),
  ];
  for (const data of cases) assert.throws(() => decompressLz4Legacy(data, 30), BadImageError);
});

/** A bzImage whose payload is `body` and the size it promises. */
function withPayload(body: Uint8Array, size: number): Uint8Array {
  const image = bzImage();
  const view = new DataView(image.buffer);
  view.setUint32(0x248, 0x100, true);
  view.setUint32(0x24c, body.length + 4, true);
  const start = 3 * 512 + 0x100;
  image.set(body, start);
  view.setUint32(start + body.length, size, true);
  return image;
}

test('the ELF kernel comes out of an LZ4 or gzip payload', async () => {
  const elf = Uint8Array.from({ length: 64 }, (_, index) => [0x7f, 0x45, 0x4c, 0x46][index] ?? index);
  const lz4 = lz4Frame([0xf0, 64 - 15, ...elf]);
  assert.deepEqual(await extractVmlinux(withPayload(lz4, 64)), elf);
  assert.deepEqual(await extractVmlinux(withPayload(new Uint8Array(gzipSync(elf)), 64)), elf);
});

test('payloads that cannot be unpacked say why', async () => {
  const elf = Uint8Array.from({ length: 64 }, (_, index) => [0x7f, 0x45, 0x4c, 0x46][index] ?? index);
  const gzip = new Uint8Array(gzipSync(elf));
  const cases: [RegExp, Uint8Array][] = [
    [/compressed with xz/, withPayload(Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2), 64)],
    [/compressed with zstd/, withPayload(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3, 4), 64)],
    [/not compressed in a known way/, withPayload(Uint8Array.of(1, 2, 3, 4, 5), 64)],
    [/does not decompress to the ELF kernel/, withPayload(gzip, 65)],
    [/does not decompress to the ELF kernel/, withPayload(gzip, 63)],
    [/gzip payload is damaged/, withPayload(gzip.slice(0, 30), 64)],
    [/claims an ELF kernel of 4294967295 bytes/, withPayload(gzip, 0xffffffff)],
    [/not a Linux bzImage/, new Uint8Array(600)],
    [/truncated/, withPayload(gzip, 64).subarray(0, 0x640)],
  ];
  for (const [expected, image] of cases) await assert.rejects(extractVmlinux(image), expected);
});

/** Reads an archive back: name, mode, data. */
function readCpio(archive: Uint8Array): Map<string, { mode: number; data: string }> {
  const entries = new Map<string, { mode: number; data: string }>();
  const text = new TextDecoder('latin1').decode(archive);
  for (let at = 0; ; ) {
    assert.equal(text.slice(at, at + 6), '070701');
    assert.equal(at % 4, 0);
    const field = (index: number): number => Number.parseInt(text.slice(at + 6 + index * 8, at + 14 + index * 8), 16);
    const nameEnd = at + 110 + field(11);
    const name = text.slice(at + 110, nameEnd - 1);
    const data = Math.ceil(nameEnd / 4) * 4;
    if (name === 'TRAILER!!!') return entries;
    entries.set(name, { mode: field(1), data: text.slice(data, data + field(6)) });
    at = Math.ceil((data + field(6)) / 4) * 4;
  }
}

test('a cpio archive has its entries, aligned, whatever their lengths', () => {
  const entries = readCpio(
    writeCpio([
      { kind: 'directory', path: 'd' },
      { kind: 'file', path: 'd/x', data: 'hello', mode: 0o755 },
      { kind: 'file', path: 'd/yy', data: new Uint8Array(0) },
      { kind: 'symlink', path: 'link', target: 'd/x' },
      { kind: 'character-device', path: 'console', major: 5, minor: 1 },
    ]),
  );
  assert.deepEqual(
    [...entries].map(([name, { mode, data }]) => [name, mode.toString(8), data]),
    [
      ['d', '40755', ''],
      ['d/x', '100755', 'hello'],
      ['d/yy', '100644', ''],
      ['link', '120777', 'd/x'],
      ['console', '20600', ''],
    ],
  );
});

const APPLETS = ['[', '[[', 'cttyhack', 'mount', 'poweroff', 'setsid', 'sh', 'start-stop-daemon', 'stty'];
const BUSYBOX = encoder.encode(`ELF junk [\0[[\0 more \0${APPLETS.join('\0')}\0Not an applet\0`);

test('the initramfs links every applet busybox names', () => {
  assert.deepEqual(busyboxApplets(BUSYBOX), APPLETS);
  const entries = readCpio(buildBusyboxInitramfs(BUSYBOX, [{ kind: 'file', path: 'etc/hostname', data: 'other\n' }]));
  assert.equal(entries.get('bin/sh')?.data, 'busybox');
  assert.equal(entries.get('bin/busybox')?.mode.toString(8), '100755');
  assert.equal(entries.get('init')?.mode.toString(8), '100755');
  assert.equal(entries.get('etc/hostname')?.data, 'other\n');
  assert.match(entries.get('init')?.data ?? '', /setsid cttyhack sh -l .*; poweroff -f'\n/);
  assert.throws(() => busyboxApplets(encoder.encode('[\0[[\0awk\0')), /not a busybox with a shell/);
});

function tarMember(name: string, data: string, type = '0'): Uint8Array {
  const block = new Uint8Array(512 + Math.ceil(data.length / 512) * 512);
  block.set(encoder.encode(name));
  block.set(encoder.encode(`${data.length.toString(8).padStart(11, '0')}\0`), 124);
  block[156] = type.charCodeAt(0);
  block.set(encoder.encode(data), 512);
  return block;
}

test('one file is picked out of a tar stream that comes in any pieces', () => {
  const archive = Buffer.concat([
    tarMember('./boot/', '', '5'),
    tarMember('./boot/config-1', 'x'.repeat(1000)),
    tarMember('././@LongLink', 'boot/vmlinuz-long', 'L'),
    tarMember('./boot/vmlinuz-1', 'kernel'.repeat(200)),
    tarMember('./boot/vmlinuz-2', 'other'),
    new Uint8Array(1024),
  ]);
  for (const size of [1, 7, 511, 512, 513, 100_000]) {
    const picker = new TarPicker((path) => path.startsWith('boot/vmlinuz-'));
    for (let at = 0; at < archive.length; at += size) if (picker.push(archive.subarray(at, at + size))) break;
    assert.equal(new TextDecoder().decode(picker.found), 'kernel'.repeat(200));
  }
  const none = new TarPicker(() => false);
  assert.equal(none.push(archive), false);
  const damaged = tarMember('x', 'y');
  damaged.set(encoder.encode('77777777777'), 124);
  assert.throws(() => new TarPicker(() => true).push(damaged), /impossible size/);
});
