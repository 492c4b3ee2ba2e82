/**
 * The container of a saved state: a signature, a version, and sections that can be written and read one after another.
 *
 *    0  89 'T' 'R' 'Z' 0d 0a 1a 0a     the signature shows what a transfer as text would have damaged
 *    8  u32 version
 *   12  sections: tag (4 letters), u32 payload length, u32 CRC-32 of tag, length and payload, payload
 *
 *   HEAD  JSON: the machine, its virtual time, its guest's files       once, first
 *   CPU   JSON: the processor (saved-cpu.ts)                           once
 *   CHIP  JSON: the chipset (`Chipset.save`)                           once
 *   FILE  u32 number, u32 length, deflated: a piece of a guest's file  in order
 *   RAM   u32 first page, u32 pages, bitmap of pages that follow, deflated pages: up to 4 MiB; absent pages are zero
 *   END   u32 count of the sections before it                          last
 *
 * Numbers are little-endian. A reader checks everything before it uses it: a file is as hostile as any.
 */
import { StateError } from '../base/errors.js';

export const STATE_VERSION = 1;
export type SectionTag = 'HEAD' | 'CPU ' | 'CHIP' | 'FILE' | 'RAM ' | 'END ';

export interface Section {
  readonly tag: SectionTag;
  readonly payload: Uint8Array;
}

const SIGNATURE = Uint8Array.of(0x89, 0x54, 0x52, 0x5a, 0x0d, 0x0a, 0x1a, 0x0a);
const FILE_HEADER = 12;
const SECTION_HEADER = 12;
const TAGS: readonly string[] = ['HEAD', 'CPU ', 'CHIP', 'FILE', 'RAM ', 'END '];
/** Sections that stand once and in this order; FILE and RAM come between CHIP and END. */
const SINGLE: readonly SectionTag[] = ['HEAD', 'CPU ', 'CHIP'];
/** More than any section of ours holds: JSON of a large chipset, or 4 MiB that do not shrink. */
const LONGEST_PAYLOAD = 16 << 20;

// ---- CRC-32 of ISO 3309, as in gzip and PNG ----
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = (c & 1) !== 0 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

function crc32(bytes: Uint8Array, seed = 0): number {
  let c = ~seed;
  for (let n = 0; n < bytes.length; n++) c = (CRC_TABLE[(c ^ bytes[n]) & 255] as number) ^ (c >>> 8);
  return ~c >>> 0;
}

// ---- writing ----

export function fileHeader(): Uint8Array {
  const out = new Uint8Array(FILE_HEADER);
  out.set(SIGNATURE);
  new DataView(out.buffer).setUint32(8, STATE_VERSION, true);
  return out;
}

/** A section as it stands in the file. */
export function section(tag: SectionTag, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const out = new Uint8Array(SECTION_HEADER + length);
  const view = new DataView(out.buffer);
  for (let n = 0; n < 4; n++) out[n] = tag.charCodeAt(n);
  view.setUint32(4, length, true);
  let at = SECTION_HEADER;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  view.setUint32(8, crc32(out.subarray(SECTION_HEADER), crc32(out.subarray(0, 8))), true);
  return out;
}

export function u32s(...values: readonly number[]): Uint8Array {
  const out = new Uint8Array(4 * values.length);
  const view = new DataView(out.buffer);
  for (const [n, value] of values.entries()) view.setUint32(4 * n, value, true);
  return out;
}

export function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

// ---- reading ----

/** Every section, with the order and every checksum checked. Throws StateError. */
export function readSections(file: Uint8Array): Section[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < FILE_HEADER || SIGNATURE.some((byte, n) => file[n] !== byte)) {
    throw new StateError('this is not a saved state of a machine; give a file that was written by saving one');
  }
  const version = view.getUint32(8, true);
  if (version !== STATE_VERSION) {
    throw new StateError(`the saved state has version ${version} and this program reads version ${STATE_VERSION}`);
  }
  const sections: Section[] = [];
  let at = FILE_HEADER;
  while (at < file.length) {
    if (file.length - at < SECTION_HEADER) throw truncated();
    const tag = String.fromCharCode(...file.subarray(at, at + 4));
    const length = view.getUint32(at + 4, true);
    if (!TAGS.includes(tag) || length > LONGEST_PAYLOAD) throw damaged(`an unknown section at offset ${at}`);
    if (file.length - at - SECTION_HEADER < length) throw truncated();
    const payload = file.subarray(at + SECTION_HEADER, at + SECTION_HEADER + length);
    if (crc32(payload, crc32(file.subarray(at, at + 8))) !== view.getUint32(at + 8, true)) {
      throw damaged(`a wrong checksum in section ${tag.trim()} at offset ${at}`);
    }
    checkOrder(sections, tag as SectionTag, at);
    sections.push({ tag: tag as SectionTag, payload });
    at += SECTION_HEADER + length;
  }
  const end = sections.at(-1);
  if (end?.tag !== 'END ') throw truncated();
  if (end.payload.length !== 4 || readU32(end, 0) !== sections.length - 1) throw damaged('a wrong number of sections');
  return sections;
}

function checkOrder(before: readonly Section[], tag: SectionTag, at: number): void {
  const expected = SINGLE[before.length];
  const isInPlace = expected === undefined ? !SINGLE.includes(tag) : tag === expected;
  if (!isInPlace || before.at(-1)?.tag === 'END ') throw damaged(`section ${tag.trim()} out of place at offset ${at}`);
}

export function readU32({ payload, tag }: Section, at: number): number {
  if (payload.length < at + 4) throw damaged(`section ${tag.trim()} too short`);
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(at, true);
}

export function readJson({ payload, tag }: Section): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (cause) {
    throw damaged(`section ${tag.trim()} that is not JSON`, cause);
  }
}

export function damaged(what: string, cause?: unknown): StateError {
  return new StateError(`the saved state is damaged: it has ${what}`, cause === undefined ? undefined : { cause });
}

function truncated(): StateError {
  return new StateError('the saved state is truncated; get a complete copy of it');
}

// ---- deflate: the host's own ----

/** What CompressionStream and DecompressionStream have in common. */
interface ByteTransform {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<BufferSource>;
}

export async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array[]> {
  const stream = through(bytes, new CompressionStream('deflate-raw'));
  const parts: Uint8Array[] = [];
  for (;;) {
    const { done, value } = await stream.read();
    if (done) return parts;
    parts.push(value);
  }
}

/** Exactly as many bytes as `target` has; StateError for more, fewer, or what is not deflated. */
export async function inflate(bytes: Uint8Array, target: Uint8Array, what: string): Promise<void> {
  const stream = through(bytes.slice(), new DecompressionStream('deflate-raw'));
  let at = 0;
  try {
    for (;;) {
      const { done, value } = await stream.read();
      if (done) break;
      if (at + value.length > target.length) throw damaged(`${what} of the wrong length`);
      target.set(value, at);
      at += value.length;
    }
  } catch (cause) {
    void stream.cancel().catch(() => {});
    throw cause instanceof StateError ? cause : damaged(`${what} that cannot be unpacked`, cause);
  }
  if (at !== target.length) throw damaged(`${what} of the wrong length`);
}

function through(bytes: Uint8Array<ArrayBuffer>, transform: ByteTransform): ReadableStreamDefaultReader<Uint8Array> {
  const writer = transform.writable.getWriter();
  // A failure comes out of the reading side.
  writer.write(bytes).catch(() => {});
  writer.close().catch(() => {});
  return transform.readable.getReader();
}
