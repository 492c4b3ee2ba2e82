/** MSRs that live outside the processor core: claimed by number. An MSR nobody claims is refused (#GP). */
import type { MsrHandler } from '../../base/io.js';

interface MsrClaim {
  readonly first: number;
  readonly last: number;
  readonly handler: MsrHandler;
}

export class MsrBus {
  readonly #claims: MsrClaim[] = [];

  claim(first: number, last: number, handler: MsrHandler): void {
    this.#claims.push({ first, last, handler });
  }

  read(msr: number, vcpu = 0): bigint | undefined {
    return this.#find(msr)?.handler.read(msr, vcpu);
  }

  write(msr: number, value: bigint, vcpu = 0): boolean {
    return this.#find(msr)?.handler.write(msr, BigInt.asUintN(64, value), vcpu) ?? false;
  }

  #find(msr: number): MsrClaim | undefined {
    return this.#claims.find((claim) => msr >= claim.first && msr <= claim.last);
  }
}
