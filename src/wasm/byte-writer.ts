/** A growing byte buffer with WebAssembly's variable-length integers. Core specification, "Binary Format". */
export class ByteWriter {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(capacity);
  }

  private grow(needed: number): void {
    let capacity = this.bytes.length * 2;
    while (capacity < needed) capacity *= 2;
    const bytes = new Uint8Array(capacity);
    bytes.set(this.bytes);
    this.bytes = bytes;
  }

  u8(v: number): void {
    if (this.length === this.bytes.length) this.grow(this.length + 1);
    this.bytes[this.length++] = v;
  }

  /** Unsigned LEB128 of a u32. */
  u32(v: number): void {
    if (v >= 0 && v < 128) {
      this.u8(v);
      return;
    }
    let rest = v >>> 0;
    while (rest > 127) {
      this.u8((rest & 127) | 128);
      rest >>>= 7;
    }
    this.u8(rest);
  }

  /** The same in so many bytes, where others may be written over it. */
  u32Wide(v: number, bytes: number): void {
    for (let n = 1; n < bytes; n++, v >>>= 7) this.u8((v & 127) | 128);
    this.u8(v);
  }

  /** Writes another number over such a one. */
  rewrite(at: number, v: number, bytes: number): void {
    for (let n = 1; n < bytes; n++, v >>= 7) this.bytes[at++] = (v & 127) | 128;
    this.bytes[at] = v & 127;
  }

  /** Signed LEB128 of an i32. */
  s32(v: number): void {
    if (v >= -64 && v < 64) {
      this.u8(v & 127);
      return;
    }
    let rest = v | 0;
    for (;;) {
      const byte = rest & 127;
      rest >>= 7;
      if ((rest === 0 && (byte & 64) === 0) || (rest === -1 && (byte & 64) !== 0)) {
        this.u8(byte);
        return;
      }
      this.u8(byte | 128);
    }
  }

  /** Signed LEB128 of an i64. */
  s64(v: bigint): void {
    if (v >= -0x80000000n && v <= 0x7fffffffn) {
      this.s32(Number(v));
      return;
    }
    let rest = BigInt.asIntN(64, v);
    for (;;) {
      const byte = Number(rest & 127n);
      rest >>= 7n;
      if ((rest === 0n && (byte & 64) === 0) || (rest === -1n && (byte & 64) !== 0)) {
        this.u8(byte);
        return;
      }
      this.u8(byte | 128);
    }
  }

  /** Signed LEB128 of an integer from 0 to 2^53. */
  s53(v: number): void {
    let rest = v;
    while (rest > 63) {
      this.u8((rest % 128) | 128);
      rest = Math.floor(rest / 128);
    }
    this.u8(rest);
  }

  append(source: Uint8Array, length = source.length): void {
    const end = this.length + length;
    if (end > this.bytes.length) this.grow(end);
    this.bytes.set(source.length === length ? source : source.subarray(0, length), this.length);
    this.length = end;
  }

  /** A vector of bytes: length, then content. */
  sized(content: ByteWriter): void {
    this.u32(content.length);
    this.append(content.bytes, content.length);
  }

  name(text: string): void {
    this.u32(text.length);
    for (let n = 0; n < text.length; n++) {
      const code = text.charCodeAt(n);
      if (code > 127) throw new RangeError(`name ${text} is not ASCII`);
      this.u8(code);
    }
  }

  /** Begins again, with the room it has. */
  clear(): void {
    this.length = 0;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length) as Uint8Array<ArrayBuffer>;
  }
}
