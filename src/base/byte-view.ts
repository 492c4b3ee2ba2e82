/**
 * Bounds-checked little-endian reading of a file somebody hands us. Every field may be any value and every offset may lie
 * outside of the file: reading there is a BadImageError that names the file, never a RangeError.
 */
import { BadImageError } from './errors.js';

export class ByteView {
  readonly bytes: Uint8Array;
  /** The file's name, for messages. */
  readonly name: string;
  private readonly view: DataView;

  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  u8(offset: number): number {
    this.need(offset, 1);
    return this.view.getUint8(offset);
  }

  u16(offset: number): number {
    this.need(offset, 2);
    return this.view.getUint16(offset, true);
  }

  u32(offset: number): number {
    this.need(offset, 4);
    return this.view.getUint32(offset, true);
  }

  /** Values beyond 2^53 come back as the largest safe integer: no address or size that large can pass a later check. */
  u64(offset: number): number {
    this.need(offset, 8);
    const high = this.view.getUint32(offset + 4, true);
    if (high >= 0x200000) return Number.MAX_SAFE_INTEGER;
    return high * 0x1_0000_0000 + this.view.getUint32(offset, true);
  }

  /** A 32- or 64-bit field. */
  word(offset: number, size: 4 | 8): number {
    return size === 4 ? this.u32(offset) : this.u64(offset);
  }

  /** A view into the file, not a copy. */
  slice(offset: number, size: number): Uint8Array {
    this.need(offset, size);
    return this.bytes.subarray(offset, offset + size);
  }

  has(offset: number, size: number): boolean {
    return offset >= 0 && size >= 0 && offset + size <= this.bytes.length;
  }

  fail(problem: string, cause?: unknown): BadImageError {
    return new BadImageError(`${this.name}: ${problem}`, cause === undefined ? undefined : { cause });
  }

  private need(offset: number, size: number): void {
    if (this.has(offset, size)) return;
    throw this.fail(
      `the file is truncated or damaged: it has ${this.bytes.length} bytes, but ${size} bytes are needed at offset ${hex(offset)}; get a complete copy of it`,
    );
  }
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
