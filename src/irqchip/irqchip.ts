/**
 * The interrupt controllers of a PC and the wires between them:
 *
 *   ISA IRQ 0-15 ──┬─► 8259A pair ─► LINT0 of the BSP, pin 0 of the I/O APIC
 *                  └─► I/O APIC pins 1-15 (IRQ 0 on pin 2) ─┐
 *   GSI 16-23 ─────────► I/O APIC pins 16-23 ───────────────┴─► local APICs ─► vCPU loop
 *   MSI ────────────────────────────────────────────────────────┘
 *
 * An engine may have a local APIC of its own (`useLapic`): then the model keeps still, and messages go there. If it has the
 * other controllers too, it gets the lines.
 */
import type { Clock } from '../base/clock.js';
import type { MmioHandler, MsrHandler } from '../base/io.js';
import { type IoSize, ones } from '../base/io.js';
import { checkState, list, part, StateError, type StateOf, stateKind } from '../base/state.js';
import type { TimerQueue } from '../base/timer-queue.js';
import * as spec from '../spec/apic.js';
import { Ioapic, type IoapicState } from './ioapic.js';
import { type ApicFabric, Lapic, type LapicState } from './lapic.js';
import { type ForeignLapic, type LapicRegisters, lapicStateOf, messageOf, registersOf } from './lapic-registers.js';
import { type IrqLine, SharedLine } from './line.js';
import { Pic, type PicState } from './pic.js';

export interface IrqchipEvents {
  /** A vCPU may have an interrupt to take: leave HLT, ask `pendingVector`. */
  attention(vcpu: number): void;
  init(vcpu: number): void;
  /** STARTUP IPI: start at page `vector` in real mode. */
  startup(vcpu: number, vector: number): void;
  /** A local APIC's register page moved: claim it again. */
  apicBaseChanged(): void;
}

export interface IrqchipOptions {
  readonly vcpus: number;
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly events: IrqchipEvents;
  /** Let the guest switch to x2APIC mode; CPUID must say the same. */
  readonly x2apic?: boolean;
}

/** More processors than there are local APIC IDs. */
const MOST_VCPUS = 255;

const STATE = stateKind('irqchip', 1, {
  pic: part<PicState>(),
  ioapic: part<IoapicState>(),
  lapics: list(part<LapicState>(), 1, MOST_VCPUS),
});
export type IrqchipState = StateOf<typeof STATE>;

const ISA_IRQS = 16;

export class Irqchip implements ApicFabric {
  readonly pic: Pic;
  readonly ioapic: Ioapic;
  readonly lapics: readonly Lapic[];
  /** Counts the times that a vCPU got something new to take. */
  notices = 0;
  readonly #events: IrqchipEvents;
  readonly #clock: Clock;
  #foreign: ForeignLapic | undefined;
  /** While the machine is held: the engine's local APIC as it goes on. */
  #held: { readonly registers: LapicRegisters; readonly now: number } | undefined;
  #isHolding = false;
  /** Levels by GSI. */
  #lines = 0;
  #tscOffset = 0;
  readonly #x2apic: boolean;
  readonly #isaLines: readonly SharedLine[];
  readonly #gsiLines: readonly SharedLine[];

