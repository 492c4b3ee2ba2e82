/**
 * The I/O APIC: 24 pins, version 0x11, which has no EOI register. Intel 82093AA data sheet, "Register Description".
 * The polarity bit is stored and otherwise ignored: lines here are asserted or not, whatever their voltage.
 */
import { type IoSize, type MmioHandler, ones } from '../base/io.js';
import { bits, checkState, list, type StateOf, stateKind, u8 } from '../base/state.js';
import * as spec from '../spec/apic.js';

/** Sends an interrupt message to the local APICs; false if none accepted it. */
export type SendInterrupt = (
  destination: number,
  logical: boolean,
  mode: number,
  vector: number,
  level: boolean,
) => boolean;

const STATE = stateKind('ioapic', 1, {
  id: bits(0xf),
  select: u8,
  lines: bits(2 ** spec.IOAPIC_PINS - 1),
  low: list(bits(spec.RTE_LOW_WRITABLE | spec.RTE_REMOTE_IRR), spec.IOAPIC_PINS),
  high: list(bits(0xff000000), spec.IOAPIC_PINS),
});
export type IoapicState = StateOf<typeof STATE>;

/** A redirection entry as somebody who does not own it needs to know it. */
export interface Redirection {
  readonly destination: number;
  readonly logical: boolean;
  readonly mode: number;
  readonly vector: number;
  readonly level: boolean;
}

export class Ioapic implements MmioHandler {
  readonly #send: SendInterrupt;
  /** Hears every change of a redirection entry. */
  onRedirection: () => void = () => undefined;
  #id = 0;
  #select = 0;
  /** Bit per pin: asserted. */
  #lines = 0;
  readonly #low = new Uint32Array(spec.IOAPIC_PINS);
  readonly #high = new Uint32Array(spec.IOAPIC_PINS);

  constructor(send: SendInterrupt) {
    this.#send = send;
    this.reset();
  }

  reset(): void {
    this.#id = 0;
    this.#select = 0;
    this.#low.fill(spec.RTE_MASKED);
    this.#high.fill(0);
  }

  /** An edge on a masked pin is lost ("Interrupt Mask"). */
  setPin(pin: number, asserted: boolean): void {
    const bit = 1 << pin;
    const rising = asserted && (this.#lines & bit) === 0;
    this.#lines = asserted ? this.#lines | bit : this.#lines & ~bit;
    if (rising) this.#service(pin);
  }

  /** By pin; undefined where it is masked. */
  redirections(): (Redirection | undefined)[] {
    return Array.from(this.#low, (low, pin) =>
      (low & spec.RTE_MASKED) !== 0 ? undefined : { ...this.#decode(low), destination: this.#high[pin] >>> 24 },
    );
  }

  /** EOI message: level-triggered entries with this vector may interrupt again. */
  endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < spec.IOAPIC_PINS; pin++) {
      const low = this.#low[pin];
      if ((low & 0xff) !== vector || (low & spec.RTE_REMOTE_IRR) === 0) continue;
      this.#low[pin] = low & ~spec.RTE_REMOTE_IRR;
      this.#serviceLevel(pin);
    }
  }

  read(offset: number, size: IoSize): number {
    const shift = (offset & 3) * 8;
    const register = offset & 0xffc & ~0xf00;
    const value =
      register === spec.IOAPIC_REGSEL ? this.#select : register === spec.IOAPIC_WINDOW ? this.#readRegister() : 0;
    return ((value >>> shift) & ones(size)) >>> 0;
  }

  /** Only aligned dwords are defined; a byte write of the select register is accepted as chips do. */
  write(offset: number, size: IoSize, value: number): void {
    switch (offset & 0xff) {
      case spec.IOAPIC_REGSEL:
        this.#select = value & 0xff;
        break;
      case spec.IOAPIC_WINDOW:
        if (size === 4) this.#writeRegister(value);
        break;
    }
  }

  save(): IoapicState {
    return {
      kind: 'ioapic',
      version: 1,
      id: this.#id,
      select: this.#select,
      lines: this.#lines,
      low: [...this.#low],
      high: [...this.#high],
    };
  }

  restore(state: IoapicState): void {
    checkState(state, STATE);
    this.#id = state.id;
    this.#select = state.select;
    this.#lines = state.lines;
    this.#low.set(state.low);
    this.#high.set(state.high);
    this.onRedirection();
  }

  #readRegister(): number {
    const select = this.#select;
    switch (select) {
      case spec.IOAPIC_REG_ID:
      case spec.IOAPIC_REG_ARBITRATION:
        return (this.#id << 24) >>> 0;
      case spec.IOAPIC_REG_VERSION:
        return ((spec.IOAPIC_PINS - 1) << 16) | spec.IOAPIC_VERSION;
    }
    const pin = (select - spec.IOAPIC_REG_TABLE) >> 1;
    if (pin < 0 || pin >= spec.IOAPIC_PINS) return 0;
    return (select & 1) === 0 ? this.#low[pin] : this.#high[pin];
  }

  #writeRegister(value: number): void {
    const select = this.#select;
    if (select === spec.IOAPIC_REG_ID) this.#id = (value >>> 24) & 0xf;
    const pin = (select - spec.IOAPIC_REG_TABLE) >> 1;
    if (pin < 0 || pin >= spec.IOAPIC_PINS) return;
    if ((select & 1) !== 0) {
      this.#high[pin] = value & 0xff000000;
      this.onRedirection();
      return;
    }
    let low = (value & spec.RTE_LOW_WRITABLE) | (this.#low[pin] & spec.RTE_REMOTE_IRR);
    // An edge-triggered entry has no remote IRR: switching the trigger mode is how old kernels clear it.
    if ((low & spec.RTE_LEVEL) === 0) low &= ~spec.RTE_REMOTE_IRR;
    this.#low[pin] = low;
    this.onRedirection();
    this.#serviceLevel(pin);
  }

  #serviceLevel(pin: number): void {
    if ((this.#low[pin] & spec.RTE_LEVEL) !== 0 && (this.#lines & (1 << pin)) !== 0) this.#service(pin);
  }

  #service(pin: number): void {
    const low = this.#low[pin];
    if ((low & (spec.RTE_MASKED | spec.RTE_REMOTE_IRR)) !== 0) return;
    const { mode, vector, logical, level } = this.#decode(low);
    const accepted = this.#send(this.#high[pin] >>> 24, logical, mode, vector, level);
    if (accepted && level) this.#low[pin] |= spec.RTE_REMOTE_IRR;
  }

  #decode(low: number): Omit<Redirection, 'destination'> {
    const mode = (low >> 8) & 7;
    // Only fixed and lowest priority can be level triggered; the others are edges by definition.
    const level = (low & spec.RTE_LEVEL) !== 0 && mode <= spec.DELIVERY_LOWEST;
    return { mode, vector: low & 0xff, logical: (low & spec.RTE_LOGICAL) !== 0, level };
  }
}
