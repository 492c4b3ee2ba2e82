/**
 * The registers of a PC's 8259As, I/O APIC and 8254, as the machine and an engine that has these chips tell them to each
 * other. Words of the data sheets, in no form that either of them keeps.
 */

/** Intel 8259A data sheet. */
export interface I8259Registers {
  readonly irr: number;
  readonly isr: number;
  readonly imr: number;
  /** Levels of the inputs, for the next edge. */
  readonly lines: number;
  readonly elcr: number;
  readonly vectorBase: number;
  /** The IRQ of lowest priority. */
  readonly lowest: number;
  /** The initialization word expected next (2, 3 or 4), 0 when operating; and whether ICW4 is one of them. */
  readonly initStep: number;
  readonly wantsIcw4: boolean;
  readonly autoEoi: boolean;
  readonly rotateOnAutoEoi: boolean;
  readonly specialMask: boolean;
  readonly fullyNested: boolean;
  readonly readIsr: boolean;
  readonly poll: boolean;
}

/** Intel 82093AA data sheet. The redirection table by its halves. */
export interface IoapicRegisters {
  readonly id: number;
  readonly select: number;
  readonly low: readonly number[];
  readonly high: readonly number[];
}

/** One counter of the 8254. Intel 8254 data sheet. */
export interface CounterRegisters {
  /** Ticks of a period, 1 to 65536; 0: it waits for a count. */
  readonly count: number;
  /** Virtual time at which it began to count from there. */
  readonly startNs: number;
  /** 0 to 5. */
  readonly mode: number;
  /** Least byte, most byte, or both: 1 to 3. */
  readonly access: number;
  readonly gate: boolean;
  readonly readsHigh: boolean;
  /** The first byte of a count that is being written. */
  readonly writeLow: number | null;
  /** Bytes of the latched count still to be read. */
  readonly latched: readonly number[];
  readonly latchedStatus: number | null;
}

export interface PitRegisters {
  readonly counters: readonly CounterRegisters[];
  /** Speaker data of port 0x61; its gate is that of counter 2. */
  readonly speaker: boolean;
  /** HPET legacy replacement has cut counter 0 off from IRQ 0. */
  readonly isCut: boolean;
}

export interface ControllerRegisters {
  /** Master and slave. */
  readonly pics: readonly [I8259Registers, I8259Registers];
  readonly ioapic: IoapicRegisters;
}

export interface ChipRegisters extends ControllerRegisters {
  readonly pit: PitRegisters;
  /** By GSI: the levels that devices drive; the 8254 is none of them. */
  readonly lines: number;
  /** Virtual time at which the chips were as told. */
  readonly atNs: number;
}
