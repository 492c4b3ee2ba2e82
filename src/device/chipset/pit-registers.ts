/** The 8254's saved state as the registers that an engine with this chip takes and tells. */
import type { CounterRegisters, PitRegisters } from '../../base/chip-registers.js';
import * as spec from '../../spec/i8254.js';
import type { PitState } from './pit.js';
import { PitChannel, type PitChannelState, TICK_NS } from './pit-channel.js';

/** Modes 1 and 5 count from a rising edge of the gate on, whatever its level is later. */
const isTriggered = (mode: number): boolean => mode === 1 || mode === 5;
const isPeriodic = (mode: number): boolean => mode === 2 || mode === 3;
const MOST = 65536;
/** Bits of port 0x61 that an engine keeps. */
const PORT_B_KEPT = spec.PORT_B_GATE2 | spec.PORT_B_SPEAKER;

/** `now` of the machine's clock. */
export function pitRegistersOf({ channels, portB }: PitState, now: number, isCut: boolean): PitRegisters {
  return {
    counters: channels.map((channel, n) => counterOf(channel, n, now)),
    speaker: (portB & spec.PORT_B_SPEAKER) !== 0,
    isCut,
  };
}

function counterOf(channel: PitChannelState, n: number, now: number): CounterRegisters {
  const { mode, access, gate, armed, running, reload, startNs, pausedTicks } = channel;
  // Counter 0 has no gate: if it stands still, it waits for the second byte of a count (mode 0) or for ever (mode 5).
  const waits = !armed || (n === 0 && !running && !isTriggered(mode));
  return {
    count: waits ? 0 : reload,
    startNs: waits ? 0 : running ? startNs : now - pausedTicks * TICK_NS,
    mode,
    access,
    gate,
    readsHigh: channel.readHigh,
    writeLow: channel.writeLow,
    latched: channel.latched,
    latchedStatus: channel.latchedStatus,
  };
}

/** `atNs`: until then what counter 0 does has reached the interrupt controllers. */
export function pitStateOf({ counters, speaker }: PitRegisters, atNs: number): PitState {
  const channels = counters.map((counter, n) => channelOf(counter, n, atNs));
  const first = new PitChannel(true);
  first.restore(channels[0]);
  const next = first.nextRise(atNs);
  const { mode, running } = channels[0];
  return {
    kind: 'pit',
    version: 1,
    channels,
    portB: (speaker ? spec.PORT_B_SPEAKER : 0) | (counters[2].gate ? spec.PORT_B_GATE2 : 0),
    deadlineNs: next === Infinity ? null : next,
    line: (isPeriodic(mode) && running) || first.out(atNs),
  };
}

function channelOf(counter: CounterRegisters, n: number, atNs: number): PitChannelState {
  const { mode, count, gate, startNs } = counter;
  const armed = count > 0;
  // Counter 0 is never triggered, but an engine's may count in mode 1 all the same.
  const running = armed && (isTriggered(mode) ? n !== 0 || mode === 1 : gate);
  return {
    mode,
    access: counter.access,
    bcd: false,
    reload: armed ? Math.max(isPeriodic(mode) ? 2 : 1, count) : MOST,
    next: null,
    startNs,
    running,
    pausedTicks: armed && !running ? Math.max(0, Math.floor((atNs - startNs) / TICK_NS)) : 0,
    armed,
    gate,
    nullCount: !armed,
    writeLow: counter.writeLow,
    readHigh: counter.readsHigh,
    latched: [...counter.latched],
    latchedStatus: counter.latchedStatus,
  };
}

/** What a machine's 8254 does now that an engine's cannot. */
export function missingInEngine({ channels, portB }: PitState): string[] {
  const missing: string[] = [];
  for (const [n, { bcd, armed, running, next, mode }] of channels.entries()) {
    const counter = `counter ${n} of the 8254`;
    if (bcd) missing.push(`${counter} in BCD`);
    if (armed && running && next !== null) missing.push(`${counter} with a count for its next period`);
    if (n === 0 && armed && mode === 1) missing.push(`${counter} in mode 1`);
  }
  if ((portB & ~PORT_B_KEPT) !== 0) missing.push('bits 2 and 3 of port 0x61');
  return missing;
}
