/**
 * The archive as the compiler uses it: regions are looked for before they are made, and kept when they were. A region that was
 * made in another VM fits where the same bytes are: those of its own page at its entry, those of other pages behind the jumps
 * that led there.
 */
import type { FunctionBody } from '../../wasm/module.js';
import { mayBeAddress } from '../../x86/lift-static.js';
import type { BlockRecords } from './block-records.js';
import { signatureOf } from './known-blocks.js';
import {
  type ArchivedPart,
  type ArchivedRegion,
  archivedBody,
  bytesIn,
  fieldsOf,
  holds,
  NO_HEADER,
  type RegionArchive,
  restoredBody,
  type Weight,
  wordAt,
} from './region-archive.js';
import { isInPage, rangesOf, succession } from './region-description.js';
import type { Region } from './region-former.js';
import type { HotBlock, RegionPart, TranslatedRegion } from './translation.js';

const PAGE = 4096;

/** An archived region at a place of this VM. */
export interface FoundRegion {
  readonly archived: ArchivedRegion;
  /** Guest physical address of its page. */
  readonly page: number;
  readonly parts: readonly RegionPart[];
  /** By crossing; NO_HEADER where no block is known. */
  readonly headers: readonly number[];
  /** What its fields hold here. */
  readonly constants: readonly number[];
}

export class ArchivedRegions {
  private readonly archive: RegionArchive;
  private readonly records: BlockRecords;

  constructor(archive: RegionArchive, records: BlockRecords) {
    this.archive = archive;
    this.records = records;
  }

  /** One that has a hot block as an entry, and all entries of the region that it replaces. `bytesOf`: of a page. */
  find({ gpa, key, replaces }: HotBlock, bytesOf: (page: number) => Uint8Array): FoundRegion | undefined {
    const offset = gpa % PAGE;
    const page = gpa - offset;
    const needed = [offset, ...(replaces?.entries ?? [])];
    const signature = this.signatureAt(page, offset, key, bytesOf(page));
    if (signature === undefined) return undefined;
    for (const archived of this.archive.find(signature)) {
      if (archived.key !== key || !needed.every((entry) => archived.entries.includes(entry))) continue;
      const found = this.fit(archived, page, bytesOf);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Undefined where there is no block. */
  private signatureAt(page: number, offset: number, key: number, bytes: Uint8Array): number | undefined {
    const block = this.records.find(page + offset, key, 0);
    return block === undefined ? undefined : signatureOf(bytes, 0, { ...block, offset });
  }

  private fit(archived: ArchivedRegion, page: number, bytesOf: (page: number) => Uint8Array): FoundRegion | undefined {
    const { parts, key } = archived;
    const pages = new Map<number, number>();
    for (const part of parts) {
      const at = part.via === undefined ? page : this.pageOf(part, key, page, pages);
      // No page may be in it twice.
      if (!this.records.isRam(at) || [...pages.values()].includes(at) || !holds(bytesOf(at), part, archived.fields))
        return undefined;
      pages.set(part.delta, at);
    }
    const constants = archived.fields.map(([delta, offset]) => wordAt(bytesOf(pages.get(delta) as number), offset));
    if (!constants.every((value) => mayBeAddress(value))) return undefined;
    const headers = archived.crossings.map((offset) => {
      const delta = offset - (offset & (PAGE - 1));
      return this.records.find((pages.get(delta) as number) + offset - delta, key, 0)?.header ?? NO_HEADER;
    });
    return {
      archived,
      page,
      parts: parts.map(({ delta, chunks }) => ({ page: pages.get(delta) as number, chunks })),
      headers,
      constants,
    };
  }
  /** Behind the jump that led there once, if it has been taken; else where it was in memory that has the same order. */
  private pageOf({ via, delta }: ArchivedPart, key: number, home: number, pages: ReadonlyMap<number, number>): number {
    const from = via === undefined ? undefined : pages.get(via.delta);
    const { records } = this;
    if (via !== undefined && from !== undefined) {
      const source = records.find(from + via.block - via.delta, key, 0);
      const header = source === undefined ? 0 : records.beyond(source.header, via.last & (PAGE - 1));
      const known = records.at(header, 0);
      if (known !== undefined && known.key === key) return known.gpa - (known.gpa % PAGE);
    }
    return home + delta;
  }

  weightOf(region: ArchivedRegion): Weight {
    return this.archive.weightOf(region);
  }
  noteWeight(region: ArchivedRegion, weight: Weight): void {
    this.archive.noteWeight(region, weight);
  }

  /** Keeps a region that was made for hot blocks, and tells how it is kept. `slots`: address and bytes of each. */
  keep(
    region: Region,
    hot: readonly HotBlock[],
    { entries, offsets, instructions, hasTable, parts, key }: TranslatedRegion,
    body: FunctionBody,
    slots: readonly { readonly at: number; readonly bytes: number }[],
    landings: ArchivedRegion['landings'],
    bytesOf: (page: number) => Uint8Array,
  ): ArchivedRegion {
    const deltas = [0, ...region.others.map(({ delta }) => delta)];
    const home = bytesOf(region.page);
    const crossings = [...region.crossings];
    const pages = new Map(parts.map(({ page }, n) => [deltas[n] as number, bytesOf(page)]));
    const { fields, constants } = fieldsOf(body.sites ?? [], pages);
    const symbols = [...slots.map(({ at }) => at), ...crossings.map(([, header]) => header)];
    // An entry that is only warm must not be taken for hot next time.
    const wasHot = (offset: number, signature: number): boolean =>
      hot.some(({ gpa }) => gpa === region.page + offset) || this.archive.has(signature);
    const signatures = entries.filter(isInPage).flatMap((offset) => {
      const signature = this.signatureAt(region.page, offset, key, home);
      return signature !== undefined && wasHot(offset, signature) ? [signature] : [];
    });
    const archived: ArchivedRegion = {
      key,
      entries,
      offsets,
      instructions,
      hasTable,
      parts: parts.map(({ page, chunks }, n) => {
        const delta = deltas[n] as number;
        const ranges = rangesOf(region, delta);
        return {
          delta,
          chunks,
          ranges,
          bytes: bytesIn(bytesOf(page), ranges, delta, fields),
          via: region.vias.get(delta),
        };
      }),
      crossings: crossings.map(([offset]) => offset),
      slots: slots.map(({ bytes }) => bytes),
      landings,
      fields,
      constants,
      ...archivedBody(body, symbols),
    };
    this.archive.add(archived, signatures);
    return archived;
  }
}

/** Its function; `slots`: the address of each. */
export function bodyOfFound(
  { archived, headers, constants }: FoundRegion,
  type: number,
  slots: readonly number[],
  indexOf: (name: string) => number,
): FunctionBody {
  return restoredBody(archived, type, [...slots, ...headers], constants, indexOf);
}

export function describeFound(
  { archived, page, parts, headers }: FoundRegion,
  replaces: HotBlock['replaces'],
  tally: number,
): TranslatedRegion {
  const { key, entries, offsets, instructions, hasTable, crossings } = archived;
  const gpaOf = (offset: number): number => {
    const delta = offset - (offset & (PAGE - 1));
    const n = archived.parts.findIndex((part) => part.delta === delta);
    return (parts[n] as RegionPart).page + offset - delta;
  };
  return {
    key,
    page,
    ...succession(replaces),
    entries,
    offsets,
    instructions,
    hasTable,
    tally,
    parts,
    crossings: crossings.flatMap((offset, n) => {
      const header = headers[n] as number;
      return header === NO_HEADER ? [] : [{ gpa: gpaOf(offset), header }];
    }),
  };
}
