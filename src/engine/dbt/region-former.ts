/**
 * Chooses what goes into a region: warm blocks of one page that hot ones reach by jumps and calls, and where calls return
 * to. Every block that control can come to from elsewhere is an entry, so that one region serves a whole function.
 */
import { decode } from '../../x86/decode/decoder.js';
import type { CodeSize, Insn } from '../../x86/insn.js';
import { endsBlock } from '../../x86/semantics/index.js';
import { codeSizeOf } from './block-key.js';

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

/** The code of a page in one mode, decoded where it is asked for, and how often its warm blocks have run. */
export class PageCode {
  /** Guest physical address. */
  readonly page: number;
  readonly key: number;
  readonly bytes: Uint8Array;
  /** Entries that make a block hot. */
  private readonly threshold: number;
  private readonly codeSize: CodeSize;
  private readonly heats = new Map<number, number>();
  private readonly decoded = new Map<number, Insn | undefined>();
  private readonly blocks = new Map<number, RegionBlock>();

  /** `heat`: page offsets and how often the block there was entered, by turns. */
  constructor(page: number, key: number, bytes: Uint8Array, heat: readonly number[], threshold: number) {
    this.page = page;
    this.key = key;
    this.bytes = bytes;
    this.threshold = threshold;
    this.codeSize = codeSizeOf(key);
    for (let n = 0; n < heat.length; n += 2) this.heats.set(heat[n] as number, heat[n + 1] as number);
  }

  /** Undefined where the instruction leaves the page. */
  at(offset: number): Insn | undefined {
    let insn = this.decoded.get(offset);
    if (insn === undefined && !this.decoded.has(offset)) {
      const found = decode(this.bytes, offset, PAGE - offset, this.codeSize);
      insn = found === 'truncated' ? undefined : found;
      this.decoded.set(offset, insn);
    }
    return insn;
  }
  /** The block at an offset up to its own end. */
  block(offset: number): RegionBlock {
    let block = this.blocks.get(offset);
    if (block === undefined) {
      block = cut(this, offset, NOWHERE);
      this.blocks.set(offset, block);
    }
    return block;
  }
  /** Times the block at an offset was entered before it was translated; 0 for what is not warm. */
  heat(offset: number): number {
    return this.heats.get(offset) ?? 0;
  }
  isHot(offset: number): boolean {
    return this.heat(offset) >= this.threshold;
  }
}

/** The region of the blocks at `seeds`, offsets in the page. */
export function formRegion(code: PageCode, seeds: readonly number[]): Region {
  const { page, key } = code;
  const chosen = choose(code, seeds);
  const starts = new Set(chosen);
  const blocks = chosen.map((offset) => {
    const whole = code.block(offset);
    return reachesInto(whole, starts) ? cut(code, offset, starts) : whole;
  });
  const entries = new Set(chosen.filter((offset) => seeds.includes(offset) || code.isHot(offset)));
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

/** Another block of the region begins inside this one, or where it stopped for being long. */
function reachesInto({ insns, end }: RegionBlock, starts: ReadonlySet<number>): boolean {
  for (let n = 1; n < insns.length; n++) if (starts.has((insns[n] as RegionInsn).offset)) return true;
  return insns.length >= MAX_INSTRUCTIONS && starts.has(end);
}

/** Page offsets of the blocks to include, breadth first. */
function choose(code: PageCode, seeds: readonly number[]): number[] {
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
      if (seen.has(target) || queue.length >= MAX_BLOCKS) return;
      seen.add(target);
      if (code.heat(target) > 0) queue.push(target);
    };
    for (const target of block.targets) visit(target);
    if (block.resumes !== undefined) visit(block.resumes);
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
    // A relative target is the last operand.
    const relative = insn.operands[insn.operands.length - 1];
    if (relative !== undefined && relative.kind === 'rel') {
      targets.push(at + relative.disp);
      if (isCall) resumes = at;
      else if (!endsBlock(insn)) targets.push(at);
      break;
    }
    if (endsBlock(insn)) {
      if (!NEVER_RESUMES.has(insn.mnemonic)) resumes = at;
      if (GOES_ON.has(insn.mnemonic)) targets.push(at);
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

/** These end a block only for what they may change: mostly the next instruction follows inside the region. */
const GOES_ON = new Set(['sti', 'popfq', 'clts', 'ldmxcsr', 'fxrstor', 'fxrstor64', 'xrstor', 'xrstor64']);

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
