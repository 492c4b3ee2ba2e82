/**
 * Picking one file out of a tar stream without unpacking the rest. POSIX.1-1988 ustar; entries of other types (long
 * names, directories, links) are skipped by their size.
 */
import { BadImageError } from '../base/errors.js';

const BLOCK = 512;
const NAME_SIZE = 100;
const SIZE_OFFSET = 124;
const SIZE_FIELD = 12;
const TYPE_OFFSET = 156;
const PREFIX_OFFSET = 345;
const PREFIX_SIZE = 155;
const REGULAR = new Set(['0', '\0']);
/** Larger than any kernel; a damaged size field must not reserve the host's memory. */
const MAX_MEMBER_SIZE = 1024 * 1024 * 1024;

export class TarPicker {
  private readonly wanted: (path: string) => boolean;
  private header = new Uint8Array(BLOCK);
  private headerFilled = 0;
  /** Bytes of the current member (with its padding) still to come. */
  private remaining = 0;
  private member: Uint8Array | undefined;
  private memberFilled = 0;
  /** The file, once it is whole. */
  found: Uint8Array | undefined;

  constructor(wanted: (path: string) => boolean) {
    this.wanted = wanted;
  }

  /** Takes the next bytes of the stream; true once the file was found. */
  push(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length && this.found === undefined) {
      if (this.remaining > 0) {
        const size = Math.min(this.remaining, chunk.length - at);
        this.take(chunk.subarray(at, at + size));
        at += size;
        continue;
      }
      const size = Math.min(BLOCK - this.headerFilled, chunk.length - at);
      this.header.set(chunk.subarray(at, at + size), this.headerFilled);
      this.headerFilled += size;
      at += size;
      if (this.headerFilled === BLOCK) this.startMember();
    }
    return this.found !== undefined;
  }

  private take(bytes: Uint8Array): void {
    this.remaining -= bytes.length;
    if (this.member === undefined) return;
    const size = Math.min(bytes.length, this.member.length - this.memberFilled);
    this.member.set(bytes.subarray(0, size), this.memberFilled);
    this.memberFilled += size;
    if (this.memberFilled === this.member.length) this.found = this.member;
  }

  private startMember(): void {
    this.headerFilled = 0;
    this.member = undefined;
    this.memberFilled = 0;
    // The archive ends with zero blocks.
    if (this.header[0] === 0) return;
    const prefix = this.text(PREFIX_OFFSET, PREFIX_SIZE);
    const name = this.text(0, NAME_SIZE);
    const path = (prefix === '' ? name : `${prefix}/${name}`).replace(/^\.\//, '');
    const size = Number.parseInt(this.text(SIZE_OFFSET, SIZE_FIELD).trim() || '0', 8);
    if (!Number.isSafeInteger(size) || size < 0 || size > MAX_MEMBER_SIZE) {
      throw new BadImageError('the package archive is damaged: a member has an impossible size; pull the image again');
    }
    this.remaining = Math.ceil(size / BLOCK) * BLOCK;
    if (size > 0 && REGULAR.has(String.fromCharCode(this.header[TYPE_OFFSET])) && this.wanted(path)) {
      this.member = new Uint8Array(size);
    }
  }

  private text(offset: number, size: number): string {
    const bytes = this.header.subarray(offset, offset + size);
    const end = bytes.indexOf(0);
    return new TextDecoder('latin1').decode(end < 0 ? bytes : bytes.subarray(0, end));
  }
}
