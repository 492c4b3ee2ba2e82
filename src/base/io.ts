/**
 * What a device offers to the buses. Offsets count from the start of the claimed range. Every value is
 * guest-controlled; a handler never throws. `vcpu` is the index of the processor that makes the access: only
 * per-processor devices (LAPIC) look at it.
 */
export type IoSize = 1 | 2 | 4;

export interface PioHandler {
  read(offset: number, size: IoSize, vcpu: number): number;
  write(offset: number, size: IoSize, value: number, vcpu: number): void;
}

/** 8-byte accesses arrive as two 4-byte ones, low half first, unless the device takes them whole. */
/**
 * Accesses that concern the device, its interrupts and its timers alone: not memory, nor where memory is, nor the machine's
 * life. They may be made while the guest runs.
 */
export type Direct = 'reads' | 'all';

/** The answer to an access that is not of this kind. */
export const DECLINED = -1;

export interface MmioHandler {
  read(offset: number, size: IoSize, vcpu: number): number;
  write(offset: number, size: IoSize, value: number, vcpu: number): void;
  read64?(offset: number, vcpu: number): bigint;
  write64?(offset: number, value: bigint, vcpu: number): void;
}

export interface MsrHandler {
  /** undefined: refuse, the guest gets #GP(0). */
  read(msr: number, vcpu: number): bigint | undefined;
  /** false: refuse. */
  write(msr: number, value: bigint, vcpu: number): boolean;
}

/** All ones of an access size, as an unsigned number. */
export function ones(size: IoSize): number {
  return size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff;
}
