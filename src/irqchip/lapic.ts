/**
 * One local APIC: registers, priorities, LVT. SDM Vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
 * IPIs leave through ApicFabric; they come in through `deliver`. The x2APIC register window is served, switching to it
 * is the MSR's business (apic-msr.ts). Left out: thermal and performance sources, SMI, focus processor checking.
 */
import type { Clock } from '../base/clock.js';
import { bits, checkState, flag, integer, list, part, type StateOf, stateKind, u8, u32 } from '../base/state.js';
import type { TimerQueue } from '../base/timer-queue.js';
import * as spec from '../spec/apic.js';
import { LapicTimer, type LapicTimerState } from './lapic-timer.js';

/** What a local APIC asks of the others. */
export interface ApicFabric {
  sendIpi(sender: Lapic, low: number, destination: number): void;
  /** End of a level-triggered interrupt, for the I/O APIC. */
  broadcastEoi(vector: number): void;
  /** The processor may have something to take. */
  attention(index: number): void;
  /** Level of the 8259A pair's INT output, wired to LINT0. */
  picOutput(): boolean;
}

const LVT_COUNT = 6;
/** IA32_APIC_BASE holds 40 bits. */
const LAST_APIC_BASE = 2 ** 40 - 1;

const STATE = stateKind('lapic', 1, {
  apicBase: integer(0, LAST_APIC_BASE),
  id: u8,
  tpr: u8,
  ldr: u32,
  dfr: u32,
  svr: bits(spec.SVR_MASK),
  isr: list(u32, 8),
  tmr: list(u32, 8),
  irr: list(u32, 8),
  esr: u8,
  esrPending: u8,
  icrLow: bits(spec.ICR_LOW_MASK),
  icrHigh: u32,
  lvt: list(u32, LVT_COUNT),
  nmiPending: flag,
  extIntPending: flag,
  timer: part<LapicTimerState>(),
});
export type LapicState = StateOf<typeof STATE>;

/** Highest set bit of 256, or -1. */
function highest(bits: Uint32Array): number {
  for (let word = 7; word >= 0; word--) {
    const value = bits[word];
    if (value !== 0) return word * 32 + 31 - Math.clz32(value);
  }
  return -1;
}

function setBit(bits: Uint32Array, vector: number): void {
  bits[vector >> 5] |= 1 << (vector & 31);
}

function clearBit(bits: Uint32Array, vector: number): void {
  bits[vector >> 5] &= ~(1 << (vector & 31));
}

export class Lapic {
  readonly index: number;
  readonly timer: LapicTimer;
  readonly #fabric: ApicFabric;
  /** IA32_APIC_BASE, an address below 2^52. */
  apicBase = 0;
  #id = 0;
  #tpr = 0;
  #ldr = 0;
  #dfr = 0;
  #svr = 0;
  readonly #isr = new Uint32Array(8);
  readonly #tmr = new Uint32Array(8);
  readonly #irr = new Uint32Array(8);
  #esr = 0;
  /** Errors since the last write of the ESR. */
  #esrPending = 0;
  #icrLow = 0;
  #icrHigh = 0;
  readonly #lvt = new Uint32Array(LVT_COUNT);
  #nmiPending = false;
  /** An ExtINT message came from the I/O APIC: the next acknowledge is an INTA to the 8259As. */
  #extIntPending = false;

