/** Collects what a guest writes byte by byte and hands it on in pieces. */
import type { CharBackend } from '../char/char.js';

const CAPACITY = 4096;
const DELAY_NS = 2e6;

export class OutputBuffer implements CharBackend {
  private bytes = new Uint8Array(CAPACITY);
  private length = 0;
  private since = 0;
  private readonly deliver: (bytes: Uint8Array) => void;

  constructor(deliver: (bytes: Uint8Array) => void) {
    this.deliver = deliver;
  }

  write(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.length === CAPACITY) this.flush();
      this.bytes[this.length++] = byte;
    }
  }

  flush(): void {
    if (this.length === 0) return;
    this.deliver(this.bytes.slice(0, this.length));
    this.length = 0;
    this.since = 0;
  }

  /** Hands on what has waited for two milliseconds. */
  flushIfDue(now: number): void {
    if (this.length === 0) return;
    if (this.since === 0) this.since = now;
    else if (now - this.since > DELAY_NS) this.flush();
  }
}
