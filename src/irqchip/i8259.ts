/**
 * One 8259A. Intel 8259A data sheet: "Interrupt Sequence", "Initialization Command Words", "Operation Command Words".
 * Left out: MCS-80/85 mode, buffered mode, the LTIM bit (the PC's ELCR replaces it).
 * @deviation a request latched by an edge stays latched when the line falls before INTA; the chip would answer that
 * INTA with a spurious IRQ 7. IR2 of the master follows the slave's output as a level.
 */
import { bits, checkState, flag, integer, type StateOf, stateKind, u8 } from '../base/state.js';
import * as spec from '../spec/i8259.js';

const STATE = stateKind('i8259', 1, {
  irr: u8,
  isr: u8,
  imr: u8,
  lines: u8,
  elcr: u8,
  vectorBase: bits(0xf8),
  lowest: bits(7),
  initStep: integer(0, 4),
  icw1: u8,
  autoEoi: flag,
  rotateOnAutoEoi: flag,
  specialMask: flag,
  fullyNested: flag,
  readIsr: flag,
  poll: flag,
});
export type I8259State = StateOf<typeof STATE>;

export class I8259 {
  readonly #elcrMask: number;
  readonly #master: boolean;
  irr = 0;
  isr = 0;
  imr = 0;
  lines = 0;
  elcr = 0;
  #vectorBase = 0;
  /** The IRQ that has the lowest priority now; the next one has the highest. */
  #lowest = 7;
  /** The initialization word expected next at offset 1 (2, 3 or 4), 0 when operating. */
  #initStep = 0;
  #icw1 = 0;
  #autoEoi = false;
  #rotateOnAutoEoi = false;
  #specialMask = false;
  #specialFullyNested = false;
  #readIsr = false;
  #poll = false;

  constructor(master: boolean) {
    this.#master = master;
    this.#elcrMask = master ? spec.ELCR_MASTER_MASK : spec.ELCR_SLAVE_MASK;
  }

  reset(): void {
    this.elcr = 0;
    this.#initialize(0);
    this.irr = 0;
    // The chip powers up in any state; all masked is the one that disturbs nobody before ICW1.
    this.imr = 0xff;
    this.#vectorBase = 0;
    this.#initStep = 0;
  }

  setLine(irq: number, asserted: boolean): void {
    const bit = 1 << irq;
    if (asserted) {
      if ((this.elcr & bit) !== 0 || (this.lines & bit) === 0) this.irr |= bit;
      this.lines |= bit;
    } else {
      this.lines &= ~bit;
      if ((this.elcr & bit) !== 0) this.irr &= ~bit;
    }
  }

  /** The slave's INT output on the master's cascade input. */
  setCascade(asserted: boolean): void {
    const bit = 1 << spec.CASCADE_IRQ;
    if (asserted) this.irr |= bit;
    else this.irr &= ~bit;
  }

