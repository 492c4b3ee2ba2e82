/** The words that the guest of the nanobenchmarks writes, and what they say in cycles of the host. */
import { EXIT_CODE, TrapezeError } from '../base/errors.js';
import { PM_TIMER_HZ } from '../spec/acpi.js';
import type { Cost } from './costs.js';
import { STREAM } from './costs-layout.js';

/** One loop of one round. */
export interface CostRecord {
  readonly turns: number;
  readonly emptyTicks: number;
  readonly ticks: number;
  /** R15 at the end: how many operations were seen to happen, for a cost that counts. */
  readonly seen: bigint;
}

export interface CostStream {
  /** Of the guest's time-stamp counter, by the ACPI timer. */
  readonly tscHz: number;
  /** By cost, in the guest's order. */
  readonly records: readonly (readonly CostRecord[])[];
}

/** An operation in nanoseconds and in cycles of the host; the spread is half the distance between the quartiles. */
export interface CostResult {
  readonly name: string;
  readonly ns: number;
  readonly cycles: number;
  readonly spreadCycles: number;
  readonly rounds: number;
  /** Operations in one loop of one round. */
  readonly operations: number;
}

const WORD = 8;

/** Throws TrapezeError for a stream that is not whole, or tells of an operation that did not do what it should. */
export function parseStream(bytes: Uint8Array, costs: readonly Cost[]): CostStream {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const next = (): bigint => {
    if (at + WORD > bytes.length) throw incomplete('its results end too soon');
    at += WORD;
    return view.getBigUint64(at - WORD, true);
  };
  const nextSound = (): bigint => {
    const word = next();
    if (word === STREAM.FAULT) throw incomplete(`exception ${next()}, stack ${hex(next())} ${hex(next())}`);
    return word;
  };
  if (nextSound() !== STREAM.BEGIN) throw incomplete('it says what this guest does not say');
  const speeds: number[] = [];
  for (let n = 0; n < STREAM.CALIBRATIONS; n++) {
    const ticks = Number(nextSound());
    speeds.push((ticks * PM_TIMER_HZ) / Number(nextSound()));
  }
  const records: CostRecord[][] = costs.map(() => []);
  for (let word = nextSound(); word !== STREAM.END; word = nextSound()) {
    const index = Number(word);
    const cost = costs[index];
    if (cost === undefined || !Number.isInteger(index)) throw incomplete(`it measured something else (${index})`);
    const [turns, emptyTicks, ticks] = [Number(nextSound()), Number(nextSound()), Number(nextSound())];
    const seen = next();
    if (cost.counted && seen !== BigInt(turns * cost.unroll)) {
      throw incomplete(`${cost.title}: ${turns * cost.unroll} were done and ${seen} seen`);
    }
    records[index].push({ turns, emptyTicks, ticks, seen });
  }
  return { tscHz: median(speeds), records };
}

const hex = (word: bigint): string => `0x${word.toString(16)}`;

function incomplete(what: string): TrapezeError {
  return new TrapezeError('internal', `the benchmark's guest did not run to its end: ${what}`, EXIT_CODE.INTERNAL);
}

/** `hostHz`: cycles of the host in a second; not a number where nothing tells. */
export function summarize(stream: CostStream, costs: readonly Cost[], hostHz: number): CostResult[] {
  const cyclesPerTick = hostHz / stream.tscHz;
  return costs.map(({ name, unroll }, index) => {
    const records = stream.records[index];
    const ticks = records.map((record) => (record.ticks - record.emptyTicks) / (record.turns * unroll));
    return {
      name,
      ns: (median(ticks) / stream.tscHz) * 1e9,
      cycles: median(ticks) * cyclesPerTick,
      spreadCycles: ((quantile(ticks, 0.75) - quantile(ticks, 0.25)) / 2) * cyclesPerTick,
      rounds: records.length,
      operations: median(records.map(({ turns }) => turns)) * unroll,
    };
  });
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Between neighbours in proportion; not a number where there are none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  return low + ((sorted[Math.ceil(place)] ?? low) - low) * (place - Math.floor(place));
}
