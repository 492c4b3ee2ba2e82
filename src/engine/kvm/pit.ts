/**
 * The 8254 inside KVM: where its counters are, and how they come to be there again. A count that is loaded begins there and
 * then, by KVM_SET_PIT2 as by the guest: to be in the middle of a period, a counter must have begun that long before. Which
 * is waited for; the machine stands still meanwhile. Where counter 0 is, only its ports tell.
 */
import type { CounterRegisters, PitRegisters } from '../../base/chip-registers.js';
import * as K from './abi.js';
import type { AsideTimes } from './aside.js';
import * as C from './chip-layout.js';
import { needed } from './errors.js';
import * as P from './pit-state.js';
import type { System } from './system.js';

/** Intel 8254 data sheet: "Control Word Format", "Read-Back Command". */
const CONTROL_PORT = 0x43;
const COUNTER_PORT = 0x40;
const READ_BACK_0 = 0xc2;
/** mov al, value; out port, al; and in al, port. */
const out = (port: number, value: number): number[] => [0xb0, value, 0xe6, port];
const READ_0 = [0xe4, COUNTER_PORT];

const NS_PER_TICK = 1e9 / P.KVM_PIT_HZ;
/** A tick this near is waited for before the 8254 is stopped, and this long: a kernel thread brings it to the controllers. */
const NEAR_NS = 300_000;
const PASSED_NS = 100_000;
/** Waits end by looking at the clock. */
const LOOK_NS = 2_000_000;
/** What a clock is read around should take no longer; a busy host gets some tries. */
const PROMPT_NS = 100_000;
const TRIES = 8;

export interface ChipTimes {
  /** Nanoseconds, monotonic. */
  now(): number;
  /** Of the machine's clock. */
  virtualNow(): number;
}

export interface ChipVcpu {
  /** Runs a little code in real mode; the guest sees nothing of it but what it did to devices. */
  runAside(code: readonly number[]): AsideTimes;
}

/** A counter that is to have come some way when the machine goes on. */
interface Start {
  readonly n: number;
  readonly counter: CounterRegisters;
  readonly leadNs: number;
}

export class KvmPit {
  private readonly system: System;
  private readonly vm: number;
  private readonly vcpu: ChipVcpu;
  private readonly times: ChipTimes;

  constructor(system: System, vm: number, vcpu: ChipVcpu, times: ChipTimes) {
    this.system = system;
    this.vm = vm;
    this.vcpu = vcpu;
    this.times = times;
  }

  /** HPET legacy replacement: counter 0 does not fire. KVM begins its period anew when it may again. */
  cut(isCut: boolean): void {
    const bytes = this.get();
    const view = new DataView(bytes.buffer);
    const flags = view.getUint32(C.PIT_FLAGS, true);
    if (((flags & C.PIT_FLAG_HPET_LEGACY) !== 0) === isCut) return;
    view.setUint32(C.PIT_FLAGS, flags ^ C.PIT_FLAG_HPET_LEGACY, true);
    this.set(bytes);
  }

  /** Stops counter 0: what it has done until `atNs` of the machine's clock has reached the controllers, nothing more comes. */
  save(): { pit: PitRegisters; atNs: number } {
    const bytes = this.get();
    const times = { virtualNs: this.times.virtualNow(), monotonicNs: this.system.monotonicTime() };
    const view = new DataView(bytes.buffer);
    const phase = P.isCounting(view, 0) ? this.findPhase(view) : undefined;
    if (phase !== undefined) this.passTick(view, phase);
    const atNs = this.times.virtualNow();
    this.cut(true);
    return { pit: P.readPit(bytes, times, phase), atNs };
  }

  /** Returns when it is where it was, and when counter 0 fires for the first time from then on. */
  load(pit: PitRegisters): { readyNs: number; firesNs: number } {
    const virtualNs = this.times.virtualNow();
    const starts = pit.counters.flatMap((counter, n): Start[] => {
      const { mode, count } = counter;
      if (count === 0 || (n === 0 && (pit.isCut || !P.fires(mode)))) return [];
      const ticks = P.reduced(P.ticksSince(counter.startNs, virtualNs), mode, count);
      // One that has ended does so again, where nobody hears it.
      const least = n === 0 && ticks >= count ? count * NS_PER_TICK + PASSED_NS : 0;
      return [{ n, counter, leadNs: Math.max(ticks * NS_PER_TICK, least) }];
    });
    // Whatever ran before stands still: KVM lets its timer go on under a new mode.
    this.cut(true);
    const [first] = starts;
    const isAlone = first === undefined || (starts.length === 1 && first.n === 0);
    const loaded = isAlone ? [] : starts.map(({ n }) => n);
    const bytes = P.writePit(pit, loaded);
    const readyNs = isAlone ? this.setPromptly(bytes) + (first?.leadNs ?? 0) : this.startAll(starts, bytes);
    this.wait(readyNs);
    if (first?.n !== 0) return { readyNs, firesNs: Infinity };
    const leftNs = first.counter.count * NS_PER_TICK - first.leadNs;
    return { readyNs, firesNs: leftNs > 0 ? readyNs + leftNs : Infinity };
  }

