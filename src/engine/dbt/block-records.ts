/**
 * What the blocks of the vCPU thread (record.ts) say: how often they ran, and where they led. The vCPU thread may write them
 * meanwhile or forget them all, so an answer is only likely; what depends on it is compared again when a batch is entered.
 */
import * as S from '../../x86/state.js';
import * as R from './record.js';

const PAGE = 4096;
/** A long block goes on in so many others at most. */
const MAX_PARTS = 16;
/** Lists are far shorter, but may be in change. */
const MAX_STEPS = 1000;

export interface KnownBlock {
  readonly header: number;
  /** Guest physical address of the first byte. */
  readonly gpa: number;
  readonly key: number;
  /** Bytes, and instructions. */
  readonly length: number;
  readonly instructions: number;
  /** Times it was entered, and at least what makes it hot where that is not counted any more. */
  readonly heat: number;
}

/** Number of the list of blocks that start at an address. */
export function startList(gpa: number, key: number): number {
  return (Math.imul(gpa, 0x9e3779b1) ^ Math.imul(key, 0x85ebca6b)) >>> 16;
}

export class BlockRecords {
  private readonly i32: Int32Array;
  private readonly u16: Uint16Array;

  constructor(memory: WebAssembly.Memory) {
    this.i32 = new Int32Array(memory.buffer);
    this.u16 = new Uint16Array(memory.buffer);
  }

  /** The block that starts at an address. `hot`: entries that make one hot. */
  find(gpa: number, key: number, hot: number): KnownBlock | undefined {
    let header = this.word(S.BLOCK_STARTS + 4 * startList(gpa, key));
    for (let n = 0; n < MAX_STEPS && header !== 0; n++) {
      const block = this.at(header, hot);
      if (block !== undefined && block.gpa === gpa && block.key === key) return block;
      header = this.word(header + R.HEADER_SAME_START);
    }
    return undefined;
  }
  /** Undefined for what is no block, was dropped, or consists of one instruction that crosses into another page. */
  at(header: number, hot: number): KnownBlock | undefined {
    if (header < S.BLOCKS || header >= S.BLOCKS_END || header % 4 !== 0) return undefined;
    const page = (this.word(header + R.HEADER_PAGE) >>> 0) - S.RAM;
    if (!this.isRam(page)) return undefined;
    if (this.word(header + R.HEADER_SECOND_PAGE) !== 0) return undefined;
    // Entries of regions and stubs are not counted.
    const isHot = this.word(header + R.HANDLER) >= R.HANDLER_STUB || this.word(header + R.HEADER_DEFERRED) !== 0;
    return {
      header,
      gpa: page + (this.u16[(header + R.OFFSET) >> 1] as number),
      key: this.word(header + R.HEADER_KEY),
      length: this.u16[(header + R.HEADER_LENGTH) >> 1] as number,
      instructions: this.word(header + R.HEADER_COUNT),
      heat: Math.max(this.word(header + R.HEADER_HEAT), isHot ? hot : 0),
    };
  }

  /** A page of guest memory. */
  isRam(page: number): boolean {
    return page >= 0 && page % PAGE === 0 && page + PAGE <= this.i32.byteLength - S.RAM;
  }

  /** Header that the relative jump at the end of a block, at an offset of its page, led to in another page; 0: not known. */
  beyond(header: number, last: number): number {
    let at = header;
    for (let n = 0; n < MAX_PARTS && this.at(at, 0) !== undefined; n++) {
      const record = at + R.RECORD_SIZE * this.word(at + R.HEADER_COUNT);
      const close = record + R.RECORD_SIZE;
      if (close >= S.BLOCKS_END || record <= at) return 0;
      if (this.u16[(record + R.OFFSET) >> 1] === last) return this.word(record + R.LINK_FAR);
      at = this.word(close + R.CLOSE_LINK);
    }
    return 0;
  }
  private word(at: number): number {
    return this.i32[at >> 2] ?? 0;
  }
}
