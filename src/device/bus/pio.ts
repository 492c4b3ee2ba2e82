/**
 * The I/O port space: 64 Ki ports. A claim covers a range of ports for some access sizes. An access that no claim
 * takes at its size is made of narrower ones, as the ISA bus steers bytes; a byte nobody claims reads as 0xff.
 */
import { type IoSize, ones, type PioHandler } from '../../base/io.js';

export interface PioClaim {
  readonly first: number;
  readonly count: number;
  readonly sizes: readonly IoSize[];
  readonly handler: PioHandler;
}

export const BYTE: readonly IoSize[] = [1];
export const ANY_SIZE: readonly IoSize[] = [1, 2, 4];

export class PioBus {
  /** Claims by first port of the access, one table per access size. */
  readonly #bySize: Record<IoSize, Map<number, PioClaim>> = { 1: new Map(), 2: new Map(), 4: new Map() };

  /** The first claim of a port wins. Returns the function that takes the claim back. */
  claim(claim: PioClaim): () => void {
    for (const size of claim.sizes) {
      const table = this.#bySize[size];
      for (let port = claim.first; port + size <= claim.first + claim.count; port++) {
        if (!table.has(port)) table.set(port, claim);
      }
    }
    return () => this.#release(claim);
  }

  /** `port` and `size` come from a decoded instruction; a range past port 0xffff wraps as the address lines do. */
  read(port: number, size: IoSize, vcpu = 0): number {
    const claim = this.#bySize[size].get(port & 0xffff);
    if (claim !== undefined) return (claim.handler.read((port & 0xffff) - claim.first, size, vcpu) & ones(size)) >>> 0;
    if (size === 1) return 0xff;
    const half = size === 4 ? 2 : 1;
    const low = this.read(port, half, vcpu);
    return (low | (this.read(port + half, half, vcpu) << (half * 8))) >>> 0;
  }

  write(port: number, size: IoSize, value: number, vcpu = 0): void {
    const claim = this.#bySize[size].get(port & 0xffff);
    if (claim !== undefined) {
      claim.handler.write((port & 0xffff) - claim.first, size, (value & ones(size)) >>> 0, vcpu);
    } else if (size !== 1) {
      const half = size === 4 ? 2 : 1;
      this.write(port, half, value, vcpu);
      this.write(port + half, half, value >>> (half * 8), vcpu);
    }
  }

  #release(claim: PioClaim): void {
    for (const size of claim.sizes) {
      const table = this.#bySize[size];
      for (let port = claim.first; port < claim.first + claim.count; port++) {
        if (table.get(port) === claim) table.delete(port);
      }
    }
  }
}