  constructor(options: IrqchipOptions) {
    this.#events = options.events;
    this.#clock = options.clock;
    this.#x2apic = options.x2apic ?? false;
    this.pic = new Pic((asserted) => this.#setPicOutput(asserted));
    this.ioapic = new Ioapic((destination, logical, mode, vector, level) =>
      this.#send(destination, logical, mode, vector, level),
    );
    this.ioapic.onRedirection = () => this.#route();
    this.lapics = Array.from(
      { length: options.vcpus },
      (_, index) => new Lapic(index, options.clock, options.timers, this),
    );
    this.#isaLines = Array.from({ length: ISA_IRQS }, (_, irq) => new SharedLine((level) => this.#setIsa(irq, level)));
    this.#gsiLines = Array.from(
      { length: spec.IOAPIC_PINS - ISA_IRQS },
      (_, i) => new SharedLine((level) => this.#setGsi(ISA_IRQS + i, level)),
    );
    this.reset();
  }

  /** A new source on an ISA interrupt: reaches both controllers. */
  isaLine(irq: number): IrqLine {
    return this.#isaLines[irq & 15].source();
  }

  /** A new source on an I/O APIC pin 16-23, for PCI. */
  gsiLine(gsi: number): IrqLine {
    return this.#gsiLines[(gsi - ISA_IRQS) & 7].source();
  }

  /** A device's message-signalled interrupt. SDM Vol. 3A, "Message Signalled Interrupts". */
  sendMsi(address: number, data: number): void {
    if (address >>> 20 !== 0xfee) return;
    this.#send((address >>> 12) & 0xff, (address & 4) !== 0, (data >> 8) & 7, data & 0xff, (data & 0x8000) !== 0);
  }

  /** The vector the processor would take now if it were interruptible, or undefined. */
  pendingVector(vcpu: number): number | undefined {
    const lapic = this.lapics[vcpu];
    if (this.#foreign?.chips !== undefined) return undefined;
    // LINT0 is the engine's: a vCPU that does not listen is not interruptible.
    if (this.#foreign !== undefined) return this.pic.output ? this.pic.peekVector() : undefined;
    if (lapic.extIntPending()) return this.pic.peekVector();
    const vector = lapic.pendingVector();
    return vector < 0 ? undefined : vector;
  }

  /** The processor takes the interrupt: INTA. With nothing pending, the spurious vector. */
  acknowledge(vcpu: number): number {
    const lapic = this.lapics[vcpu];
    if (this.#foreign !== undefined) return this.pic.acknowledge();
    if (lapic.extIntPending()) {
      lapic.clearExtInt();
      return this.pic.acknowledge();
    }
    const vector = lapic.pendingVector();
    if (vector < 0) return lapic.spuriousVector;
    lapic.acknowledge(vector);
    return vector;
  }

  nmiPending(vcpu: number): boolean {
    return this.lapics[vcpu].nmiPending;
  }

  takeNmi(vcpu: number): boolean {
    return this.lapics[vcpu].takeNmi();
  }

  /** The priority class of the highest request; 0: there is none. Below it the task priority holds it back no more. */
  tprThreshold(vcpu: number): number {
    return this.lapics[vcpu].requestedClass;
  }

  /** CR8 is TPR bits 7:4; these carry the whole TPR. */
  setTpr(vcpu: number, tpr: number): void {
    this.lapics[vcpu].tpr = tpr;
  }

  getTpr(vcpu: number): number {
    return this.lapics[vcpu].tpr;
  }

  /** The guest's TSC minus the clock's, in ticks: keeps TSC deadlines right after the guest writes its TSC. */
  setTscOffset(vcpu: number, ticks: number): void {
    this.#tscOffset = ticks;
    this.lapics[vcpu].timer.tscOffset = ticks;
  }

  /** The levels that devices drive, by GSI. */
  get lines(): number {
    return this.#lines;
  }

  /** From now on the engine's local APIC is the machine's, with the state of the one before; undefined: the model. */
  useLapic(foreign: ForeignLapic | undefined): void {
    if (foreign === this.#foreign) return;
    const state = this.lapicState();
    this.#foreign = foreign;
    this.#held = undefined;
    this.#setLapicState(state);
    this.#route();
    this.#events.apicBaseChanged();
  }

  /** The machine stands still: the engine's local APIC is noted as it is, and gets nothing until the end of it. */
  hold(): void {
    this.#isHolding = true;
    if (this.#foreign !== undefined) this.#held = { registers: this.#foreign.save(), now: this.#clock.now() };
  }

  /** It goes on: the engine's local APIC goes on from there. */
  release(): void {
    if (this.#held !== undefined) this.#foreign?.load(this.#held.registers);
    this.#held = undefined;
    this.#isHolding = false;
  }

  /** Nobody wants to know what the engine's local APIC is; the model's is not its state. */
  abandonLapic(): void {
    this.#foreign = undefined;
    this.#held = undefined;
  }

  /** The end of an interrupt that the engine's local APIC has handled. */
  endOfInterrupt(vector: number): void {
    this.ioapic.endOfInterrupt(vector);
  }

  lapicState(): LapicState {
    const [lapic] = this.lapics;
    if (this.#foreign === undefined) return lapic.save();
    const { tscHz } = this.#clock;
    const { registers, now } = this.#held ?? { registers: this.#foreign.save(), now: this.#clock.now() };
    const times = { now, tscHz, tscOffset: this.#tscOffset };
    return { ...lapicStateOf(registers, times), nmiPending: lapic.nmiPending };
  }

  #setLapicState(state: LapicState): void {
    const [lapic] = this.lapics;
    lapic.restore(state);
    if (this.#foreign === undefined) return;
    const now = this.#clock.now();
    const registers = registersOf(lapic.save(), now);
    // The model has no time of its own meanwhile.
    lapic.timer.reset();
    if (this.#isHolding) this.#held = { registers, now };
    else this.#foreign.load(registers);
  }

  #route(): void {
    if (this.#foreign?.chips !== undefined) return;
    this.#foreign?.route(
      this.ioapic.redirections().map((r) => r && messageOf(r.destination, r.logical, r.mode, r.vector, r.level)),
    );
  }

  /** The register page of whichever processor makes the access, mapped at `base`. */
  lapicPage(base: number): MmioHandler {
    return {
      read: (offset, size, vcpu) => {
        const lapic = this.#mappedAt(base, vcpu);
        if (lapic === undefined) return ones(size);
        if ((offset & 0xc) !== 0) return 0;
        return (lapic.readRegister(offset >> 4) >>> ((offset & 3) * 8)) & ones(size);
      },
      // Only aligned dword writes are defined ("Accessing the APIC Registers"); others do nothing.
      write: (offset: number, size: IoSize, value: number, vcpu: number) => {
        if (size === 4 && (offset & 0xf) === 0) this.#mappedAt(base, vcpu)?.writeRegister(offset >> 4, value);
      },
    };
  }

  /** Every base at which some processor maps its registers. */
  lapicBases(): number[] {
    if (this.#foreign !== undefined) return [];
    const bases = this.lapics.filter((lapic) => lapic.enabled && !lapic.x2apic).map(apicPage);
    return [...new Set(bases)];
  }

  /** IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC window. */
  readonly msrs: MsrHandler = {
    read: (msr, vcpu) => {
      const lapic = this.lapics[vcpu];
      if (msr === spec.MSR_APIC_BASE) return BigInt(lapic.apicBase);
      if (msr === spec.MSR_TSC_DEADLINE) return lapic.timer.tscDeadline;
      return lapic.x2apic ? readX2apic(lapic, msr - spec.MSR_X2APIC_FIRST) : undefined;
    },
    write: (msr, value, vcpu) => {
      const lapic = this.lapics[vcpu];
      if (msr === spec.MSR_APIC_BASE) return this.#writeApicBase(lapic, value);
      if (msr === spec.MSR_TSC_DEADLINE) {
        lapic.timer.tscDeadline = value;
        return true;
      }
      return lapic.x2apic && writeX2apic(lapic, msr - spec.MSR_X2APIC_FIRST, value);
    },
  };

  // ---- ApicFabric ----

  sendIpi(sender: Lapic, low: number, destination: number): void {
    const mode = (low >> 8) & 7;
    // INIT level de-assert only synchronized arbitration IDs on old processors.
    if (mode === spec.DELIVERY_INIT && (low & spec.ICR_LEVEL) !== 0 && (low & spec.ICR_ASSERT) === 0) return;
    const shorthand = (low >> spec.ICR_SHORTHAND_SHIFT) & 3;
    const logical = (low & spec.ICR_LOGICAL) !== 0;
    const targets = this.lapics.filter((lapic) => {
      if (shorthand === spec.SHORTHAND_SELF) return lapic === sender;
      if (shorthand === spec.SHORTHAND_ALL) return true;
      if (shorthand === spec.SHORTHAND_OTHERS) return lapic !== sender;
      return lapic.matches(destination, logical);
    });
    this.#deliver(targets, mode, low & 0xff, false);
  }

  broadcastEoi(vector: number): void {
    this.ioapic.endOfInterrupt(vector);
  }

  attention(index: number): void {
    this.notices++;
    this.#events.attention(index);
  }

  picOutput(): boolean {
    return this.pic.output;
  }

  reset(): void {
    this.pic.reset();
    this.ioapic.reset();
    for (const lapic of this.lapics) lapic.reset();
    if (this.#foreign !== undefined) this.#setLapicState(this.lapics[0].save());
    this.#events.apicBaseChanged();
  }

  save(): IrqchipState {
    return {
      kind: 'irqchip',
      version: 1,
      pic: this.pic.save(),
      ioapic: this.ioapic.save(),
      lapics: this.#foreign === undefined ? this.lapics.map((lapic) => lapic.save()) : [this.lapicState()],
    };
  }

  /** After the devices, which drive their lines again: the controllers' own latches win. */
  restore(state: IrqchipState): void {
    checkState(state, STATE);
    if (state.lapics.length !== this.lapics.length) {
      throw new StateError(
        `the saved state is of a machine with ${state.lapics.length} processors, this one has ${this.lapics.length}`,
      );
    }
    for (const lapic of state.lapics) {
      if (!this.#isApicBase(lapic.apicBase)) {
        throw new StateError('the saved state of lapic is damaged: apicBase is no register base of this machine');
      }
    }
    // In the direction of the wires, so that an edge made by restoring one is overwritten by the next.
    this.pic.restore(state.pic);
    this.ioapic.restore(state.ioapic);
    for (const [i, lapic] of this.lapics.entries()) lapic.restore(state.lapics[i]);
    if (this.#foreign !== undefined) this.#setLapicState(state.lapics[0]);
    this.#events.apicBaseChanged();
  }

  #setIsa(irq: number, level: boolean): void {
    if (this.#leadsOut(irq, level)) return;
    this.pic.setLine(irq, level);
    if (irq === 0) this.ioapic.setPin(2, level);
    else if (irq !== 2) this.ioapic.setPin(irq, level);
  }

  #setGsi(gsi: number, level: boolean): void {
    if (!this.#leadsOut(gsi, level)) this.ioapic.setPin(gsi, level);
  }

  /** True where the line is the engine's. */
  #leadsOut(gsi: number, level: boolean): boolean {
    const bit = 1 << gsi;
    this.#lines = level ? this.#lines | bit : this.#lines & ~bit;
    const chips = this.#foreign?.chips;
    chips?.line(gsi, level);
    return chips !== undefined;
  }

  #setPicOutput(asserted: boolean): void {
    // The first output change comes from the constructor, before the APICs exist.
    this.ioapic?.setPin(0, asserted);
    this.lapics?.[0]?.setLint(0, asserted);
    if (asserted && this.lapics?.[0]?.enabled === false) this.attention(0);
  }

  #send(destination: number, logical: boolean, mode: number, vector: number, level: boolean): boolean {
    if (this.#foreign !== undefined) {
      const { address, data } = messageOf(destination, logical, mode, vector, level);
      return this.#foreign.send(address, data);
    }
    const targets = this.lapics.filter((lapic) =>
      lapic.matches(destination === 0xff ? 0xffffffff : destination, logical),
    );
    return this.#deliver(targets, mode, vector, level);
  }

  #deliver(targets: readonly Lapic[], mode: number, vector: number, level: boolean): boolean {
    switch (mode) {
      case spec.DELIVERY_INIT:
        for (const lapic of targets) {
          lapic.init();
          this.#events.init(lapic.index);
        }
        return true;
      case spec.DELIVERY_STARTUP:
        for (const lapic of targets) this.#events.startup(lapic.index, vector);
        return true;
      case spec.DELIVERY_LOWEST: {
        let chosen: Lapic | undefined;
        for (const lapic of targets) {
          if (!lapic.enabled || !lapic.softwareEnabled) continue;
          if (chosen === undefined || lapic.ppr < chosen.ppr) chosen = lapic;
        }
        return chosen?.deliver(mode, vector, level) ?? false;
      }
    }
    let accepted = false;
    for (const lapic of targets) accepted = lapic.deliver(mode, vector, level) || accepted;
    return accepted;
  }

  #mappedAt(base: number, vcpu: number): Lapic | undefined {
    const lapic = this.lapics[vcpu];
    return lapic?.enabled && !lapic.x2apic && apicPage(lapic) === base ? lapic : undefined;
  }

  #isApicBase(value: number): boolean {
    const flags = value % spec.APIC_PAGE_SIZE;
    const allowed = spec.APIC_BASE_BSP | spec.APIC_BASE_ENABLE | (this.#x2apic ? spec.APIC_BASE_EXTD : 0);
    const isExtended = (flags & spec.APIC_BASE_EXTD) !== 0;
    return (flags & ~allowed) === 0 && (!isExtended || (flags & spec.APIC_BASE_ENABLE) !== 0);
  }

  /** SDM Vol. 3A, "Local APIC Status and Location" and "x2APIC State Transitions". */
  #writeApicBase(lapic: Lapic, value: bigint): boolean {
    const next = Number(value & 0xfffffffffffffn);
    if (value >= 1n << 40n || !this.#isApicBase(next)) return false;
    const enable = (next & spec.APIC_BASE_ENABLE) !== 0;
    const extended = (next & spec.APIC_BASE_EXTD) !== 0;
    if (lapic.x2apic && enable && !extended) return false;
    if (!lapic.enabled && extended) return false;
    if (lapic.enabled && !enable) lapic.init();
    lapic.apicBase = next;
    this.#events.apicBaseChanged();
    return true;
  }
}

function apicPage(lapic: Lapic): number {
  return lapic.apicBase - (lapic.apicBase % spec.APIC_PAGE_SIZE);
}

/** "x2APIC Register Address Space": no DFR, no ICR high; reserved registers fault. */
const X2APIC_READABLE = new Set([0x02, 0x03, 0x08, 0x0a, 0x0d, 0x0f, 0x28, 0x30, 0x38, 0x39, 0x3e]);
const X2APIC_WRITABLE = new Set([0x08, 0x0b, 0x0f, 0x28, 0x30, 0x38, 0x3e, 0x3f]);

function isBitArrayOrLvt(register: number): boolean {
  return (register >= 0x10 && register < 0x28) || isLvt(register);
}

function isLvt(register: number): boolean {
  return register >= spec.APIC_LVT_TIMER && register <= spec.APIC_LVT_ERROR;
}

function readX2apic(lapic: Lapic, register: number): bigint | undefined {
  if (!X2APIC_READABLE.has(register) && !isBitArrayOrLvt(register)) return undefined;
  const low = BigInt(lapic.readRegister(register) >>> 0);
  if (register !== spec.APIC_ICR_LOW) return low;
  return (BigInt(lapic.readRegister(spec.APIC_ICR_HIGH) >>> 0) << 32n) | low;
}

function writeX2apic(lapic: Lapic, register: number, value: bigint): boolean {
  if (!X2APIC_WRITABLE.has(register) && !isLvt(register)) return false;
  const low = Number(value & 0xffffffffn);
  const high = Number(value >> 32n);
  if (high !== 0 && register !== spec.APIC_ICR_LOW) return false;
  if ((register === spec.APIC_EOI || register === spec.APIC_ESR) && low !== 0) return false;
  if (register === spec.APIC_SELF_IPI) {
    lapic.deliver(spec.DELIVERY_FIXED, low & 0xff, false);
    return true;
  }
  if (register === spec.APIC_ICR_LOW) lapic.writeRegister(spec.APIC_ICR_HIGH, high);
  lapic.writeRegister(register, low);
  return true;
}
