/**
 * The archive of regions as a file that only grows, so that a process that is killed loses nothing and two may write:
 *
 *    0 length of the record u32 (with this head)   4 check sum of what follows u32   8 hash of the code it was made of u32
 *   12 number of signatures u32                   16 signatures u32 each             then the region, as V8 serializes it
 *
 * A record that ends with its head has no signatures, but the weight of the region of that hash in their place.
 * What does not look like that ends what is read. A file that has become too large begins anew.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { isWellFormed } from '../archived-region-check.js';
import type { KnownBlocks } from '../known-blocks.js';
import type { ArchivedRegion, RegionArchive, Weight } from '../region-archive.js';

const HEAD = 16;
const MAX_RECORD = 1 << 20;
const MAX_SIGNATURES = 4096;
const MAX_FILE = 64 << 20;
/** Read at a time to find what is there. */
const WINDOW = MAX_RECORD;
const OPEN = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND;
/** What a guest's code was made into tells about it. */
const PRIVATE = 0o600;

interface Place {
  readonly at: number;
  readonly bytes: number;
}

export class ArchiveFile implements RegionArchive {
  private readonly file: number;
  private readonly known: KnownBlocks;
  private readonly places = new Map<number, Place[]>();
  private readonly made = new Set<number>();
  /** By hash. */
  private readonly weights = new Map<number, Weight>();
  private length = 0;
  private isFull = false;

  /** `known` is told what it has. Throws what the file system says. */
  constructor(path: string, known: KnownBlocks) {
    this.file = openSync(path, OPEN, PRIVATE);
    this.known = known;
    if (fstatSync(this.file).size > MAX_FILE) ftruncateSync(this.file);
    this.readAll();
    // What a process that was killed has left half-written.
    if (fstatSync(this.file).size > this.length) ftruncateSync(this.file, this.length);
  }

  has(signature: number): boolean {
    return this.places.has(signature);
  }
  *find(signature: number): Iterable<ArchivedRegion> {
    const places = this.places.get(signature) ?? [];
    for (let n = places.length - 1; n >= 0; n--) {
      const region = this.read(places[n] as Place);
      if (region !== undefined) yield region;
    }
  }

  add(region: ArchivedRegion, signatures: readonly number[]): void {
    const hash = hashOf(region);
    if (this.isFull || this.made.has(hash) || signatures.length > MAX_SIGNATURES) return;
    const content = serialize(region);
    const bytes = HEAD + 4 * signatures.length + content.length;
    if (bytes > MAX_RECORD) return;
    const record = recordOf(hash, signatures.length, bytes);
    for (const [n, signature] of signatures.entries()) record.writeInt32LE(signature, HEAD + 4 * n);
    content.copy(record, HEAD + 4 * signatures.length);
    const at = this.write(record);
    if (at !== undefined) this.note({ at, bytes }, hash, signatures);
  }

  weightOf(region: ArchivedRegion): Weight {
    return this.weights.get(hashOf(region)) ?? 0;
  }
  noteWeight(region: ArchivedRegion, weight: Weight): void {
    const hash = hashOf(region);
    if (this.isFull || (this.weights.get(hash) ?? 0) >= weight) return;
    this.weights.set(hash, weight);
    this.write(recordOf(hash, weight, HEAD));
  }

  /** Where the record is; undefined where there was no room for it. */
  private write(record: Buffer): number | undefined {
    record.writeUInt32LE(checkSum(record, 8), 4);
    try {
      writeSync(this.file, record);
      // Another process may have written in between.
      const end = fstatSync(this.file).size;
      this.isFull = end > MAX_FILE;
      return end - record.length;
    } catch {
      // A full disk: the guest runs on, its translations are not kept.
      this.isFull = true;
      return undefined;
    }
  }

  close(): void {
    closeSync(this.file);
  }

  private note(place: Place, hash: number, signatures: Iterable<number>): void {
    this.made.add(hash);
    for (const signature of signatures) {
      const places = this.places.get(signature);
      if (places === undefined) this.places.set(signature, [place]);
      else places.push(place);
      this.known.add(signature);
    }
  }

  private readAll(): void {
    const window = Buffer.alloc(Math.min(WINDOW, fstatSync(this.file).size));
    for (;;) {
      const count = readSync(this.file, window, 0, window.length, this.length);
      const used = this.readWindow(window.subarray(0, count));
      if (used === 0) return;
      this.length += used;
    }
  }
  /** Bytes of whole records. */
  private readWindow(window: Buffer): number {
    let at = 0;
    while (at + HEAD <= window.length) {
      const bytes = window.readUInt32LE(at);
      const count = window.readUInt32LE(at + 12);
      const first = at + HEAD;
      // Parts of a record that is not here in whole come with the next window.
      const isWeight = bytes === HEAD && (count === 1 || count === 2);
      if (count > MAX_SIGNATURES || bytes > MAX_RECORD || (bytes < HEAD + 4 * count && !isWeight)) return at;
      if (at + bytes > window.length) return at;
      const hash = window.readUInt32LE(at + 8);
      if (isWeight) this.weights.set(hash, Math.max(count, this.weights.get(hash) ?? 0) as Weight);
      else {
        const signatures = Array.from({ length: count }, (_, n) => window.readInt32LE(first + 4 * n));
        this.note({ at: this.length + at, bytes }, hash, signatures);
      }
      at += bytes;
    }
    return at;
  }

  /** Undefined where it is damaged. */
  private read({ at, bytes }: Place): ArchivedRegion | undefined {
    const record = Buffer.alloc(bytes);
    if (readSync(this.file, record, 0, bytes, at) !== bytes) return undefined;
    if (record.readUInt32LE(0) !== bytes || record.readUInt32LE(4) !== checkSum(record, 8)) return undefined;
    try {
      const region: unknown = deserialize(record.subarray(HEAD + 4 * record.readUInt32LE(12)));
      return isWellFormed(region) ? region : undefined;
    } catch {
      return undefined;
    }
  }
}

/** A record of so many bytes with its head, as far as it is known now. */
function recordOf(hash: number, count: number, bytes: number): Buffer {
  const record = Buffer.alloc(bytes);
  record.writeUInt32LE(bytes, 0);
  record.writeUInt32LE(hash, 8);
  record.writeUInt32LE(count, 12);
  return record;
}

function checkSum(bytes: Uint8Array, from: number): number {
  let sum = 0x811c9dc5;
  for (let at = from; at < bytes.length; at++) sum = Math.imul(sum ^ (bytes[at] as number), 0x01000193);
  return sum >>> 0;
}

/** Of what a region is made of and where it is entered: two with the same need not both be kept. */
function hashOf({ parts, entries, key }: ArchivedRegion): number {
  let hash = checkSum(Buffer.from(`${key} ${entries.join()}`), 0);
  for (const { delta, bytes } of parts) hash = Math.imul(hash ^ delta, 0x85ebca6b) ^ checkSum(bytes, 0);
  return hash >>> 0;
}
