/**
 * What a region takes from other pages: where its jumps go on there, and functions that it calls, each for one call alone. Control
 * comes to them only from the region itself, by way of a link that must lead to the block it led to before (`crossings`).
 *
 *   frame 0            the region's own page, and what it jumps to
 *   frame 1, 2 ...     one for each call whose function is part of the region; returns go to the caller's frame
 *
 * A place is an offset from the region's page and a frame. Offsets in the page, in frame 0, are their own places.
 */
import { type BlockHeats, type CodeBlock, PAGE, type PageCode } from './page-code.js';
import { isUser } from './page-links.js';
import type { Via } from './region-archive.js';

/** Instructions of all guests of a region, of one function, and of where jumps go on; calls inside of one another. */
interface Limits {
  readonly guests: number;
  readonly function: number;
  readonly rest: number;
  readonly depth: number;
}
/**
 * A kernel's code runs as long as the machine and is mostly small functions; a program may be gone before it is compiled. What a compiler
 * of large regions has in hand, other code waits for.
 */
const OF_SUPERVISOR: Limits = { guests: 150, function: 40, rest: 40, depth: 2 };
const OF_USER: Limits = { guests: 100, function: 20, rest: 20, depth: 1 };
/** A guest is entered at least at this part of what makes a block hot: rare ways out of a function do not make it too large. */
const HOT_TO_GUEST = 5;
/** Farther away than this, offsets would not fit where accesses tell their place. */
export const MAX_DISTANCE = 2 ** 28;

const FRAME = 2 ** 32;
const HALF = 2 ** 31;
export const placeOf = (offset: number, frame: number): number => offset + frame * FRAME;
export const frameOf = (place: number): number => Math.floor((place + HALF) / FRAME);
export const offsetOf = (place: number): number => place - frameOf(place) * FRAME;

export interface Frame {
  /** Frame of the caller, and the offset that calls return to. */
  readonly caller: number;
  readonly site: number;
}

export interface Guests {
  readonly frames: readonly Frame[];
  /** By frame: offsets of its blocks. */
  readonly starts: readonly Set<number>[];
  /** Place of a call -> place of its function. */
  readonly calls: ReadonlyMap<number, number>;
  readonly blocks: readonly { readonly place: number; readonly code: PageCode }[];
  readonly crossings: ReadonlyMap<number, number>;
  readonly others: readonly PageCode[];
  /** By distance of a page: how it was found. */
  readonly vias: ReadonlyMap<number, Via>;
}
const OUTERMOST: Frame = { caller: 0, site: 0 };
export const NO_GUESTS: Guests = {
  frames: [OUTERMOST],
  starts: [new Set()],
  calls: new Map(),
  blocks: [],
  crossings: new Map(),
  others: [],
  vias: new Map(),
};

/** Where other pages and what is known of their blocks come from. */
export interface OtherPages extends BlockHeats {
  /** The code of a page so far from the region's. */
  codeOf(page: number, delta: number): PageCode;
}

/** Blocks of other pages that belong together, before it is decided that they are taken. */
interface Part {
  readonly blocks: Map<number, PageCode>;
  readonly calls: { readonly at: number; readonly site: number; readonly target: number; readonly part: Part }[];
  instructions: number;
}

/** `own`: the blocks of the region's page; `starts`: their offsets. */
export function guestsOf(
  home: PageCode,
  own: readonly CodeBlock[],
  starts: ReadonlySet<number>,
  pages: OtherPages,
): Guests {
  return new GuestFinder(home, starts, pages).find(own);
}

class GuestFinder {
  private readonly home: PageCode;
  private readonly pages: OtherPages;
  /** By distance from the region's page. */
  private readonly codes = new Map<number, PageCode>();
  private readonly vias = new Map<number, Via>();
  private readonly frames: Frame[] = [OUTERMOST];
  private readonly starts: Set<number>[];
  private readonly calls = new Map<number, number>();
  private readonly blocks: { place: number; code: PageCode }[] = [];
  private readonly limits: Limits;
  private left: number;

  constructor(home: PageCode, own: ReadonlySet<number>, pages: OtherPages) {
    this.home = home;
    this.pages = pages;
    this.starts = [new Set(own)];
    this.codes.set(0, home);
    this.limits = isUser(home.key) ? OF_USER : OF_SUPERVISOR;
    this.left = this.limits.guests;
  }

  find(own: readonly CodeBlock[]): Guests {
    for (const block of own) {
      if (this.left <= 0) break;
      if (block.isCall) this.call(block);
      else this.rest(block);
    }
    const { frames, starts, calls, blocks, vias } = this;
    const crossings = new Map<number, number>();
    const others = new Set<PageCode>();
    for (const { place, code } of blocks) {
      if (code === this.home) continue;
      const offset = offsetOf(place);
      crossings.set(offset, code.header(offset));
      others.add(code);
    }
    return { frames, starts, calls, blocks, crossings, others: [...others], vias };
  }