  constructor(index: number, clock: Clock, timers: TimerQueue, fabric: ApicFabric) {
    this.index = index;
    this.#fabric = fabric;
    this.timer = new LapicTimer(clock, timers, () => this.#raiseLvt(spec.APIC_LVT_TIMER));
  }

  /** Power-up; the bootstrap processor's LINT pins are left as firmware leaves them: virtual wire mode and NMI. */
  reset(): void {
    this.apicBase = spec.APIC_DEFAULT_BASE | spec.APIC_BASE_ENABLE;
    this.apicBase = (this.apicBase >>> 0) + (this.index === 0 ? spec.APIC_BASE_BSP : 0);
    this.#id = this.index;
    this.init();
  }

  /** "Local APIC State After It Receives an INIT-Deassert": everything but the APIC ID and the base. */
  init(): void {
    this.#tpr = 0;
    this.#ldr = 0;
    this.#dfr = 0xffffffff;
    this.#svr = 0xff;
    this.#isr.fill(0);
    this.#tmr.fill(0);
    this.#irr.fill(0);
    this.#esr = 0;
    this.#esrPending = 0;
    this.#icrLow = 0;
    this.#icrHigh = 0;
    this.#lvt.fill(spec.LVT_MASKED);
    if (this.index === 0) {
      this.#lvt[3] = spec.DELIVERY_EXTINT << spec.LVT_DELIVERY_SHIFT;
      this.#lvt[4] = spec.DELIVERY_NMI << spec.LVT_DELIVERY_SHIFT;
    }
    this.#nmiPending = false;
    this.#extIntPending = false;
    this.timer.reset();
  }

  get enabled(): boolean {
    return (this.apicBase & spec.APIC_BASE_ENABLE) !== 0;
  }

  get x2apic(): boolean {
    return (this.apicBase & spec.APIC_BASE_EXTD) !== 0;
  }

  get softwareEnabled(): boolean {
    return (this.#svr & spec.SVR_ENABLE) !== 0;
  }

  /** Bits 3:0 are CR8, the whole is TPR. */
  get tpr(): number {
    return this.#tpr;
  }

  set tpr(value: number) {
    this.#tpr = value & 0xff;
  }

  /** "Processor Priority Register": the higher class of TPR and the interrupt in service. */
  get ppr(): number {
    const inService = highest(this.#isr);
    if (inService < 0 || this.#tpr >> 4 >= inService >> 4) return this.#tpr;
    return inService & 0xf0;
  }

  /** Of the highest request, whatever holds it back; 0 without one. */
  get requestedClass(): number {
    return Math.max(0, highest(this.#irr)) >> 4;
  }

  /** The vector of the request that priorities let through, or -1. */
  pendingVector(): number {
    const vector = highest(this.#irr);
    if (vector < 0 || !this.enabled) return -1;
    return vector >> 4 > this.ppr >> 4 ? vector : -1;
  }

  /** True when the 8259As' request reaches the processor as ExtINT, past all priorities. */
  extIntPending(): boolean {
    if (!this.#fabric.picOutput()) return false;
    if (!this.enabled) return this.index === 0;
    if (this.#extIntPending) return true;
    const lint0 = this.#lvt[3];
    return (
      this.index === 0 &&
      (lint0 & spec.LVT_MASKED) === 0 &&
      ((lint0 >> spec.LVT_DELIVERY_SHIFT) & 7) === spec.DELIVERY_EXTINT
    );
  }

  clearExtInt(): void {
    this.#extIntPending = false;
  }

  acknowledge(vector: number): void {
    clearBit(this.#irr, vector);
    setBit(this.#isr, vector);
  }

  get spuriousVector(): number {
    return this.#svr & 0xff;
  }

  get nmiPending(): boolean {
    return this.#nmiPending;
  }

  takeNmi(): boolean {
    const pending = this.#nmiPending;
    this.#nmiPending = false;
    return pending;
  }

  /** Accepts an interrupt message; false if this APIC takes none. INIT and STARTUP are the fabric's business. */
  deliver(mode: number, vector: number, level: boolean): boolean {
    if (!this.enabled) return false;
    switch (mode) {
      case spec.DELIVERY_FIXED:
      case spec.DELIVERY_LOWEST:
        if (!this.softwareEnabled) return false;
        if (vector < spec.FIRST_VECTOR) {
          this.#error(spec.ESR_RECEIVE_ILLEGAL_VECTOR);
          return true;
        }
        setBit(this.#irr, vector);
        if (level) setBit(this.#tmr, vector);
        else clearBit(this.#tmr, vector);
        break;
      case spec.DELIVERY_NMI:
        this.#nmiPending = true;
        break;
      case spec.DELIVERY_EXTINT:
        this.#extIntPending = true;
        break;
      default:
        return true;
    }
    this.#fabric.attention(this.index);
    return true;
  }

  /** "Logical Destination Mode": flat or cluster model by DFR; the x2APIC's own cluster form. */
  matches(destination: number, logical: boolean): boolean {
    if (this.x2apic) {
      if (destination === 0xffffffff) return true;
      if (!logical) return destination === this.#id;
      const ldr = this.#x2apicLdr();
      return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0;
    }
    const mda = destination & 0xff;
    if (!logical) return mda === 0xff || mda === this.#id;
    const ldr = this.#ldr >>> 24;
    if (this.#dfr >>> 28 === 0xf) return (mda & ldr) !== 0;
    if (this.#dfr >>> 28 !== 0) return false;
    return (mda >> 4 === ldr >> 4 || mda >> 4 === 0xf) && (mda & ldr & 0xf) !== 0;
  }

  /** LINT0 follows the 8259As; LINT1 is the NMI button. A non-ExtINT LINT0 makes an edge or level interrupt. */
  setLint(pin: 0 | 1, asserted: boolean): void {
    if (!asserted || !this.enabled) return;
    const entry = this.#lvt[3 + pin];
    if ((entry & spec.LVT_MASKED) !== 0) return;
    const mode = (entry >> spec.LVT_DELIVERY_SHIFT) & 7;
    if (mode === spec.DELIVERY_EXTINT) this.#fabric.attention(this.index);
    else this.deliver(mode, entry & 0xff, false);
  }

  /** `register` is the offset / 16. Reserved registers read as zero and report an error. */
  readRegister(register: number): number {
    if (register >= spec.APIC_ISR && register < spec.APIC_ISR + 8) return this.#isr[register - spec.APIC_ISR];
    if (register >= spec.APIC_TMR && register < spec.APIC_TMR + 8) return this.#tmr[register - spec.APIC_TMR];
    if (register >= spec.APIC_IRR && register < spec.APIC_IRR + 8) return this.#irr[register - spec.APIC_IRR];
    if (register >= spec.APIC_LVT_TIMER && register <= spec.APIC_LVT_ERROR) {
      return this.#lvt[register - spec.APIC_LVT_TIMER];
    }
    switch (register) {
      case spec.APIC_ID:
        return this.x2apic ? this.#id : (this.#id << 24) >>> 0;
      case spec.APIC_VER:
        return spec.APIC_VERSION;
      case spec.APIC_TPR:
        return this.#tpr;
      case spec.APIC_APR:
      case spec.APIC_RRD:
      case spec.APIC_EOI:
        return 0;
      case spec.APIC_PPR:
        return this.ppr;
      case spec.APIC_LDR:
        return this.x2apic ? this.#x2apicLdr() : this.#ldr;
      case spec.APIC_DFR:
        return this.#dfr;
      case spec.APIC_SVR:
        return this.#svr;
      case spec.APIC_ESR:
        return this.#esr;
      case spec.APIC_ICR_LOW:
        return this.#icrLow;
      case spec.APIC_ICR_HIGH:
        return this.#icrHigh;
      case spec.APIC_TIMER_INITIAL:
        return this.timer.initialCount;
      case spec.APIC_TIMER_CURRENT:
        return this.timer.currentCount;
      case spec.APIC_TIMER_DIVIDE:
        return this.timer.divide;
    }
    this.#error(spec.ESR_ILLEGAL_REGISTER);
    return 0;
  }

  writeRegister(register: number, value: number): void {
    if (register >= spec.APIC_LVT_TIMER && register <= spec.APIC_LVT_ERROR) {
      this.#writeLvt(register - spec.APIC_LVT_TIMER, value);
      return;
    }
    switch (register) {
      case spec.APIC_ID:
        if (!this.x2apic) this.#id = value >>> 24;
        break;
      case spec.APIC_TPR:
        this.#tpr = value & 0xff;
        break;
      case spec.APIC_EOI:
        this.#endOfInterrupt();
        break;
      case spec.APIC_LDR:
        this.#ldr = (value & 0xff000000) >>> 0;
        break;
      case spec.APIC_DFR:
        this.#dfr = (value | 0x0fffffff) >>> 0;
        break;
      case spec.APIC_SVR:
        this.#svr = value & spec.SVR_MASK;
        // "Spurious-Interrupt Vector Register": while software-disabled all LVT mask bits are set.
        if (!this.softwareEnabled) for (let i = 0; i < LVT_COUNT; i++) this.#lvt[i] |= spec.LVT_MASKED;
        break;
      case spec.APIC_ESR:
        this.#esr = this.#esrPending;
        this.#esrPending = 0;
        break;
      case spec.APIC_ICR_LOW:
        this.#icrLow = value & spec.ICR_LOW_MASK;
        this.#sendIpi();
        break;
      case spec.APIC_ICR_HIGH:
        this.#icrHigh = this.x2apic ? value >>> 0 : (value & 0xff000000) >>> 0;
        break;
      case spec.APIC_TIMER_INITIAL:
        this.timer.initialCount = value;
        break;
      case spec.APIC_TIMER_DIVIDE:
        this.timer.divide = value;
        break;
      case spec.APIC_VER:
      case spec.APIC_APR:
      case spec.APIC_PPR:
      case spec.APIC_RRD:
      case spec.APIC_TIMER_CURRENT:
        break;
      default:
        if (register < spec.APIC_ISR || register >= spec.APIC_ESR) this.#error(spec.ESR_ILLEGAL_REGISTER);
    }
  }

  save(): LapicState {
    return {
      kind: 'lapic',
      version: 1,
      apicBase: this.apicBase,
      id: this.#id,
      tpr: this.#tpr,
      ldr: this.#ldr,
      dfr: this.#dfr,
      svr: this.#svr,
      isr: [...this.#isr],
      tmr: [...this.#tmr],
      irr: [...this.#irr],
      esr: this.#esr,
      esrPending: this.#esrPending,
      icrLow: this.#icrLow,
      icrHigh: this.#icrHigh,
      lvt: [...this.#lvt],
      nmiPending: this.#nmiPending,
      extIntPending: this.#extIntPending,
      timer: this.timer.save(),
    };
  }

  /** The caller re-claims the register page if `apicBase` moved. */
  restore(state: LapicState): void {
    checkState(state, STATE);
    this.apicBase = state.apicBase;
    this.#id = state.id;
    this.#tpr = state.tpr;
    this.#ldr = state.ldr;
    this.#dfr = state.dfr;
    this.#svr = state.svr;
    this.#isr.set(state.isr);
    this.#tmr.set(state.tmr);
    this.#irr.set(state.irr);
    this.#esr = state.esr;
    this.#esrPending = state.esrPending;
    this.#icrLow = state.icrLow;
    this.#icrHigh = state.icrHigh;
    for (let i = 0; i < LVT_COUNT; i++) this.#lvt[i] = state.lvt[i] & spec.LVT_WRITABLE[i];
    this.#nmiPending = state.nmiPending;
    this.#extIntPending = state.extIntPending;
    this.timer.restore(state.timer);
  }

  #writeLvt(entry: number, value: number): void {
    let next = value & spec.LVT_WRITABLE[entry];
    if (!this.softwareEnabled) next |= spec.LVT_MASKED;
    this.#lvt[entry] = next;
    if (entry === 0) {
      // The mode encoding 11b is reserved; it behaves as one-shot.
      const mode = next & spec.LVT_TIMER_MODE;
      this.timer.setMode(mode === spec.LVT_TIMER_MODE ? spec.LVT_TIMER_ONE_SHOT : mode);
    } else if (entry === 3 && this.index === 0 && this.#fabric.picOutput()) {
      this.setLint(0, true);
    }
  }

  #raiseLvt(register: number): void {
    const entry = this.#lvt[register - spec.APIC_LVT_TIMER];
    if ((entry & spec.LVT_MASKED) === 0) this.deliver(spec.DELIVERY_FIXED, entry & 0xff, false);
  }

  #endOfInterrupt(): void {
    const vector = highest(this.#isr);
    if (vector < 0) return;
    clearBit(this.#isr, vector);
    if ((this.#tmr[vector >> 5] & (1 << (vector & 31))) !== 0) this.#fabric.broadcastEoi(vector);
    this.#fabric.attention(this.index);
  }

  #sendIpi(): void {
    const mode = (this.#icrLow >> spec.LVT_DELIVERY_SHIFT) & 7;
    if (mode <= spec.DELIVERY_LOWEST && (this.#icrLow & 0xff) < spec.FIRST_VECTOR) {
      this.#error(spec.ESR_SEND_ILLEGAL_VECTOR);
      return;
    }
    this.#fabric.sendIpi(this, this.#icrLow, this.x2apic ? this.#icrHigh : this.#icrHigh >>> 24);
  }

  /** Records an error and raises the error LVT, whose own illegal vector must not recurse. */
  #error(bit: number): void {
    if ((this.#esrPending & bit) !== 0) return;
    this.#esrPending |= bit;
    this.#raiseLvt(spec.APIC_LVT_ERROR);
  }

  #x2apicLdr(): number {
    return (((this.#id >> 4) << 16) | (1 << (this.#id & 15))) >>> 0;
  }
}