  /** Loads the counters one after the other, so that all are where they were at the time that is returned. */
  private startAll(starts: readonly Start[], bytes: Uint8Array): number {
    const inOrder = starts.toSorted((a, b) => b.leadNs - a.leadNs);
    for (let tries = 1; ; tries++) {
      // A count that is half written would take the first byte of the next.
      const endNs = this.setPromptly(bytes) + inOrder[0].leadNs;
      const ends = inOrder.map(({ n, counter, leadNs }) => {
        this.wait(endNs - leadNs);
        const { beforeNs, afterNs } = this.vcpu.runAside(loadCode(n, counter));
        return { n, ns: afterNs + leadNs, tookNs: afterNs - beforeNs };
      });
      const times = ends.map(({ ns }) => ns);
      const isPrompt =
        Math.max(...times) - Math.min(...times) < NEAR_NS && ends.every(({ tookNs }) => tookNs < PROMPT_NS);
      // Interrupts come from counter 0: if they differ, its time counts.
      if (isPrompt || tries === TRIES) return ends.find(({ n }) => n === 0)?.ns ?? times[0];
    }
  }

  /** How far counter 0 is. */
  private findPhase(view: DataView): P.Phase {
    const mode = view.getUint8(C.CHANNEL.MODE);
    const count = view.getUint32(C.CHANNEL.COUNT, true) || P.MOST;
    // What the guest has latched is read away first: it is in the registers that `save` has fetched before.
    const latched = view.getUint8(C.CHANNEL.COUNT_LATCHED);
    let reads = (latched === C.STATE_BOTH ? 2 : Math.min(latched, 1)) + view.getUint8(C.CHANNEL.STATUS_LATCHED);
    let phase: P.Phase = { ticks: 0, atNs: 0 };
    let least = Infinity;
    for (let n = 0; n < TRIES && least > PROMPT_NS; n++) {
      const code = [...Array.from({ length: reads }, () => READ_0).flat(), ...out(CONTROL_PORT, READ_BACK_0)];
      const { beforeNs, afterNs } = this.vcpu.runAside(code);
      const now = new DataView(this.get().buffer);
      const left = now.getUint16(C.CHANNEL.LATCHED_COUNT, true);
      const ticks = P.phaseOf(mode, count, left, now.getUint8(C.CHANNEL.STATUS));
      const atNs = this.times.virtualNow() - (this.times.now() - afterNs);
      if (afterNs - beforeNs < least) phase = { ticks, atNs };
      least = Math.min(least, afterNs - beforeNs);
      reads = now.getUint8(C.CHANNEL.RW_MODE) === C.STATE_BOTH ? 3 : 2;
    }
    return phase;
  }

  /** Waits where counter 0 is about to fire: it is stopped between two ticks. */
  private passTick(view: DataView, { ticks, atNs }: P.Phase): void {
    const mode = view.getUint8(C.CHANNEL.MODE);
    const period = (view.getUint32(C.CHANNEL.COUNT, true) || P.MOST) * NS_PER_TICK;
    const past = ticks * NS_PER_TICK + this.times.virtualNow() - atNs;
    if (!P.fires(mode) || period < 2 * NEAR_NS || (past >= period && !P.isPeriodic(mode))) return;
    const left = period - (past % period);
    if (left < NEAR_NS) this.wait(this.times.now() + left + PASSED_NS);
  }

  /** Returns when the counters began. */
  private setPromptly(bytes: Uint8Array): number {
    for (let n = 0; ; n++) {
      const beforeNs = this.times.now();
      this.set(bytes);
      const afterNs = this.times.now();
      if (afterNs - beforeNs < PROMPT_NS || n === TRIES) return afterNs;
    }
  }

  private get(): Uint8Array {
    const bytes = new Uint8Array(C.PIT_SIZE);
    needed(this.system.ioctlData(this.vm, K.IOCTL.GET_PIT2, bytes), 'KVM_GET_PIT2');
    return bytes;
  }

  private set(bytes: Uint8Array): void {
    needed(this.system.ioctlData(this.vm, K.IOCTL.SET_PIT2, bytes), 'KVM_SET_PIT2');
  }

  /** The machine stands still: nobody misses this thread. */
  private wait(untilNs: number): void {
    const asleep = untilNs - this.times.now() - LOOK_NS;
    if (asleep > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, asleep / 1e6);
    while (this.times.now() < untilNs);
  }
}

/** Writes the count; what is written and read otherwise stays as KVM_SET_PIT2 has left it. */
function loadCode(n: number, { count, mode, access, writeLow }: CounterRegisters): number[] {
  const port = COUNTER_PORT + n;
  const control = (kind: number): number[] => out(CONTROL_PORT, (n << 6) | (kind << 4) | (mode << 1));
  const load = [...out(port, count & 0xff), ...out(port, (count >> 8) & 0xff)];
  if (access === C.STATE_BOTH) return [...load, ...(writeLow === null ? [] : out(port, writeLow))];
  return [...control(C.STATE_BOTH), ...load, ...control(access)];
}