  /** A call of the region's page. */
  private call(block: CodeBlock): void {
    const [target] = block.targets;
    const { resumes: site } = block;
    if (target === undefined || site === undefined || this.home.isInside(target)) return;
    const code = this.codeAt(target, this.home, block);
    if (code === undefined) return;
    const part = this.part(target, code, [target], Math.min(this.limits.function, this.left), true);
    if (part !== undefined) this.takeFunction(placeOf(lastOf(block), 0), 0, site, target, part);
  }
  private takeFunction(call: number, caller: number, site: number, target: number, part: Part): void {
    const frame = this.frames.length;
    this.frames.push({ caller, site });
    this.starts.push(new Set());
    this.calls.set(call, placeOf(target, frame));
    this.take(part, frame);
  }
  private take(part: Part, frame: number): void {
    for (const [offset, code] of part.blocks) {
      const starts = this.starts[frame] as Set<number>;
      if (starts.has(offset)) continue;
      starts.add(offset);
      this.blocks.push({ place: placeOf(offset, frame), code });
      this.left -= code.block(offset).insns.length;
    }
    for (const { at, site, target, part: callee } of part.calls) {
      const call = placeOf(at, frame);
      if (!this.calls.has(call)) this.takeFunction(call, frame, site, target, callee);
    }
  }
  /** Jumps of the region's page to others. */
  private rest(block: CodeBlock): void {
    for (const target of block.targets) {
      if (this.home.isInside(target) || this.starts[0]?.has(target)) continue;
      const code = this.codeAt(target, this.home, block);
      if (code === undefined) continue;
      const part = this.part(target, code, [], Math.min(this.limits.rest, this.left), false);
      if (part !== undefined) this.take(part, 0);
    }
  }

  /** What control comes to from a block on; a function (`isWhole`) is taken whole, or undefined. */
  private part(
    target: number,
    first: PageCode,
    chain: readonly number[],
    limit: number,
    isWhole: boolean,
  ): Part | undefined {
    const part: Part = { blocks: new Map([[target, first]]), calls: [], instructions: 0 };
    // Grows while it is gone through.
    for (const [offset, code] of part.blocks) {
      const block = code.block(offset);
      const leaves = block.resumes !== undefined && !block.isCall && block.targets.length === 0;
      if (isWhole && (leaves || block.insns.length === 0)) return undefined;
      if (block.insns.length === 0) part.blocks.delete(offset);
      part.instructions += block.insns.length;
      if (part.instructions > limit) {
        if (isWhole) return undefined;
        part.blocks.delete(offset);
        break;
      }
      if (block.isCall) {
        const joins = this.inner(part, block, code, chain, limit);
        if (isWhole && !joins) return undefined;
        continue;
      }
      for (const to of block.targets) {
        const next = part.blocks.has(to) ? undefined : this.codeAt(to, code, block);
        if (next !== undefined) part.blocks.set(to, next);
      }
    }
    return part.blocks.has(target) ? part : undefined;
  }
  /** A call of a guest: its function joins as well, or control leaves there. */
  private inner(part: Part, block: CodeBlock, code: PageCode, chain: readonly number[], limit: number): boolean {
    const [target] = block.targets;
    const { resumes: site } = block;
    if (target === undefined || site === undefined || !code.isInside(site)) return false;
    if (chain.length >= this.limits.depth || chain.includes(target)) return false;
    const into = this.codeAt(target, code, block);
    if (into === undefined) return false;
    const left = Math.min(this.limits.function, limit - part.instructions);
    const callee = this.part(target, into, [...chain, target], left, true);
    if (callee === undefined) return false;
    part.calls.push({ at: lastOf(block), site, target, part: callee });
    part.instructions += callee.instructions;
    part.blocks.set(site, code);
    return true;
  }

  /** The page of a warm block that another leads to by itself, as far as it is known. */
  private codeAt(offset: number, from: PageCode, block: CodeBlock): PageCode | undefined {
    const delta = offset - (offset & (PAGE - 1));
    if (from.delta === delta) return this.isWorthwhile(from, offset) ? from : undefined;
    if (Math.abs(delta) >= MAX_DISTANCE) return undefined;
    const { records } = this.pages;
    const known = records.at(records.beyond(from.header(block.offset), lastOf(block) & (PAGE - 1)), 0);
    if (known === undefined || known.key !== this.home.key || known.gpa % PAGE !== offset - delta) return undefined;
    const page = known.gpa - (known.gpa % PAGE);
    // A page at two addresses would be two parts of the region: none knows then which chunks it depends on.
    for (const code of this.codes.values()) if ((code.delta === delta) !== (code.page === page)) return undefined;
    const code = this.codes.get(delta) ?? this.pages.codeOf(page, delta);
    this.codes.set(delta, code);
    if (delta !== 0 && !this.vias.has(delta))
      this.vias.set(delta, { delta: from.delta, block: block.offset, last: lastOf(block) });
    return this.isWorthwhile(code, offset) ? code : undefined;
  }
  private isWorthwhile(code: PageCode, offset: number): boolean {
    return code.heat(offset) * HOT_TO_GUEST >= this.pages.hot;
  }
}

/** Offset of a block's last instruction. */
function lastOf({ insns, offset }: CodeBlock): number {
  return insns[insns.length - 1]?.offset ?? offset;
}
