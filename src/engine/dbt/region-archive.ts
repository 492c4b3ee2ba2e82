/**
 * Regions that outlive their VM: what a region needs to be entered in another VM without being made again. Its function is kept as it is;
 * what is another address there, or another import's index, stands at a site.
 *
 *   symbol   0 .. slots-1            room for the tally, the table of landings, and links
 *            slots .. +crossings-1   header of a block in another page
 */
import { ByteWriter } from '../../wasm/byte-writer.js';
import { ADDRESS_BYTES, CODE_BYTES, INDEX_BYTES } from '../../wasm/emitter.js';
import type { BranchHint, FunctionBody, Site, WasmType } from '../../wasm/module.js';
import * as S from '../../x86/state.js';

/** Code of a page that a region is made of. */
export interface ArchivedPart {
  /** From the region's page. */
  readonly delta: number;
  /** 64-byte chunks that it touches, as two masks. */
  readonly chunks: readonly [number, number];
  /** Its bytes: where in the page (first, behind the last), and zero where a field is. */
  readonly ranges: readonly (readonly [number, number])[];
  readonly bytes: Uint8Array;
  /** The jump that first led there, where it is not the region's page: its page (its delta), block and own offset. */
  readonly via: Via | undefined;
}
export interface Via {
  readonly delta: number;
  /** Offsets from the region's page. */
  readonly block: number;
  readonly last: number;
}

export interface ArchivedRegion {
  readonly key: number;
  readonly entries: readonly number[];
  readonly offsets: readonly number[];
  readonly instructions: number;
  readonly hasTable: boolean;
  /** Its own page first. */
  readonly parts: readonly ArchivedPart[];
  /** Offsets from the region's page. */
  readonly crossings: readonly number[];
  /** Bytes of each slot; the first is the tally's. */
  readonly slots: readonly number[];
  /** The table of landings is the second slot: page offsets and their bytes. */
  readonly landings: readonly (readonly [number, number])[] | undefined;
  readonly locals: FunctionBody['locals'];
  readonly code: Uint8Array;
  readonly hints: readonly BranchHint[];
  /** Addresses that stand in the code, each in four bytes: of which page (its delta), and the offset in it. */
  readonly fields: readonly (readonly [number, number])[];
  /** Where they stand in the function: two words each, where and which field. */
  readonly constants: Int32Array;
  /** Three words each: where, symbol, what is added to it. */
  readonly addresses: Int32Array;
  /** Where functions are called, by name. */
  readonly calls: Readonly<Record<string, readonly number[]>>;
}

/** How much of its time a guest has spent in a region: nothing that is known, some, much. */
export type Weight = 0 | 1 | 2;

/** Where regions are kept. */
export interface RegionArchive {
  /** Those that it has, the newest first. */
  find(signature: number): Iterable<ArchivedRegion>;
  /** A region has a block with this signature as an entry that was hot. */
  has(signature: number): boolean;
  /** `signatures`: of its entries that were hot. */
  add(region: ArchivedRegion, signatures: readonly number[]): void;
  /** The most that was noted of it, here or in another VM. */
  weightOf(region: ArchivedRegion): Weight;
  noteWeight(region: ArchivedRegion, weight: Weight): void;
}

/** The function as it is kept. `symbols`: the address of each. */
export function archivedBody(
  { locals, code, hints, sites }: FunctionBody,
  symbols: readonly number[],
): Pick<ArchivedRegion, 'locals' | 'code' | 'hints' | 'addresses' | 'calls'> {
  const symbolAt = new Map(symbols.map((address, n) => [address, n]));
  const addresses: number[] = [];
  const calls: Record<string, number[]> = {};
  for (const site of sites ?? []) {
    if ('value' in site) continue;
    if ('name' in site) {
      calls[site.name] ??= [];
      calls[site.name]?.push(site.at);
    } else addresses.push(site.at, symbolAt.get(site.base) ?? 0, site.addend);
  }
  return {
    locals,
    code: code.bytes.slice(0, code.length),
    hints: hints ?? [],
    addresses: Int32Array.from(addresses),
    calls,
  };
}

/** The function for a module and a memory. */
export function restoredBody(
  region: ArchivedRegion,
  type: number,
  symbols: readonly number[],
  values: readonly number[],
  indexOf: (name: string) => number,
): FunctionBody {
  const { locals, hints, addresses, calls } = region;
  const code = new ByteWriter(region.code.length);
  code.append(region.code);
  for (let n = 0; n < addresses.length; n += 3) {
    const [at, symbol, addend] = addresses.subarray(n, n + 3) as unknown as [number, number, number];
    code.rewrite(at, (symbols[symbol] as number) + addend, ADDRESS_BYTES);
  }
  const { constants } = region;
  for (let n = 0; n < constants.length; n += 2)
    code.rewrite(constants[n] as number, values[constants[n + 1] as number] as number, CODE_BYTES);
  for (const [name, places] of Object.entries(calls)) {
    const index = indexOf(name);
    for (const at of places) code.rewrite(at, index, INDEX_BYTES);
  }
  return { type, locals: locals as readonly { count: number; type: WasmType }[], code, hints };
}

const PAGE = 4096;
const WORD = 4;
/** No block has this header: what waits for it there never comes. */
export const NO_HEADER = S.BLOCKS_END;

type Fields = ArchivedRegion['fields'];

/** Bytes of a page, so far from the region's, in some ranges of it, one after another. */
export function bytesIn(all: Uint8Array, ranges: ArchivedPart['ranges'], delta: number, fields: Fields): Uint8Array {
  const page = all.slice();
  for (const [of, offset] of fields) if (of === delta) page.fill(0, offset, offset + WORD);
  const bytes = new ByteWriter(PAGE);
  for (const [start, end] of ranges) bytes.append(page.subarray(start, end));
  return bytes.finish();
}

export function wordAt(page: Uint8Array, offset: number): number {
  return new DataView(page.buffer, page.byteOffset + offset, WORD).getInt32(0, true);
}

/** The fields that constants of a function stand in, where each is one field of its instruction, and where they stand. */
export function fieldsOf(
  sites: readonly Site[],
  pages: ReadonlyMap<number, Uint8Array>,
): Pick<ArchivedRegion, 'fields' | 'constants'> {
  const fields: [number, number][] = [];
  const constants: number[] = [];
  for (const site of sites) {
    if (!('value' in site)) continue;
    const delta = site.offset - (site.offset & (PAGE - 1));
    const page = pages.get(delta);
    const first = site.offset - delta;
    if (page === undefined || first + site.length > PAGE) continue;
    const places: number[] = [];
    for (let at = first; at + WORD <= first + site.length; at++) if (wordAt(page, at) === site.value) places.push(at);
    const [place] = places;
    if (place === undefined || places.length > 1) continue;
    let n = fields.findIndex(([of, at]) => of === delta && at === place);
    if (n < 0) n = fields.push([delta, place]) - 1;
    constants.push(site.at, n);
  }
  return { fields, constants: Int32Array.from(constants) };
}

/** The page has the same bytes there. */
export function holds(page: Uint8Array, part: ArchivedPart, fields: Fields): boolean {
  const now = bytesIn(page, part.ranges, part.delta, fields);
  const { bytes } = part;
  if (now.length !== bytes.length) return false;
  for (let n = 0; n < now.length; n++) if (now[n] !== bytes[n]) return false;
  return true;
}
