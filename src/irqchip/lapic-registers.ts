/**
 * A local APIC that lives outside the machine, in the engine: what is asked of it, and its register page as the state that
 * the model saves. SDM Vol. 3A, "Local APIC Register Address Map".
 */
import * as spec from '../spec/apic.js';
import type { LapicState } from './lapic.js';

/** The page of registers, one word each 16 bytes, and the two MSRs. */
export interface LapicRegisters {
  /** By offset / 16. */
  readonly page: Uint32Array;
  readonly apicBase: number;
  readonly tscDeadline: bigint;
}

export interface ForeignLapic {
  /** An interrupt message; false if no processor took it. SDM Vol. 3A, "Message Signalled Interrupts". */
  send(address: number, data: number): boolean;
  /** The messages that the I/O APIC's pins send, so that the ends of level-triggered ones are told; undefined: masked. */
  route(messages: readonly (PinMessage | undefined)[]): void;
  save(): LapicRegisters;
  load(registers: LapicRegisters): void;
  /** Where the lines lead when the 8259As and the I/O APIC are outside as well. */
  readonly chips?: { line(gsi: number, level: boolean): void } | undefined;
}

export interface PinMessage {
  readonly address: number;
  readonly data: number;
}

export const PAGE_REGISTERS = 64;
const LVT_REGISTERS = [
  spec.APIC_LVT_TIMER,
  spec.APIC_LVT_THERMAL,
  spec.APIC_LVT_PERFORMANCE,
  spec.APIC_LVT_LINT0,
  spec.APIC_LVT_LINT1,
  spec.APIC_LVT_ERROR,
];
const MESSAGE_BASE = 0xfee00000;
const MESSAGE_LOGICAL = 4;

/** A message in the form that devices write to memory. */
export function messageOf(
  destination: number,
  isLogical: boolean,
  mode: number,
  vector: number,
  level: boolean,
): PinMessage {
  const address = (MESSAGE_BASE | ((destination & 0xff) << 12) | (isLogical ? MESSAGE_LOGICAL : 0)) >>> 0;
  return { address, data: vector | (mode << spec.LVT_DELIVERY_SHIFT) | (level ? spec.ICR_LEVEL | spec.ICR_ASSERT : 0) };
}

const tickNs = (divide: number): number => {
  const code = (divide & 3) | ((divide & 8) >> 1);
  return (1e9 / spec.APIC_TIMER_HZ) * (code === 7 ? 1 : 2 << code);
};

/** At `now` of the machine's clock. */
export function registersOf(state: LapicState, now: number): LapicRegisters {
  const { timer } = state;
  const page = new Uint32Array(PAGE_REGISTERS);
  page[spec.APIC_ID] = state.id << 24;
  page[spec.APIC_VER] = spec.APIC_VERSION;
  page[spec.APIC_TPR] = state.tpr;
  page[spec.APIC_LDR] = state.ldr;
  page[spec.APIC_DFR] = state.dfr;
  page[spec.APIC_SVR] = state.svr;
  page.set(state.isr, spec.APIC_ISR);
  page.set(state.tmr, spec.APIC_TMR);
  page.set(state.irr, spec.APIC_IRR);
  page[spec.APIC_ESR] = state.esr;
  page[spec.APIC_ICR_LOW] = state.icrLow;
  page[spec.APIC_ICR_HIGH] = state.icrHigh;
  for (const [n, register] of LVT_REGISTERS.entries()) page[register] = state.lvt[n];
  page[spec.APIC_TIMER_INITIAL] = timer.initialCount;
  page[spec.APIC_TIMER_DIVIDE] = timer.divide;
  const isCounting = timer.mode !== spec.LVT_TIMER_TSC_DEADLINE && timer.deadlineNs !== null;
  if (isCounting) {
    const left = Math.ceil(((timer.deadlineNs ?? now) - now) / tickNs(timer.divide));
    page[spec.APIC_TIMER_CURRENT] = Math.min(Math.max(1, left), timer.initialCount);
  }
  return { page, apicBase: state.apicBase, tscDeadline: BigInt(timer.tscDeadline) };
}

export interface LapicTimes {
  /** Nanoseconds of the machine's clock. */
  readonly now: number;
  readonly tscHz: number;
  /** The guest's TSC minus the clock's, in ticks. */
  readonly tscOffset: number;
}

export function lapicStateOf({ page, apicBase, tscDeadline }: LapicRegisters, times: LapicTimes): LapicState {
  const lvt = LVT_REGISTERS.map((register, n) => page[register] & spec.LVT_WRITABLE[n]);
  const mode = lvt[0] & spec.LVT_TIMER_MODE;
  const initialCount = page[spec.APIC_TIMER_INITIAL];
  const divide = page[spec.APIC_TIMER_DIVIDE] & 0xb;
  const current = page[spec.APIC_TIMER_CURRENT];
  const { now, tscHz, tscOffset } = times;
  const isDeadline = mode === spec.LVT_TIMER_TSC_DEADLINE;
  const isRunning = isDeadline ? tscDeadline !== 0n : initialCount !== 0 && current !== 0;
  const deadlineNs = isDeadline
    ? Math.max(0, ((Number(tscDeadline) - tscOffset) * 1e9) / tscHz)
    : now + current * tickNs(divide);
  return {
    kind: 'lapic',
    version: 1,
    apicBase,
    id: page[spec.APIC_ID] >>> 24,
    tpr: page[spec.APIC_TPR] & 0xff,
    ldr: page[spec.APIC_LDR],
    dfr: page[spec.APIC_DFR],
    svr: page[spec.APIC_SVR] & spec.SVR_MASK,
    isr: [...page.subarray(spec.APIC_ISR, spec.APIC_ISR + 8)],
    tmr: [...page.subarray(spec.APIC_TMR, spec.APIC_TMR + 8)],
    irr: [...page.subarray(spec.APIC_IRR, spec.APIC_IRR + 8)],
    esr: page[spec.APIC_ESR] & 0xff,
    esrPending: 0,
    icrLow: page[spec.APIC_ICR_LOW] & spec.ICR_LOW_MASK,
    icrHigh: page[spec.APIC_ICR_HIGH],
    lvt,
    nmiPending: false,
    extIntPending: false,
    timer: {
      mode: mode === spec.LVT_TIMER_MODE ? spec.LVT_TIMER_ONE_SHOT : mode,
      initialCount: isDeadline ? 0 : initialCount,
      divide,
      startNs: Math.max(0, now - (initialCount - current) * tickNs(divide)),
      tscDeadline: (isDeadline ? tscDeadline : 0n).toString(),
      tscOffset,
      deadlineNs: isRunning ? deadlineNs : null,
    },
  };
}
