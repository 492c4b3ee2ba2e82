// Machine code as bytes with labels: enough of an assembler for the monitors in the guests.
export class Code {
  constructor(origin) {
    this.origin = origin;
    this.bytes = [];
    this.labels = new Map();
    this.references = [];
  }

  get here() {
    return this.origin + this.bytes.length;
  }

  label(name) {
    this.labels.set(name, this.here);
    return this;
  }

  /** Bytes, or names of labels: 'name' becomes its 32-bit address, '+name' the distance to it. */
  put(...pieces) {
    for (const piece of pieces) {
      if (typeof piece === 'number') this.bytes.push(piece & 0xff);
      else {
        this.references.push([this.bytes.length, piece]);
        this.bytes.push(0, 0, 0, 0);
      }
    }
    return this;
  }

  /** Opcode bytes and a 32-bit number. */
  put32(opcode, value) {
    return this.put(...opcode, ...dword(value));
  }

  finish() {
    const bytes = Uint8Array.from(this.bytes);
    const view = new DataView(bytes.buffer);
    for (const [at, name] of this.references) {
      const target = this.labels.get(name.replace(/^\+/, ''));
      if (target === undefined) throw new RangeError(`no label ${name}`);
      view.setUint32(at, name.startsWith('+') ? target - (this.origin + at + 4) : target, true);
    }
    return bytes;
  }
}

export const word = (value) => [value & 0xff, (value >> 8) & 0xff];
export const dword = (value) => [...word(value), ...word(value >>> 16)];
