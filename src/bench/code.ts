/** Machine code from bytes and labels: all that guests of some hundred instructions need. */

interface Reference {
  readonly at: number;
  readonly to: string;
  readonly form: 'relative32' | 'absolute32' | 'absolute64';
}

/** General registers by their number. SDM Vol. 2A, "ModR/M and SIB Bytes". */
export const REGISTER = {
  RAX: 0,
  RCX: 1,
  RDX: 2,
  RBX: 3,
  RSP: 4,
  RBP: 5,
  RSI: 6,
  RDI: 7,
  R8: 8,
  R9: 9,
  R10: 10,
  R11: 11,
  R12: 12,
  R13: 13,
  R14: 14,
  R15: 15,
} as const;

/** Conditions of Jcc. SDM Vol. 2, Appendix B, "Condition Test (tttn) Field". */
export const CONDITION = { B: 2, AE: 3, Z: 4, NZ: 5 } as const;

const NOP = 0x90;

export class Code {
  readonly origin: number;
  private readonly out: number[] = [];
  private readonly labels = new Map<string, number>();
  private readonly references: Reference[] = [];

  constructor(origin: number) {
    this.origin = origin;
  }

  get here(): number {
    return this.origin + this.out.length;
  }

  /** One instruction, or a part of it, as bytes; the text is for whoever reads. */
  op(_text: string, ...bytes: readonly number[]): this {
    this.out.push(...bytes);
    return this;
  }

  label(name: string): this {
    if (this.labels.has(name)) throw new RangeError(`label ${name} twice`);
    this.labels.set(name, this.here);
    return this;
  }

  addressOf(name: string): number {
    const address = this.labels.get(name);
    if (address === undefined) throw new RangeError(`no label ${name}`);
    return address;
  }

  u16(value: number): this {
    return this.op('', value & 0xff, (value >>> 8) & 0xff);
  }

  u32(value: number): this {
    for (let shift = 0; shift < 32; shift += 8) this.out.push((value >>> shift) & 0xff);
    return this;
  }

  u64(value: bigint): this {
    return this.u32(Number(value & 0xffff_ffffn)).u32(Number((value >> 32n) & 0xffff_ffffn));
  }

  reference(to: string, form: Reference['form']): this {
    this.references.push({ at: this.out.length, to, form });
    return form === 'absolute64' ? this.u64(0n) : this.u32(0);
  }

  /** mov r64, value or address */
  mov(register: number, value: bigint | number | string): this {
    this.out.push(0x48 | (register >> 3), 0xb8 | (register & 7));
    return typeof value === 'string' ? this.reference(value, 'absolute64') : this.u64(BigInt(value));
  }

  call(to: string): this {
    return this.op('call', 0xe8).reference(to, 'relative32');
  }
  jmp(to: string): this {
    return this.op('jmp', 0xe9).reference(to, 'relative32');
  }
  jcc(condition: number, to: string): this {
    return this.op('jcc', 0x0f, 0x80 | condition).reference(to, 'relative32');
  }

  /** NOPs up to a multiple of `size`. */
  align(size: number): this {
    return this.fillTo(Math.ceil(this.here / size) * size);
  }

  /** NOPs up to an address. */
  fillTo(address: number): this {
    if (this.here > address) throw new RangeError(`code ends at 0x${this.here.toString(16)}, too late`);
    while (this.here < address) this.out.push(NOP);
    return this;
  }

  finish(): Uint8Array {
    const bytes = Uint8Array.from(this.out);
    const view = new DataView(bytes.buffer);
    for (const { at, to, form } of this.references) {
      const target = this.addressOf(to);
      if (form === 'relative32') view.setInt32(at, target - (this.origin + at + 4), true);
      else view.setUint32(at, target, true);
    }
    return bytes;
  }
}
