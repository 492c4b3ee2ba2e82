/**
 * KVM's 8254 in the registers of the data sheet. Its counters 1 and 2 tell when they were loaded; when counter 0 began its
 * period only a reading of it tells (`phaseOf`). A count is 32 bits in KVM: one of an hour stands for a counter that waits.
 */
import type { CounterRegisters, PitRegisters } from '../../base/chip-registers.js';
import * as C from './chip-layout.js';
import { CHANNEL } from './chip-layout.js';

/** The kernel's number. */
export const KVM_PIT_HZ = 1_193_181;
const MACHINE_TICK_NS = 1e9 / 1_193_182;
export const MOST = 65536;
/** 2^32 ticks are an hour. */
const WAITS = 0xffffffff;
/** A counter that no mode was ever set of. */
const NO_MODE = 0xff;
const RESET_MODE = 3;
const OUT = 0x80;

/** How far a counter has come, in ticks. */
export interface Phase {
  readonly ticks: number;
  /** Virtual time then. */
  readonly atNs: number;
}

export interface HostTimes {
  readonly virtualNs: number;
  /** CLOCK_MONOTONIC. */
  readonly monotonicNs: number;
}

export const isPeriodic = (mode: number): boolean => mode === 2 || mode === 3;

/** The counter counts in KVM: it has been told a mode and a count. */
export function isCounting(view: DataView, n: number): boolean {
  const at = n * C.PIT_CHANNEL_SIZE;
  return view.getUint8(at + CHANNEL.MODE) !== NO_MODE && view.getUint32(at + CHANNEL.COUNT, true) <= MOST;
}

/** KVM fires counter 0 in these modes. */
export function fires(mode: number): boolean {
  return mode <= 4;
}

/** From count and status latched together. Intel 8254 data sheet, "Mode Definitions"; OUT as KVM tells it. */
export function phaseOf(mode: number, count: number, latched: number, status: number): number {
  const isHigh = (status & OUT) !== 0;
  const left = latched === 0 ? MOST : latched;
  if (mode === 2) return (count - Math.min(count, left)) % count;
  if (mode === 3) {
    const twice = count - Math.min(count, left);
    return isHigh ? twice >> 1 : (twice + count) >> 1;
  }
  const hasEnded = mode === 0 ? isHigh : mode === 1 && !isHigh;
  return hasEnded ? count + ((MOST - latched) % MOST) : (count - latched + MOST) % MOST;
}

/** Ticks so far, no more than tell something. */
export function reduced(ticks: number, mode: number, count: number): number {
  const whole = Math.max(0, Math.floor(ticks));
  if (isPeriodic(mode)) return whole % count;
  return whole < count ? whole : count + ((whole - count) % MOST);
}

export function ticksSince(startNs: number, nowNs: number): number {
  // What was worked out from ticks is not to lose one.
  return Math.max(0, Math.floor((nowNs - startNs) / MACHINE_TICK_NS + 1e-3));
}

/** `phase` of counter 0; undefined: it does not count. */
export function readPit(bytes: Uint8Array, times: HostTimes, phase: Phase | undefined): PitRegisters {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const flags = view.getUint32(C.PIT_FLAGS, true);
  return {
    counters: Array.from({ length: C.PIT_CHANNELS }, (_, n) =>
      readCounter(view, n, times, n === 0 ? phase : undefined),
    ),
    speaker: (flags & C.PIT_FLAG_SPEAKER) !== 0,
    isCut: (flags & C.PIT_FLAG_HPET_LEGACY) !== 0,
  };
}

function readCounter(view: DataView, n: number, times: HostTimes, phase: Phase | undefined): CounterRegisters {
  const at = n * C.PIT_CHANNEL_SIZE;
  const byte = (field: number): number => view.getUint8(at + field);
  const count = isCounting(view, n) ? view.getUint32(at + CHANNEL.COUNT, true) || MOST : 0;
  const mode = byte(CHANNEL.MODE) === NO_MODE ? RESET_MODE : Math.min(byte(CHANNEL.MODE), 5);
  const elapsed = times.monotonicNs - Number(view.getBigInt64(at + CHANNEL.LOAD_TIME, true));
  const { ticks, atNs } = phase ?? { ticks: (elapsed * KVM_PIT_HZ) / 1e9, atNs: times.virtualNs };
  const isSecond = byte(CHANNEL.WRITE_STATE) === C.STATE_SECOND;
  return {
    count,
    startNs:
      count === 0 ? 0 : atNs - (n === 0 && phase === undefined ? 0 : reduced(ticks, mode, count) * MACHINE_TICK_NS),
    mode,
    access: byte(CHANNEL.RW_MODE) & 3 || C.STATE_BOTH,
    gate: byte(CHANNEL.GATE) !== 0,
    readsHigh: byte(CHANNEL.READ_STATE) === C.STATE_SECOND,
    writeLow: isSecond ? byte(CHANNEL.WRITE_LATCH) : null,
    latched: latchedBytes(byte(CHANNEL.COUNT_LATCHED), view.getUint16(at + CHANNEL.LATCHED_COUNT, true)),
    latchedStatus: byte(CHANNEL.STATUS_LATCHED) !== 0 ? byte(CHANNEL.STATUS) : null,
  };
}

function latchedBytes(kind: number, count: number): number[] {
  if (kind === 0) return [];
  if (kind === C.STATE_LEAST) return [count & 0xff];
  return kind === C.STATE_BOTH ? [count & 0xff, count >> 8] : [count >> 8];
}

/** The counters begin where KVM takes this; those of `loaded` get their counts by port then. */
export function writePit(pit: PitRegisters, loaded: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(C.PIT_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [n, counter] of pit.counters.entries()) {
    writeCounter(view, n * C.PIT_CHANNEL_SIZE, counter, loaded.includes(n));
  }
  const flags = (pit.isCut ? C.PIT_FLAG_HPET_LEGACY : 0) | (pit.speaker ? C.PIT_FLAG_SPEAKER : 0);
  view.setUint32(C.PIT_FLAGS, flags, true);
  return bytes;
}

function writeCounter(view: DataView, at: number, counter: CounterRegisters, isLoaded: boolean): void {
  const put = (field: number, value: number | boolean): void => view.setUint8(at + field, Number(value));
  const { count, mode, access, latched, writeLow, readsHigh } = counter;
  const [first = 0, second = 0] = latched;
  const ofBoth = (isSecond: boolean): number => (isSecond && access === C.STATE_BOTH ? C.STATE_SECOND : access);
  const isMost = latched.length === 1 && access !== C.STATE_LEAST;
  view.setUint32(at + CHANNEL.COUNT, count === 0 ? WAITS : count, true);
  view.setUint16(at + CHANNEL.LATCHED_COUNT, isMost ? first << 8 : first | (second << 8), true);
  put(CHANNEL.COUNT_LATCHED, latched.length === 2 ? C.STATE_BOTH : isMost ? C.STATE_MOST : latched.length);
  put(CHANNEL.STATUS_LATCHED, counter.latchedStatus !== null);
  put(CHANNEL.STATUS, counter.latchedStatus ?? 0);
  put(CHANNEL.READ_STATE, ofBoth(readsHigh));
  // The first byte of a count comes behind the count that is loaded by port.
  put(CHANNEL.WRITE_STATE, ofBoth(writeLow !== null && !isLoaded));
  put(CHANNEL.WRITE_LATCH, writeLow ?? 0);
  put(CHANNEL.RW_MODE, access);
  put(CHANNEL.MODE, mode);
  put(CHANNEL.GATE, counter.gate);
}
