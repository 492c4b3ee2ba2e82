/** MSRs that live outside the processor core: claimed by number. An MSR nobody claims is refused (#GP). */
import type { MsrHandler } from '../../base/io.js';

interface MsrClaim {
  readonly first: number;
  readonly last: number;
  readonly handler: MsrHandler;
  /** Written while the guest runs. */
  readonly direct: boolean;
}

export class MsrBus {
  readonly #claims: MsrClaim[] = [];

  claim(first: number, last: number, handler: MsrHandler, direct = false): void {
    this.#claims.push({ first, last, handler, direct });
  }

  read(msr: number, vcpu = 0): bigint | undefined {
    return this.#find(msr)?.handler.read(msr, vcpu);
  }

  write(msr: number, value: bigint, vcpu = 0): boolean {
    return this.#find(msr)?.handler.write(msr, BigInt.asUintN(64, value), vcpu) ?? false;
  }

  /** As `write`; also false where the guest must leave for it, or is refused. */
  writeDirect(msr: number, value: bigint): boolean {
    const claim = this.#find(msr);
    return claim?.direct === true && claim.handler.write(msr, BigInt.asUintN(64, value), 0);
  }

  #find(msr: number): MsrClaim | undefined {
    return this.#claims.find((claim) => msr >= claim.first && msr <= claim.last);
  }
}
