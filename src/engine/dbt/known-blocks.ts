/**
 * Blocks that the archive has translations for, by signature: a hash table in shared memory that the compiler's thread fills and the
 * vCPU thread asks. What it says is a hint: two blocks can have one signature.
 */
const PAGE = 4096;
const SLOTS = 1 << 16;
/** Bytes of code at a block's beginning that tell it from others: behind them an address may stand, which says nothing. */
const TOLD_BY = 3;
/** A signature is found so near its own slot, or not at all. */
const MAX_STEPS = 16;

export interface BlockShape {
  /** In its page. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  readonly instructions: number;
  readonly key: number;
}

/** Of a block of so many bytes and instructions at `offset` in the page at `page`; never 0. */
export function signatureOf(
  bytes: Uint8Array,
  page: number,
  { offset, length, instructions, key }: BlockShape,
): number {
  let hash = Math.imul(offset + 1, 0x9e3779b1) ^ Math.imul(key, 0x85ebca6b);
  hash ^= Math.imul(length, 0xc2b2ae35) ^ Math.imul(instructions, 0x27d4eb2f);
  const end = page + Math.min(PAGE, offset + Math.min(length, TOLD_BY));
  for (let at = page + offset; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
  return (hash ^ (hash >>> 15)) | 1;
}

export class KnownBlocks {
  private readonly slots: Int32Array;

  constructor(shared = new SharedArrayBuffer(4 * SLOTS)) {
    this.slots = new Int32Array(shared);
  }
  get shared(): SharedArrayBuffer {
    return this.slots.buffer as SharedArrayBuffer;
  }

  has(signature: number): boolean {
    const { slots } = this;
    for (let n = signature >>> 16, step = 0; step < MAX_STEPS; n = (n + 1) % SLOTS, step++) {
      if (slots[n] === signature) return true;
      if (slots[n] === 0) return false;
    }
    return false;
  }
  /** Without effect where all slots near its own are taken. */
  add(signature: number): void {
    const { slots } = this;
    for (let n = signature >>> 16, step = 0; step < MAX_STEPS; n = (n + 1) % SLOTS, step++) {
      if (slots[n] === signature) return;
      if (slots[n] !== 0) continue;
      slots[n] = signature;
      return;
    }
  }
}