  /** The IRQ that INT asks for, or -1. */
  pending(): number {
    const request = this.irr & ~this.imr;
    if (request === 0) return -1;
    let inService = this.isr;
    // "Special Mask Mode": a masked in-service level no longer holds off lower ones.
    if (this.#specialMask) inService &= ~this.imr;
    // "Special Fully Nested Mode": the slave may interrupt its own service.
    if (this.#specialFullyNested && this.#master) inService &= ~(1 << spec.CASCADE_IRQ);
    for (let i = 1; i <= 8; i++) {
      const irq = (this.#lowest + i) & 7;
      if ((inService & (1 << irq)) !== 0) return -1;
      if ((request & (1 << irq)) !== 0) return irq;
    }
    return -1;
  }

  vector(irq: number): number {
    return this.#vectorBase | irq;
  }

  /** INTA: the request becomes in-service. */
  acknowledge(irq: number): void {
    const bit = 1 << irq;
    if (this.#autoEoi) {
      if (this.#rotateOnAutoEoi) this.#lowest = irq;
    } else {
      this.isr |= bit;
    }
    if ((this.elcr & bit) === 0) this.irr &= ~bit;
  }

  /** True when the next read is a poll, which acts as an INTA. */
  takePoll(): boolean {
    const poll = this.#poll;
    this.#poll = false;
    return poll;
  }

  read(offset: number): number {
    if (offset === 1) return this.imr;
    return this.#readIsr ? this.isr : this.irr;
  }

  write(offset: number, value: number): void {
    if (offset === 1) this.#writeData(value);
    else if ((value & spec.ICW1_SELECT) !== 0) this.#initialize(value);
    else if ((value & spec.OCW3_SELECT) !== 0) this.#writeOcw3(value);
    else this.#writeOcw2(value);
  }

  writeElcr(value: number): void {
    this.elcr = value & this.#elcrMask;
    this.irr |= this.lines & this.elcr;
  }

  save(): I8259State {
    return {
      kind: 'i8259',
      version: 1,
      irr: this.irr,
      isr: this.isr,
      imr: this.imr,
      lines: this.lines,
      elcr: this.elcr,
      vectorBase: this.#vectorBase,
      lowest: this.#lowest,
      initStep: this.#initStep,
      icw1: this.#icw1,
      autoEoi: this.#autoEoi,
      rotateOnAutoEoi: this.#rotateOnAutoEoi,
      specialMask: this.#specialMask,
      fullyNested: this.#specialFullyNested,
      readIsr: this.#readIsr,
      poll: this.#poll,
    };
  }

  restore(state: I8259State): void {
    checkState(state, STATE);
    this.irr = state.irr;
    this.isr = state.isr;
    this.imr = state.imr;
    this.lines = state.lines;
    this.elcr = state.elcr & this.#elcrMask;
    this.#vectorBase = state.vectorBase;
    this.#lowest = state.lowest;
    this.#initStep = state.initStep;
    this.#icw1 = state.icw1;
    this.#autoEoi = state.autoEoi;
    this.#rotateOnAutoEoi = state.rotateOnAutoEoi;
    this.#specialMask = state.specialMask;
    this.#specialFullyNested = state.fullyNested;
    this.#readIsr = state.readIsr;
    this.#poll = state.poll;
  }

  /** ICW1: clears the edge sense, the mask and the modes; IR7 gets the lowest priority. */
  #initialize(icw1: number): void {
    this.#icw1 = icw1;
    this.#initStep = 2;
    this.irr = this.lines & this.elcr;
    this.isr = 0;
    this.imr = 0;
    this.#lowest = 7;
    this.#autoEoi = false;
    this.#rotateOnAutoEoi = false;
    this.#specialMask = false;
    this.#specialFullyNested = false;
    this.#readIsr = false;
    this.#poll = false;
  }

  #writeData(value: number): void {
    switch (this.#initStep) {
      case 2:
        this.#vectorBase = value & 0xf8;
        if ((this.#icw1 & spec.ICW1_SNGL) === 0) this.#initStep = 3;
        else this.#initStep = (this.#icw1 & spec.ICW1_IC4) !== 0 ? 4 : 0;
        break;
      case 3:
        // ICW3 names the cascade input; the PC's wiring is fixed.
        this.#initStep = (this.#icw1 & spec.ICW1_IC4) !== 0 ? 4 : 0;
        break;
      case 4:
        this.#autoEoi = (value & spec.ICW4_AEOI) !== 0;
        this.#specialFullyNested = (value & spec.ICW4_SFNM) !== 0;
        this.#initStep = 0;
        break;
      default:
        this.imr = value;
    }
  }

  #writeOcw2(value: number): void {
    const irq = value & 7;
    switch (value >> 5) {
      case spec.OCW2_ROTATE_AEOI_CLEAR:
        this.#rotateOnAutoEoi = false;
        break;
      case spec.OCW2_ROTATE_AEOI_SET:
        this.#rotateOnAutoEoi = true;
        break;
      case spec.OCW2_NON_SPECIFIC_EOI:
        this.#nonSpecificEoi(false);
        break;
      case spec.OCW2_ROTATE_NON_SPECIFIC_EOI:
        this.#nonSpecificEoi(true);
        break;
      case spec.OCW2_SPECIFIC_EOI:
        this.isr &= ~(1 << irq);
        break;
      case spec.OCW2_ROTATE_SPECIFIC_EOI:
        this.isr &= ~(1 << irq);
        this.#lowest = irq;
        break;
      case spec.OCW2_SET_PRIORITY:
        this.#lowest = irq;
        break;
    }
  }

  /** Ends the service of highest priority; levels masked in special mask mode stay ("Special Mask Mode"). */
  #nonSpecificEoi(rotate: boolean): void {
    const candidates = this.#specialMask ? this.isr & ~this.imr : this.isr;
    for (let i = 1; i <= 8; i++) {
      const irq = (this.#lowest + i) & 7;
      if ((candidates & (1 << irq)) === 0) continue;
      this.isr &= ~(1 << irq);
      if (rotate) this.#lowest = irq;
      return;
    }
  }

  #writeOcw3(value: number): void {
    this.#poll = (value & spec.OCW3_POLL) !== 0;
    if ((value & spec.OCW3_RR) !== 0) this.#readIsr = (value & spec.OCW3_RIS) !== 0;
    if ((value & spec.OCW3_ESMM) !== 0) this.#specialMask = (value & spec.OCW3_SMM) !== 0;
  }
}
