/**
 * Exits of KVM that ask for an answer: port, memory and MSR accesses in kvm_run. One of KVM's may be several of ours
 * (a repeated string instruction moves many elements at once, an access may have an odd size).
 */
import type { AccessSize, VmExit } from '../engine.js';
import * as K from './abi.js';
import { RUN } from './layout.js';

type Question = 'none' | 'pio' | 'mmio' | 'msr';

/** Of EXIT.IO: direction u8, size u8 and port u16 in one word; a byte out, in the lower two bytes. */
const OUT_BYTE = K.IO_OUT | (1 << 8);
const PORT_SHIFT = 16;

/** A byte out is the commonest exit of all, and nothing is owed for it: undefined for all others. */
export function byteOut(words: Uint32Array, bytes: Uint8Array): VmExit | undefined {
  if (words[RUN.EXIT_REASON >> 2] !== K.EXIT.IO) return undefined;
  const what = words[RUN.IO_DIRECTION >> 2];
  if ((what & 0xffff) !== OUT_BYTE || words[RUN.IO_COUNT >> 2] !== 1) return undefined;
  return { kind: 'pio-out', port: what >>> PORT_SHIFT, size: 1, value: bytes[words[RUN.IO_DATA_OFFSET >> 2]] };
}

export class OwedAnswer {
  private readonly view: DataView;
  private question: Question = 'none';
  private isRead = false;
  /** Where in kvm_run the data is, how many parts of what size there are, and which is asked about. */
  private at = 0;
  private size = 0;
  private count = 0;
  private part = 0;

  constructor(view: DataView) {
    this.view = view;
  }

  /** KVM waits for what `settle` brings. */
  get isOpen(): boolean {
    return this.question !== 'none';
  }

  forget(): void {
    this.question = 'none';
  }

  /** The exit KVM_RUN has returned with. */
  ask(reason: number): VmExit {
    const { view } = this;
    this.part = 0;
    switch (reason) {
      case K.EXIT.IO:
        this.question = 'pio';
        this.isRead = view.getUint8(RUN.IO_DIRECTION) !== K.IO_OUT;
        this.size = view.getUint8(RUN.IO_SIZE);
        this.count = view.getUint32(RUN.IO_COUNT, true);
        this.at = view.getUint32(RUN.IO_DATA_OFFSET, true);
        return this.askPio();
      case K.EXIT.MMIO: {
        const length = view.getUint32(RUN.MMIO_LENGTH, true);
        const isPower = (length & (length - 1)) === 0;
        this.question = 'mmio';
        this.isRead = view.getUint8(RUN.MMIO_IS_WRITE) === 0;
        this.size = isPower ? length : 1;
        this.count = isPower ? 1 : length;
        this.at = RUN.MMIO_DATA;
        return this.askMmio();
      }
      default: {
        this.question = 'msr';
        this.isRead = reason === K.EXIT.X86_RDMSR;
        this.count = 1;
        const msr = view.getUint32(RUN.MSR_INDEX, true);
        return this.isRead
          ? { kind: 'rdmsr', msr }
          : { kind: 'wrmsr', msr, value: view.getBigUint64(RUN.MSR_DATA, true) };
      }
    }
  }

  /** Takes the machine's answer; the next question about the same exit, if there is one. */
  settle(answer: bigint | 'refused'): VmExit | undefined {
    if (this.question === 'none') return undefined;
    if (this.question === 'msr') {
      this.view.setUint8(RUN.MSR_ERROR, answer === 'refused' ? 1 : 0);
      if (this.isRead && answer !== 'refused') this.view.setBigUint64(RUN.MSR_DATA, answer, true);
    } else if (this.isRead) {
      this.write(answer === 'refused' ? -1n : answer);
    }
    this.part++;
    if (this.part < this.count) return this.question === 'pio' ? this.askPio() : this.askMmio();
    this.question = 'none';
    return undefined;
  }

  private askPio(): VmExit {
    const port = this.view.getUint16(RUN.IO_PORT, true);
    const size = this.size as 1 | 2 | 4;
    return this.isRead ? { kind: 'pio-in', port, size } : { kind: 'pio-out', port, size, value: this.readSmall() };
  }

  private askMmio(): VmExit {
    const gpa = Number(this.view.getBigUint64(RUN.MMIO_GPA, true)) + this.part;
    const size = this.size as AccessSize;
    if (this.isRead) return { kind: 'mmio-read', gpa, size };
    const value = size === 8 ? this.view.getBigUint64(this.at, true) : BigInt(this.readSmall());
    return { kind: 'mmio-write', gpa, size, value };
  }

  /** An element of at most four bytes. */
  private readSmall(): number {
    const at = this.at + this.part * this.size;
    if (this.size === 1) return this.view.getUint8(at);
    return this.size === 2 ? this.view.getUint16(at, true) : this.view.getUint32(at, true);
  }

  private write(value: bigint): void {
    const at = this.at + this.part * this.size;
    if (this.size === 8) this.view.setBigUint64(at, BigInt.asUintN(64, value), true);
    else if (this.size === 4) this.view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
    else if (this.size === 2) this.view.setUint16(at, Number(BigInt.asUintN(16, value)), true);
    else this.view.setUint8(at, Number(BigInt.asUintN(8, value)));
  }
}
