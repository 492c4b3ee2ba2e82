/** Chooses what goes into a region: warm blocks of one page, reached from a hot one by direct jumps. */
import type { Insn } from '../../x86/insn.js';
import { endsBlock } from '../../x86/semantics/index.js';
import type { Block, BlockCache } from './block-cache.js';

const PAGE = 4096;
const MAX_BLOCKS = 48;
const MAX_INSTRUCTIONS = 400;

export interface RegionInsn {
  readonly insn: Insn;
  /** Page offset. */
  readonly offset: number;
}

export interface RegionBlock {
  /** Page offset of the first instruction. */
  readonly offset: number;
  readonly insns: readonly RegionInsn[];
  /** Page offset behind the last instruction. */
  readonly end: number;
  /** Page offsets of the blocks it can go to inside the region. */
  readonly targets: readonly number[];
}

export interface Region {
  readonly key: number;
  /** Guest physical address of the page. */
  readonly page: number;
  /** Blocks; the first is the entry. */
  readonly blocks: readonly RegionBlock[];
}

/** Blocks entered fewer times than this stay outside. */
const MIN_HEAT = 4;

export function formRegion(cache: BlockCache, entry: Block): Region {
  const page = entry.gpa - (entry.gpa % PAGE);
  const chosen = choose(cache, page, entry);
  const starts = new Set(chosen);
  return {
    key: entry.key,
    page,
    blocks: chosen.map((offset) => cut(cache, page, entry.key, offset, starts)),
  };
}

/** Page offsets of the blocks to include, breadth first from the entry. */
function choose(cache: BlockCache, page: number, entry: Block): number[] {
  const chosen = [entry.gpa % PAGE];
  const seen = new Set(chosen);
  let instructions = 0;
  for (let n = 0; n < chosen.length && chosen.length < MAX_BLOCKS && instructions < MAX_INSTRUCTIONS; n++) {
    const block = cut(cache, page, entry.key, chosen[n] as number, new Set());
    instructions += block.insns.length;
    for (const target of block.targets) {
      if (seen.has(target)) continue;
      seen.add(target);
      const known = cache.find(page + target, entry.key);
      if (known !== undefined && cache.heat(known) >= MIN_HEAT) chosen.push(target);
    }
  }
  return chosen;
}

/** Decodes one block up to its end or to the start of another block of the region. */
function cut(cache: BlockCache, page: number, key: number, start: number, starts: ReadonlySet<number>): RegionBlock {
  const insns: RegionInsn[] = [];
  let at = start;
  let targets: number[] = [];
  for (;;) {
    if (at >= PAGE || insns.length >= MAX_INSTRUCTIONS) break;
    if (insns.length > 0 && starts.has(at)) {
      targets = [at];
      break;
    }
    const insn = cache.decodeAt(page + at, key);
    if (insn === undefined) break;
    insns.push({ insn, offset: at });
    at += insn.length;
    const relative = insn.operands.find((op) => op.kind === 'rel');
    if (relative !== undefined && relative.kind === 'rel') {
      // A call's target is not followed: it is another function.
      if (insn.mnemonic !== 'call') targets.push(at + relative.disp);
      if (!endsBlock(insn)) targets.push(at);
      break;
    }
    if (endsBlock(insn)) break;
  }
  return { offset: start, insns, end: at, targets: targets.filter((t) => t >= 0 && t < PAGE) };
}
