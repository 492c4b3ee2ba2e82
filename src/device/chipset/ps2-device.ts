/** What a PS/2 device is to its controller: bytes in, a bounded queue of bytes out. */
import { list, u8 } from '../../base/state.js';

const QUEUE_LIMIT = 64;
/** What `Ps2Queue.save` tells. */
export const QUEUED_BYTES = list(u8, 0, QUEUE_LIMIT);

export class Ps2Queue {
  #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  /** A full queue drops input, as keyboards do (answers always fit: a command empties the queue first). */
  push(...bytes: number[]): boolean {
    if (this.#bytes.length + bytes.length > QUEUE_LIMIT) return false;
    this.#bytes.push(...bytes);
    return true;
  }

  shift(): number | undefined {
    return this.#bytes.shift();
  }

  clear(): void {
    this.#bytes = [];
  }

  save(): number[] {
    return [...this.#bytes];
  }

  restore(saved: number[]): void {
    this.#bytes = [...saved];
  }
}

export interface Ps2Device {
  readonly queue: Ps2Queue;
  /** A byte from the host: a command or a command's parameter. */
  receive(byte: number): void;
  reset(): void;
}
