/**
 * Is what a file held an archived region, as far as it can be told without running it? Its function is checked by whoever makes a
 * WebAssembly module of it.
 */
import { ADDRESS_BYTES, CODE_BYTES, INDEX_BYTES } from '../../wasm/emitter.js';
import { VALUE_TYPE } from '../../wasm/opcodes.js';
import { PAGE } from './page-code.js';
import type { ArchivedPart, ArchivedRegion } from './region-archive.js';
import { OF_RUNTIME, WAYS } from './signatures.js';
import { TALLY_SIZE } from './tally.js';

const SLOT_SIZES = new Set([8, 16, PAGE]);
const CALLABLE = new Set([...OF_RUNTIME, ...WAYS]);
const MAX_PARTS = 64;
const MAX_SLOTS = 4096;
const MAX_LOCALS = 50_000;
const WORD = 4;

const isInteger = Number.isSafeInteger;
const isOffset = (n: unknown): n is number => isInteger(n) && (n as number) >= 0 && (n as number) < PAGE;
const isDelta = (n: unknown): n is number =>
  isInteger(n) && Math.abs(n as number) < 2 ** 31 && (n as number) % PAGE === 0;
const isList = (list: unknown, test: (item: never) => boolean): boolean =>
  Array.isArray(list) && list.every((item) => test(item as never));

export function isWellFormed(found: unknown): found is ArchivedRegion {
  if (typeof found !== 'object' || found === null) return false;
  try {
    return isRight(found as ArchivedRegion);
  } catch {
    // A list of something else, as deep as that may be.
    return false;
  }
}

function isRight(r: ArchivedRegion): boolean {
  return (
    isInteger(r.key) &&
    isList(r.entries, isInteger) &&
    r.entries.length > 0 &&
    isList(r.offsets, isOffset) &&
    isInteger(r.instructions) &&
    typeof r.hasTable === 'boolean' &&
    arePartsRight(r.parts) &&
    isList(
      r.crossings,
      (offset) => isInteger(offset) && r.parts.some(({ delta }) => offset >= delta && offset < delta + PAGE),
    ) &&
    isList(r.slots, (bytes) => SLOT_SIZES.has(bytes)) &&
    r.slots[0] === TALLY_SIZE &&
    r.slots.length <= MAX_SLOTS &&
    areLandingsRight(r) &&
    isFunctionRight(r)
  );
}

function arePartsRight(parts: readonly ArchivedPart[]): boolean {
  if (!isList(parts, isPartRight) || parts.length === 0 || parts.length > MAX_PARTS) return false;
  const isHome = parts[0]?.delta === 0 && parts[0].via === undefined;
  return isHome && new Set(parts.map(({ delta }) => delta)).size === parts.length;
}
function isPartRight({ delta, chunks, ranges, bytes, via }: ArchivedPart): boolean {
  if (!isDelta(delta) || !isList(chunks, isInteger) || chunks.length !== 2 || !(bytes instanceof Uint8Array))
    return false;
  const areRanges = isList(ranges, (range: [number, number]) => {
    const [start, end] = range;
    return isOffset(start) && isInteger(end) && end > start && end <= PAGE;
  });
  if (!areRanges || ranges.length === 0) return false;
  if (ranges.reduce((sum, [start, end]) => sum + end - start, 0) !== bytes.length) return false;
  return via === undefined || (isDelta(via.delta) && isInteger(via.block) && isInteger(via.last));
}

function areLandingsRight({ landings, slots }: ArchivedRegion): boolean {
  if (landings === undefined) return true;
  const isLanding = ([offset, byte]: [number, number]): boolean =>
    isOffset(offset) && isInteger(byte) && byte > 0 && byte < 256;
  return slots[1] === PAGE && isList(landings, isLanding);
}

function isFunctionRight({ locals, code, hints, addresses, calls, fields, constants, ...r }: ArchivedRegion): boolean {
  if (!(code instanceof Uint8Array && addresses instanceof Int32Array && constants instanceof Int32Array)) return false;
  const fits = (at: number | undefined, bytes: number): boolean =>
    isInteger(at) && at !== undefined && at >= 0 && at + bytes <= code.length;
  const below = (n: number | undefined, limit: number): boolean => n !== undefined && n >= 0 && n < limit;
  if (typeof calls !== 'object' || calls === null || addresses.length % 3 !== 0 || constants.length % 2 !== 0)
    return false;
  const symbols = r.slots.length + r.crossings.length;
  for (let n = 0; n < addresses.length; n += 3) {
    const addend = addresses[n + 2];
    if (!fits(addresses[n], ADDRESS_BYTES) || !below(addresses[n + 1], symbols) || !below(addend, PAGE)) return false;
  }
  for (let n = 0; n < constants.length; n += 2)
    if (!fits(constants[n], CODE_BYTES) || !below(constants[n + 1], fields.length)) return false;
  const isPart = (of: number): boolean => r.parts.some(({ delta }) => delta === of);
  return (
    isList(fields, ([of, at]: [number, number]) => isPart(of) && isOffset(at) && at + WORD <= PAGE) &&
    Object.entries(calls).every(
      ([name, places]) => CALLABLE.has(name) && isList(places, (at) => fits(at, INDEX_BYTES)),
    ) &&
    isList(
      locals,
      ({ count, type }: { count: number; type: string }) => below(count, MAX_LOCALS) && type in VALUE_TYPE,
    ) &&
    isList(hints, ({ offset, taken }) => fits(offset, 1) && typeof taken === 'boolean')
  );
}
