// Machine code with labels, for guests of some dozen instructions: bytes as the manual gives them, and the few forms whose
// operands are addresses.

export const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15] = Array(16).keys();
export const CC = { o: 0, no: 1, c: 2, nc: 3, z: 4, nz: 5, be: 6, a: 7, s: 8, ns: 9 };

export class Code {
  constructor(origin) {
    this.origin = origin;
    this.bytes = [];
    this.labels = new Map();
    this.fixes = [];
  }

  get here() {
    return this.origin + this.bytes.length;
  }

  /** Bytes, or a string of hexadecimal. */
  b(...parts) {
    for (const part of parts) {
      if (typeof part === 'string') this.bytes.push(...Buffer.from(part.replaceAll(' ', ''), 'hex'));
      else this.bytes.push(part & 255);
    }
    return this;
  }

  number(value, size) {
    for (let n = 0; n < size; n++) this.bytes.push(Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(8 * n)) & 255n));
    return this;
  }

  label(name) {
    if (this.labels.has(name)) throw new Error(`label ${name} twice`);
    this.labels.set(name, this.here);
    return this;
  }

  address(name) {
    const at = this.labels.get(name);
    if (at === undefined) throw new Error(`no label ${name}`);
    return at;
  }

  /** A field of `size` bytes: the label's address, or its distance from the field's end. */
  ref(name, size, relative) {
    this.fixes.push({ at: this.bytes.length, name, size, relative });
    return this.number(0, size);
  }

  /** mov r64, value or label; 64-bit code. */
  mov(register, value) {
    this.b(0x48 | (register >> 3), 0xb8 | (register & 7));
    return typeof value === 'string' ? this.ref(value, 8, false) : this.number(value, 8);
  }

  /** mov r32, value; 16-bit code needs `prefix`. */
  mov32(register, value, prefix = []) {
    this.b(...prefix, 0xb8 | register);
    return typeof value === 'string' ? this.ref(value, 4, false) : this.number(value, 4);
  }

  jmp(name) {
    return this.b(0xe9).ref(name, 4, true);
  }
  call(name) {
    return this.b(0xe8).ref(name, 4, true);
  }
  jcc(condition, name) {
    return this.b(0x0f, 0x80 | condition).ref(name, 4, true);
  }
  /** Short form; also for 16-bit code. */
  jccShort(condition, name) {
    return this.b(0x70 | condition).ref(name, 1, true);
  }

  finish() {
    for (const { at, name, size, relative } of this.fixes) {
      const value = BigInt(this.address(name)) - (relative ? BigInt(this.origin + at + size) : 0n);
      for (let n = 0; n < size; n++) this.bytes[at + n] = Number((BigInt.asUintN(64, value) >> BigInt(8 * n)) & 255n);
    }
    return Uint8Array.from(this.bytes);
  }
}
