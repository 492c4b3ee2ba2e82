/**
 * The guest-physical address space outside RAM. Platform devices come before PCI BARs, so that a guest that lays a
 * BAR over the interrupt controllers only loses the BAR. Unclaimed addresses read as all ones.
 */
import { DECLINED, type IoSize, type MmioHandler, ones } from '../../base/io.js';

export interface MmioClaim {
  readonly base: number;
  readonly size: number;
  readonly handler: MmioHandler;
  /** All of it is open while the guest runs, and reads change nothing: an instruction may repeat them. */
  readonly direct?: boolean;
  /** Offset of a register of four bytes whose writes leave all the same: what they cause comes before the next instruction. */
  readonly leavesAt?: number;
}

export type MmioAccessSize = 1 | 2 | 4 | 8;
export type MmioPriority = 'platform' | 'pci';

const ALL_ONES_64 = 0xffffffffffffffffn;

export class MmioBus {
  readonly #claims: Record<MmioPriority, MmioClaim[]> = { platform: [], pci: [] };
  #last: MmioClaim | undefined;

  /** Returns the function that takes the claim back. */
  claim(claim: MmioClaim, priority: MmioPriority = 'platform'): () => void {
    this.#claims[priority].push(claim);
    this.#last = undefined;
    return () => {
      this.#claims[priority] = this.#claims[priority].filter((other) => other !== claim);
      this.#last = undefined;
    };
  }

  read(gpa: number, size: MmioAccessSize, vcpu = 0): bigint {
    if (size !== 8) return BigInt(this.readNumber(gpa, size, vcpu));
    const claim = this.#find(gpa, 8);
    if (claim?.handler.read64 !== undefined) {
      return BigInt.asUintN(64, claim.handler.read64(gpa - claim.base, vcpu));
    }
    const low = this.readNumber(gpa, 4, vcpu);
    const high = this.readNumber(gpa + 4, 4, vcpu);
    return low === 0xffffffff && high === 0xffffffff ? ALL_ONES_64 : (BigInt(high) << 32n) | BigInt(low);
  }

  write(gpa: number, size: MmioAccessSize, value: bigint, vcpu = 0): void {
    if (size !== 8) {
      this.writeNumber(gpa, size, Number(BigInt.asUintN(32, value)), vcpu);
      return;
    }
    const claim = this.#find(gpa, 8);
    if (claim?.handler.write64 !== undefined) {
      claim.handler.write64(gpa - claim.base, BigInt.asUintN(64, value), vcpu);
      return;
    }
    this.writeNumber(gpa, 4, Number(BigInt.asUintN(32, value)), vcpu);
    this.writeNumber(gpa + 4, 4, Number(BigInt.asUintN(32, value >> 32n)), vcpu);
  }

  /** The same without BigInt, for at most four bytes. */
  readNumber(gpa: number, size: IoSize, vcpu = 0): number {
    const claim = this.#find(gpa, size);
    if (claim !== undefined) return (claim.handler.read(gpa - claim.base, size, vcpu) & ones(size)) >>> 0;
    // Unclaimed, or across the end of a claim: byte by byte in the second case.
    if (size === 1 || this.#find(gpa, 1) === this.#find(gpa + size - 1, 1)) return ones(size);
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.readNumber(gpa + i, 1, vcpu) << (8 * i);
    return value >>> 0;
  }

  writeNumber(gpa: number, size: IoSize, value: number, vcpu = 0): void {
    const claim = this.#find(gpa, size);
    if (claim !== undefined) claim.handler.write(gpa - claim.base, size, (value & ones(size)) >>> 0, vcpu);
    else if (size !== 1 && this.#find(gpa, 1) !== this.#find(gpa + size - 1, 1)) {
      for (let i = 0; i < size; i++) this.writeNumber(gpa + i, 1, value >>> (8 * i), vcpu);
    }
  }

  /** As `readNumber`, or DECLINED without any effect: the guest must leave for this. */
  readDirect(gpa: number, size: IoSize): number {
    const claim = this.#find(gpa, size);
    if (claim?.direct !== true) return DECLINED;
    return (claim.handler.read(gpa - claim.base, size, 0) & ones(size)) >>> 0;
  }

  /** As `writeNumber`; false: declined. */
  writeDirect(gpa: number, size: IoSize, value: number): boolean {
    const claim = this.#find(gpa, size);
    if (claim?.direct !== true) return false;
    const offset = gpa - claim.base;
    if (claim.leavesAt !== undefined && offset + size > claim.leavesAt && offset < claim.leavesAt + 4) return false;
    claim.handler.write(offset, size, value, 0);
    return true;
  }

  #find(gpa: number, size: number): MmioClaim | undefined {
    const last = this.#last;
    // The claim used last is only a shortcut where no earlier claim can cover the address: platform claims.
    if (last !== undefined && gpa >= last.base && gpa + size <= last.base + last.size) return last;
    for (const claim of this.#claims.platform) {
      if (gpa >= claim.base && gpa + size <= claim.base + claim.size) {
        this.#last = claim;
        return claim;
      }
    }
    return this.#claims.pci.find((claim) => gpa >= claim.base && gpa + size <= claim.base + claim.size);
  }
}
