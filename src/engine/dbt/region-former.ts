/**
 * Chooses what goes into a region: warm blocks of one page that hot ones reach by jumps and calls, and where calls return
 * to. Every block that control can come to from elsewhere is an entry, so that one region serves a whole function.
 */
import type { Insn } from '../../x86/insn.js';
import { endsBlock } from '../../x86/semantics/index.js';
import type { BlockCache } from './block-cache.js';

const PAGE = 4096;
const MAX_BLOCKS = 128;
const MAX_INSTRUCTIONS = 800;
/** More return sites than these are found by a table. */
const MAX_COMPARISONS = 3;

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
  /** Page offsets of the blocks it goes to by itself: jumps, calls, falling through. */
  readonly targets: readonly number[];
  /** Page offset where control comes back behind a call or an instruction that leaves the region. */
  readonly resumes: number | undefined;
  readonly isCall: boolean;
  /** Ends in a jump or call whose target is known at run time. */
  readonly isIndirect: boolean;
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
}

const NOWHERE: ReadonlySet<number> = new Set();
/** Blocks entered fewer times than this stay outside. */
const MIN_HEAT = 4;

/** The code of a page, decoded where it is asked for. */
class PageCode {
  readonly cache: BlockCache;
  readonly page: number;
  readonly key: number;
  private readonly decoded = new Map<number, Insn | undefined>();

  constructor(cache: BlockCache, page: number, key: number) {
    this.cache = cache;
    this.page = page;
    this.key = key;
  }

  /** Undefined where the instruction leaves the page. */
  at(offset: number): Insn | undefined {
    let insn = this.decoded.get(offset);
    if (insn === undefined && !this.decoded.has(offset)) {
      insn = this.cache.decodeAt(this.page + offset, this.key);
      this.decoded.set(offset, insn);
    }
    return insn;
  }
  /** Times the block at an offset was entered before it was translated. */
  heat(offset: number): number {
    const block = this.cache.find(this.page + offset, this.key);
    return block === undefined ? 0 : this.cache.heat(block);
  }
}

/** The region of the blocks at `seeds`, offsets in the page at `page`. */
export function formRegion(cache: BlockCache, page: number, key: number, seeds: readonly number[]): Region {
  const code = new PageCode(cache, page, key);
  const chosen = choose(code, seeds);
  const starts = new Set(chosen);
  const blocks = chosen.map((offset) => cut(code, offset, starts));
  const entries = new Set(seeds.filter((seed) => starts.has(seed)));
  const returnSites: number[] = [];
  for (const { resumes, isCall, targets } of blocks) {
    if (resumes !== undefined && starts.has(resumes)) entries.add(resumes);
    if (!isCall) continue;
    const callee = targets[0];
    if (callee === undefined || !starts.has(callee)) continue;
    entries.add(callee);
    if (resumes !== undefined && starts.has(resumes)) returnSites.push(resumes);
  }
  returnSites.sort((a, b) => code.heat(b) - code.heat(a));
  const hasTable = returnSites.length > MAX_COMPARISONS || blocks.some((b) => b.isIndirect);
  return { key, page, blocks, entries: [...entries], returnSites, hasTable };
}

/** Page offsets of the blocks to include, breadth first. */
function choose(code: PageCode, seeds: readonly number[]): number[] {
  const seen = new Set(seeds);
  const queue = [...seen];
  const chosen: number[] = [];
  let instructions = 0;
  for (let n = 0; n < queue.length && instructions < MAX_INSTRUCTIONS; n++) {
    const block = cut(code, queue[n] as number, NOWHERE);
    // An instruction that crosses into the next page is a block of its own, and never translated.
    if (block.insns.length === 0) continue;
    chosen.push(block.offset);
    instructions += block.insns.length;
    for (const target of [...block.targets, block.resumes]) {
      if (target === undefined || seen.has(target) || queue.length >= MAX_BLOCKS) continue;
      seen.add(target);
      if (code.heat(target) >= MIN_HEAT) queue.push(target);
    }
  }
  return chosen;
}

/** Decodes one block up to its end or to the start of another block of the region. */
function cut(code: PageCode, start: number, starts: ReadonlySet<number>): RegionBlock {
  const insns: RegionInsn[] = [];
  let at = start;
  const targets: number[] = [];
  let resumes: number | undefined;
  let isCall = false;
  let isIndirect = false;
  while (at < PAGE && insns.length < MAX_INSTRUCTIONS) {
    if (insns.length > 0 && starts.has(at)) {
      targets.push(at);
      break;
    }
    const insn = code.at(at);
    if (insn === undefined) break;
    insns.push({ insn, offset: at });
    at += insn.length;
    isCall = insn.mnemonic === 'call';
    const relative = insn.operands.find((op) => op.kind === 'rel');
    if (relative !== undefined && relative.kind === 'rel') {
      targets.push(at + relative.disp);
      if (isCall) resumes = at;
      else if (!endsBlock(insn)) targets.push(at);
      break;
    }
    if (endsBlock(insn)) {
      if (!NEVER_RESUMES.has(insn.mnemonic)) resumes = at;
      isIndirect = isCall || insn.mnemonic === 'jmp';
      break;
    }
  }
  const isInside = (t: number): boolean => t >= 0 && t < PAGE;
  return {
    offset: start,
    insns,
    end: at,
    targets: targets.filter(isInside),
    resumes: resumes !== undefined && isInside(resumes) ? resumes : undefined,
    isCall,
    isIndirect,
  };
}

/** Behind these comes other code. */
const NEVER_RESUMES = new Set([
  'ret',
  'retf',
  'jmp',
  'jmpf',
  'iret',
  'iretd',
  'iretq',
  'sysret',
  'sysexit',
  'ud',
  'gp',
]);
