/** What the vCPU thread is told of a region that was made. */
import type { Region } from './region-former.js';
import type { LiftedBlock } from './region-registers.js';
import type { HotBlock, RegionPart, TranslatedRegion } from './translation.js';

const PAGE = 4096;

/** `entries`: places, by number. */
export function describeRegion(
  region: Region,
  lifted: readonly LiftedBlock[],
  entries: readonly number[],
  replaces: HotBlock['replaces'],
  tally: number,
): TranslatedRegion {
  return {
    key: region.key,
    page: region.page,
    ...succession(replaces),
    entries,
    offsets: region.blocks.filter((b) => isInPage(b.place)).map((b) => b.offset),
    instructions: lifted.reduce((sum, b) => sum + b.count, 0),
    hasTable: region.hasTable,
    tally,
    parts: partsOf(region),
    crossings: [...region.crossings].map(([offset, header]) => ({ gpa: gpaOf(region, offset), header })),
  };
}
/** Which region it replaces. */
export function succession(replaces: HotBlock['replaces']): Pick<TranslatedRegion, 'replaces' | 'generation'> {
  return { replaces: replaces?.id, generation: replaces === undefined ? 0 : replaces.generation + 1 };
}
export const isInPage = (place: number): boolean => place >= 0 && place < PAGE;

function gpaOf({ others }: Region, offset: number): number {
  const code = others.find((other) => other.isInside(offset));
  return code === undefined ? -1 : code.page + offset - code.delta;
}

/** What a region is made of, its own page first: no page is in it twice. */
function partsOf(region: Region): RegionPart[] {
  const pages = [{ page: region.page, delta: 0 }, ...region.others];
  return pages.map(({ page, delta }) => ({ page, chunks: chunksOf(region, delta) }));
}

/** First and behind the last byte of its blocks in the page so far from its own. */
export function rangesOf(region: Region, delta: number): [number, number][] {
  const ranges: [number, number][] = [];
  const places = region.blocks.map(({ offset, end }) => [offset - delta, end - delta] as const);
  for (const [start, end] of places.filter(([at]) => isInPage(at)).sort((a, b) => a[0] - b[0])) {
    const last = ranges[ranges.length - 1];
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], Math.min(end, PAGE));
    else ranges.push([start, Math.min(end, PAGE)]);
  }
  return ranges;
}

/** The 64-byte chunks that a region is made of, in the page so far from its own. */
export function chunksOf(region: Region, delta: number): [number, number] {
  let low = 0;
  let high = 0;
  for (const b of region.blocks) {
    const start = b.offset - delta;
    if (!isInPage(start)) continue;
    for (let chunk = start >> 6; chunk <= Math.min(PAGE - 1, b.end - delta - 1) >> 6; chunk++) {
      if (chunk < 32) low |= 1 << chunk;
      else high |= 1 << (chunk & 31);
    }
  }
  return [low, high];
}
