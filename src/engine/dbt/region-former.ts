/**
 * Chooses what goes into a region: warm blocks of one page that hot ones reach by jumps and calls, and where calls return
 * to. Every block that control can come to from elsewhere is an entry, so that one region serves a whole function. What other
 * pages give is chosen in region-guests.ts.
 */
import { type CodeBlock, MAX_INSTRUCTIONS, PAGE, type PageCode } from './page-code.js';
import {
  type Frame,
  frameOf,
  type Guests,
  guestsOf,
  NO_GUESTS,
  type OtherPages,
  offsetOf,
  placeOf,
} from './region-guests.js';

const MAX_BLOCKS = 128;
/** More return sites than these are found by a table. */
const MAX_COMPARISONS = 3;

export interface RegionBlock extends Omit<CodeBlock, 'targets' | 'resumes'> {
  readonly place: number;
  /** Places that it goes to by itself, as far as they may be in the region. */
  readonly targets: readonly number[];
  readonly resumes: number | undefined;
  /** Place of the function that is a part of the region for this call alone. */
  readonly callee: number | undefined;
}

export interface Region {
  readonly key: number;
  /** Guest physical address of the page. */
  readonly page: number;
  readonly blocks: readonly RegionBlock[];
  /** Page offsets of blocks that can be entered from outside; the first is what the region was made for. */
  readonly entries: readonly number[];
  /** Page offsets behind calls inside the region: returns look here first. */
  readonly returnSites: readonly number[];
  /** Jumps, calls and returns find their targets inside the region by a table of its page. */
  readonly hasTable: boolean;
  readonly frames: readonly Frame[];
  /** Offset in another page -> header that a link there must lead to. */
  readonly crossings: ReadonlyMap<number, number>;
  /** The other pages that it is made of. */
  readonly others: readonly PageCode[];
  readonly vias: Guests['vias'];
}

/** The region of the blocks at `seeds`, offsets in the page. */
export function formRegion(code: PageCode, seeds: readonly number[], pages: OtherPages | undefined): Region {
  const { page, key } = code;
  const chosen = chooseBlocks(code, seeds);
  const starts = new Set(chosen);
  const own = chosen.map((offset) => code.blockUpTo(offset, starts));
  const guests = pages === undefined ? NO_GUESTS : guestsOf(code, own, starts, pages);
  const blocks = own.map((block) => placed(block, 0, guests));
  for (const { place, code: other } of guests.blocks) {
    const frame = frameOf(place);
    blocks.push(placed(other.blockUpTo(offsetOf(place), guests.starts[frame] as Set<number>), frame, guests));
  }
  const entries = new Set(chosen.filter((offset) => seeds.includes(offset) || code.isHot(offset)));
  const returnSites: number[] = [];
  for (const { isCall, resumes, targets, callee, place } of blocks) {
    if (!code.isInside(place)) continue;
    if (resumes !== undefined && starts.has(resumes)) entries.add(resumes);
    if (!isCall || callee !== undefined) continue;
    const [to] = targets;
    if (to === undefined || !starts.has(to)) continue;
    entries.add(to);
    if (resumes !== undefined && starts.has(resumes)) returnSites.push(resumes);
  }
  returnSites.sort((a, b) => code.heat(b) - code.heat(a));
  const hasTable = returnSites.length > MAX_COMPARISONS || own.some((b) => b.isIndirect);
  const { frames, crossings, others, vias } = guests;
  return { key, page, blocks, entries: [...entries], returnSites, hasTable, frames, crossings, others, vias };
}

/** Page offsets of the blocks to include, breadth first. */
export function chooseBlocks(code: PageCode, seeds: readonly number[]): number[] {
  const seen = new Set(seeds);
  const queue = [...seen];
  const chosen: number[] = [];
  let instructions = 0;
  for (let n = 0; n < queue.length && instructions < MAX_INSTRUCTIONS; n++) {
    const block = code.block(queue[n] as number);
    // An instruction that crosses into the next page is a block of its own, and never translated.
    if (block.insns.length === 0) continue;
    chosen.push(block.offset);
    instructions += block.insns.length;
    const visit = (target: number): void => {
      if (!code.isInside(target) || seen.has(target) || queue.length >= MAX_BLOCKS) return;
      seen.add(target);
      if (code.isWarm(target)) queue.push(target);
    };
    for (const target of block.targets) visit(target);
    if (block.resumes !== undefined) visit(block.resumes);
  }
  return chosen;
}

/** The block in its frame: a call that has its function in the region leads there, a return of such a function to its caller. */
function placed(block: CodeBlock, frame: number, { calls, frames, starts }: Guests): RegionBlock {
  const last = block.insns[block.insns.length - 1];
  const callee = block.isCall && last !== undefined ? calls.get(placeOf(last.offset, frame)) : undefined;
  const isHere = (offset: number): boolean =>
    frame === 0
      ? (offset >= 0 && offset < PAGE) || starts[0]?.has(offset) === true
      : starts[frame]?.has(offset) === true;
  let targets: number[] = [];
  if (callee !== undefined) targets = [callee];
  else if (block.isReturn && frame > 0) {
    const { caller, site } = frames[frame] as Frame;
    targets = [placeOf(site, caller)];
  } else if (frame === 0 || !block.isCall)
    targets = block.targets.filter(isHere).map((offset) => placeOf(offset, frame));
  const { resumes } = block;
  return {
    ...block,
    place: placeOf(block.offset, frame),
    targets,
    resumes: resumes !== undefined && isHere(resumes) ? placeOf(resumes, frame) : undefined,
    callee,
  };
}
