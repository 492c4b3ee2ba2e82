/**
 * The I/O port space: 64 Ki ports. A claim covers a range of ports for some access sizes. An access that no claim
 * takes at its size is made of narrower ones, as the ISA bus steers bytes; a byte nobody claims reads as 0xff.
 */
import { DECLINED, type Direct, type IoSize, ones, type PioHandler } from '../../base/io.js';

export interface PioClaim {
  readonly first: number;
  readonly count: number;
  readonly sizes: readonly IoSize[];
  readonly handler: PioHandler;
  /** What the guest need not leave for. Absent: nothing. */
  readonly direct?: Direct | undefined;
}

const PORTS = 0x10000;
export const BYTE: readonly IoSize[] = [1];
export const ANY_SIZE: readonly IoSize[] = [1, 2, 4];

/** Claims by the first port of an access of one size. */
class PortTable {
  /** Number of the claim; 0: none. */
  readonly #numbers = new Uint16Array(PORTS);
  readonly #claims: (PioClaim | undefined)[] = [undefined];

  at(port: number): PioClaim | undefined {
    return this.#claims[this.#numbers[port & (PORTS - 1)]];
  }

  /** Where nothing is claimed yet. */
  put(claim: PioClaim, first: number, end: number): void {
    let number = this.#claims.indexOf(undefined, 1);
    if (number < 0) number = this.#claims.length;
    this.#claims[number] = claim;
    for (let port = first; port < end; port++) if (this.#numbers[port] === 0) this.#numbers[port] = number;
  }

  take(claim: PioClaim): void {
    const number = this.#claims.indexOf(claim);
    if (number < 0) return;
    for (let port = claim.first; port < claim.first + claim.count; port++) {
      if (this.#numbers[port] === number) this.#numbers[port] = 0;
    }
    this.#claims[number] = undefined;
  }
}

export class PioBus {
  readonly #bytes = new PortTable();
  readonly #words = new PortTable();
  readonly #dwords = new PortTable();

  #table(size: IoSize): PortTable {
    return size === 1 ? this.#bytes : size === 2 ? this.#words : this.#dwords;
  }

  /** The first claim of a port wins. Returns the function that takes the claim back. */
  claim(claim: PioClaim): () => void {
    for (const size of claim.sizes) this.#table(size).put(claim, claim.first, claim.first + claim.count - size + 1);
    return () => {
      for (const size of claim.sizes) this.#table(size).take(claim);
    };
  }

  /** `port` and `size` come from a decoded instruction; a range past port 0xffff wraps as the address lines do. */
  read(port: number, size: IoSize, vcpu = 0): number {
    const claim = this.#table(size).at(port);
    if (claim !== undefined) return (claim.handler.read((port & 0xffff) - claim.first, size, vcpu) & ones(size)) >>> 0;
    if (size === 1) return 0xff;
    const half = size === 4 ? 2 : 1;
    const low = this.read(port, half, vcpu);
    return (low | (this.read(port + half, half, vcpu) << (half * 8))) >>> 0;
  }

  write(port: number, size: IoSize, value: number, vcpu = 0): void {
    const claim = this.#table(size).at(port);
    if (claim !== undefined) {
      claim.handler.write((port & 0xffff) - claim.first, size, (value & ones(size)) >>> 0, vcpu);
    } else if (size !== 1) {
      const half = size === 4 ? 2 : 1;
      this.write(port, half, value, vcpu);
      this.write(port + half, half, value >>> (half * 8), vcpu);
    }
  }

  /** As `read`, or DECLINED without any effect: the claim says that the guest must leave for this. */
  readDirect(port: number, size: IoSize): number {
    const claim = this.#table(size).at(port);
    if (claim?.direct === undefined) return DECLINED;
    return (claim.handler.read(port - claim.first, size, 0) & ones(size)) >>> 0;
  }

  /** As `write`; false: declined. */
  writeDirect(port: number, size: IoSize, value: number): boolean {
    const claim = this.#table(size).at(port);
    if (claim?.direct !== 'all') return false;
    claim.handler.write(port - claim.first, size, value, 0);
    return true;
  }
}
