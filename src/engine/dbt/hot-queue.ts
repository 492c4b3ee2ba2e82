/** Hot blocks that wait to be compiled. A compiler in a thread of its own can be far behind: not all stay hot so long. */
import type { Block } from './block-cache.js';

const PAGE = 4096;
/** More than there are block keys. */
const KEYS = 2 ** 20;
/** The hottest blocks of one batch at most, and with others of their pages. */
const BATCH = 12;
const WHOLE_BATCH = 64;
/** The one of a batch that ran most while it waited did so at most so many times as often as the one that ran least ... */
const RUNS_OF_ONE_BATCH = 3;
/** ... both with so many runs more: fewer tell nothing. */
const FEW_RUNS = 200;
/** A block that ran so often while it waited is a loop that the guest is in. */
const RUNS_OF_LOOP_PER_MS = 200;
/** A block that has waited this long ... */
const LONG_WAIT_NS = 30e6;
/** ... and was entered less often meanwhile is hot no more: its translation would cost what it saves in seconds. */
const LEAST_ENTRIES_PER_MS = 10;

/** What is known of blocks. */
export interface Heat {
  isAlive(block: Block): boolean;
  heat(block: Block): number;
  cool(gpa: number, key: number): void;
}

interface Waiting {
  readonly block: Block;
  readonly sinceNs: number;
  /** Its heat then. */
  readonly before: number;
  heat: number;
}

export class HotQueue {
  private readonly heat: Heat;
  private waiting: Waiting[] = [];
  /** Blocks that did not stay hot. */
  cooled = 0;

  constructor(heat: Heat) {
    this.heat = heat;
  }

  get length(): number {
    return this.waiting.length;
  }
  get isFull(): boolean {
    return this.waiting.length >= BATCH;
  }

  add(block: Block, nowNs: number): void {
    const heat = this.heat.heat(block);
    this.waiting.push({ block, sinceNs: nowNs, before: heat, heat });
  }

  /** How long the oldest has waited. */
  waitedNs(nowNs: number): number {
    return nowNs - (this.waiting[0]?.sinceNs ?? nowNs);
  }

  /**
   * The next batch: what ran most since it came here is a loop that waits, and the more others come along the longer it waits. Heat
   * does not tell: they all came here when they had the same.
   * `keepAll`: the queue was no longer than the compiler wants it to be.
   */
  take(nowNs: number, keepAll: boolean): { block: Block; isLoop: boolean }[] {
    const hot: Waiting[] = [];
    for (const each of this.waiting) {
      if (!this.heat.isAlive(each.block)) continue;
      each.heat = this.heat.heat(each.block);
      if (keepAll || isStillHot(each, nowNs)) hot.push(each);
      else this.cool(each.block);
    }
    const order = hot.toSorted((a, b) => runsOf(b) - runsOf(a));
    const least = order[0] === undefined ? 0 : runsOf(order[0]) / RUNS_OF_ONE_BATCH;
    const hottest = order.slice(0, BATCH).filter((each) => runsOf(each) >= least);
    // Those of the same pages will likely be in the same regions, which else were made again for them.
    const pages = new Set(hottest.map(pageOf));
    const batch = new Set(order.filter((each) => pages.has(pageOf(each))).slice(0, WHOLE_BATCH));
    this.waiting = hot.filter((each) => !batch.has(each));
    return [...batch].map((each) => ({ block: each.block, isLoop: isLoop(each, nowNs) }));
  }

  private cool({ gpa, key }: Block): void {
    this.cooled++;
    this.heat.cool(gpa, key);
  }
}

/** Runs while it waited, and some. */
const runsOf = ({ heat, before }: Waiting): number => heat - before + FEW_RUNS;

function isLoop({ sinceNs, before, heat }: Waiting, nowNs: number): boolean {
  return heat - before > ((nowNs - sinceNs) / 1e6) * RUNS_OF_LOOP_PER_MS;
}

/** Page and mode as one number. */
const pageOf = ({ block: { gpa, key } }: Waiting): number => Math.floor(gpa / PAGE) * KEYS + key;

function isStillHot({ sinceNs, before, heat }: Waiting, nowNs: number): boolean {
  const waitedNs = nowNs - sinceNs;
  return waitedNs < LONG_WAIT_NS || heat - before >= (waitedNs / 1e6) * LEAST_ENTRIES_PER_MS;
}
