import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { KnownBlocks } from '../known-blocks.js';
import type { ArchivedRegion } from '../region-archive.js';
import { ArchiveFile } from './archive-file.js';

const directory = mkdtempSync(join(tmpdir(), 'trapeze-archive-'));
after(() => rmSync(directory, { recursive: true }));

const region = (key: number): ArchivedRegion => ({
  key,
  entries: [0],
  offsets: [0],
  instructions: 1,
  hasTable: false,
  parts: [{ delta: 0, chunks: [1, 0], ranges: [[0, 4]], bytes: Uint8Array.of(1, 2, 3, key & 255), via: undefined }],
  crossings: [],
  slots: [8],
  landings: undefined,
  locals: [{ count: 1, type: 'i32' }],
  code: Uint8Array.of(0x41, 0, 0x0b),
  hints: [],
  fields: [],
  constants: new Int32Array(0),
  addresses: new Int32Array(0),
  calls: {},
});
const SIGNATURES = [101, 203];

/** A file of that name with so many regions. */
function filled(name: string, count: number): string {
  const path = join(directory, name);
  const file = new ArchiveFile(path, new KnownBlocks());
  for (let key = 1; key <= count; key++) file.add(region(key), SIGNATURES);
  file.close();
  return path;
}
function found(path: string): { keys: number[]; known: boolean } {
  const known = new KnownBlocks();
  const file = new ArchiveFile(path, known);
  const keys = [...file.find(SIGNATURES[1] as number)].map(({ key }) => key);
  file.close();
  return { keys, known: known.has(SIGNATURES[0] as number) };
}

test('what one process keeps another finds, the newest first', () => {
  const path = filled('kept', 3);
  assert.deepEqual(found(path), { keys: [3, 2, 1], known: true });
  assert.equal(statSync(path).mode & 0o077, 0, 'nobody else reads what a guest was made into');
  const file = new ArchiveFile(path, new KnownBlocks());
  assert.deepEqual([...file.find(SIGNATURES[0] as number)][2], region(1));
  assert.deepEqual([...file.find(7)], []);
  file.close();
});

test('the most that was noted of a region is known to the next process', () => {
  const path = filled('weights', 3);
  const file = new ArchiveFile(path, new KnownBlocks());
  file.noteWeight(region(2), 1);
  const size = statSync(path).size;
  file.noteWeight(region(2), 1);
  assert.equal(statSync(path).size, size);
  file.noteWeight(region(3), 1);
  file.noteWeight(region(3), 2);
  file.noteWeight(region(3), 1);
  file.close();
  const next = new ArchiveFile(path, new KnownBlocks());
  assert.deepEqual(
    [1, 2, 3].map((key) => next.weightOf(region(key))),
    [0, 1, 2],
  );
  assert.deepEqual(found(path).keys, [3, 2, 1]);
  next.close();
});

test('the same region is kept once', () => {
  const path = filled('once', 1);
  const size = statSync(path).size;
  filled('once', 1);
  assert.equal(statSync(path).size, size);
});

test('two that are open at a time lose nothing of each other', () => {
  const path = join(directory, 'two');
  const [one, other] = [new ArchiveFile(path, new KnownBlocks()), new ArchiveFile(path, new KnownBlocks())];
  for (let key = 1; key <= 20; key += 2) {
    one.add(region(key), SIGNATURES);
    other.add(region(key + 1), SIGNATURES);
  }
  const of = (file: ArchiveFile): number[] => [...file.find(101)].map(({ key }) => key).reverse();
  assert.deepEqual(of(one), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
  assert.deepEqual(of(other), [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
  one.close();
  other.close();
  assert.equal(found(path).keys.length, 20);
});

test('a record that was not written to its end is taken away, and the next one follows', () => {
  const path = filled('cut', 2);
  const whole = readFileSync(path);
  for (const length of [1, 15, 16, 40, whole.length / 2 - 1]) {
    writeFileSync(path, whole.subarray(0, whole.length / 2 + length));
    assert.deepEqual(found(path).keys, [1], `${length} bytes`);
    const file = new ArchiveFile(path, new KnownBlocks());
    file.add(region(9), SIGNATURES);
    file.close();
    assert.deepEqual(found(path).keys, [9, 1]);
  }
});

test('damage anywhere loses regions and nothing else', () => {
  const path = filled('damaged', 3);
  const whole = readFileSync(path);
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] as number) ^ (1 + (at % 255));
    writeFileSync(path, damaged);
    for (const key of found(path).keys) assert.ok([1, 2, 3].includes(key), `byte ${at}`);
  }
});

test('a file of something else is begun anew', () => {
  const path = join(directory, 'other');
  writeFileSync(path, 'this is a letter to somebody, and no archive of regions at all\n'.repeat(100));
  assert.deepEqual(found(path), { keys: [], known: false });
  assert.equal(statSync(path).size, 0);
  appendFileSync(path, readFileSync(filled('good', 1)));
  assert.deepEqual(found(path).keys, [1]);
});

test('where nothing can be kept the compiler is told so', () => {
  assert.throws(() => new ArchiveFile(join(directory, 'no', 'such', 'folder'), new KnownBlocks()), { code: 'ENOENT' });
});
