/** Cycles of the host: how many there are in a second, and what operations cost that a process can do itself. */
import { cpus } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Cost } from '../costs.js';
import { type CostRecord, type CostResult, median, summarize } from '../costs-result.js';
import { type Native, openNative } from './native.js';

export interface HostCycles {
  /** Not a number where nothing tells. */
  readonly hz: number;
  readonly source: string;
  readonly native: readonly CostResult[];
}

const CALIBRATIONS = 5;
const CALIBRATION_MS = 20;
const FIRST_TURNS = 1024;

export function hostCycles(costs: readonly Cost[], rounds: number, loopMs: number): HostCycles {
  const native = openNative(costs);
  if (native === undefined) {
    const mhz = cpus()[0]?.speed ?? 0;
    return { hz: mhz > 0 ? mhz * 1e6 : Number.NaN, source: "the operating system's word", native: [] };
  }
  const hz = calibrate(native);
  const measured = costs.filter((cost) => cost.native !== undefined);
  const records = measured.map(({ name }) => measure(native, name, rounds, (hz * loopMs) / 1000));
  return {
    hz,
    source: "the time-stamp counter by the host's monotonic clock",
    native: summarize({ tscHz: hz, records }, measured, hz),
  };
}

/** Ticks of the counter in a second of the monotonic clock; the median of some tries, as one may be interrupted. */
function calibrate(native: Native): number {
  const speeds: number[] = [];
  for (let n = 0; n < CALIBRATIONS; n++) {
    const [started, ticks] = [performance.now(), native.tsc()];
    let now = started;
    while (now < started + CALIBRATION_MS) now = performance.now();
    speeds.push((Number(native.tsc() - ticks) / (now - started)) * 1000);
  }
  return median(speeds);
}

function measure(native: Native, name: string, rounds: number, ticksWanted: number): CostRecord[] {
  let turns = FIRST_TURNS;
  while (native.run(name, true, turns) < ticksWanted) turns *= 2;
  return Array.from({ length: rounds }, () => {
    const emptyTicks = native.run(name, false, turns);
    return { turns, emptyTicks, ticks: native.run(name, true, turns), seen: 0n };
  });
}
