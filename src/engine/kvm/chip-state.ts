/** The 8259As' and the I/O APIC's registers in KVM's structures. */
import type { I8259Registers, IoapicRegisters } from '../../base/chip-registers.js';
import * as C from './chip-layout.js';
import { CHIP_IOAPIC, IOAPIC, IRQCHIP_CHIP, PIC } from './chip-layout.js';

/** IRQs 0, 1, 2, 8 and 13 are always edge triggered. */
const ELCR_MASKS = [0xf8, 0xde] as const;
const ALL_MASKED = 0xff;
const RTE_LEVEL = 0x8000;
const RTE_MASKED = 0x10000;
/** The pin that ISA IRQ 0 pulls; pin 0 and line 2 lead nowhere. */
const IRQ_0_PIN = 2;

export function readPic(bytes: Uint8Array): I8259Registers {
  const at = (field: number): number => bytes[IRQCHIP_CHIP + field];
  const is = (field: number): boolean => at(field) !== 0;
  const step = at(PIC.INIT_STATE);
  return {
    irr: at(PIC.IRR),
    isr: at(PIC.ISR),
    imr: at(PIC.IMR),
    lines: at(PIC.LAST_IRR),
    elcr: at(PIC.ELCR),
    vectorBase: at(PIC.IRQ_BASE) & 0xf8,
    lowest: (at(PIC.PRIORITY_ADD) + 7) & 7,
    // KVM counts the words it has seen, ICW1 being the first.
    initStep: step === 0 ? 0 : Math.min(step + 1, 4),
    wantsIcw4: is(PIC.INIT4),
    autoEoi: is(PIC.AUTO_EOI),
    rotateOnAutoEoi: is(PIC.ROTATE_ON_AUTO_EOI),
    specialMask: is(PIC.SPECIAL_MASK),
    fullyNested: is(PIC.SPECIAL_FULLY_NESTED),
    readIsr: is(PIC.READ_REG_SELECT),
    poll: is(PIC.POLL),
  };
}

/** `lines`: the levels that devices drive. */
export function writePic(which: 0 | 1, chip: I8259Registers, lines: number): Uint8Array {
  const bytes = new Uint8Array(C.IRQCHIP_SIZE);
  bytes[0] = which;
  const put = (field: number, value: number | boolean): void => {
    bytes[IRQCHIP_CHIP + field] = Number(value);
  };
  put(PIC.LAST_IRR, lines);
  put(PIC.IRR, chip.irr);
  put(PIC.ISR, chip.isr);
  put(PIC.IMR, chip.imr);
  put(PIC.PRIORITY_ADD, (chip.lowest + 1) & 7);
  put(PIC.IRQ_BASE, chip.vectorBase);
  put(PIC.READ_REG_SELECT, chip.readIsr);
  put(PIC.POLL, chip.poll);
  put(PIC.SPECIAL_MASK, chip.specialMask);
  put(PIC.INIT_STATE, chip.initStep === 0 ? 0 : chip.initStep - 1);
  put(PIC.AUTO_EOI, chip.autoEoi);
  put(PIC.ROTATE_ON_AUTO_EOI, chip.rotateOnAutoEoi);
  put(PIC.SPECIAL_FULLY_NESTED, chip.fullyNested);
  put(PIC.INIT4, chip.wantsIcw4);
  put(PIC.ELCR, chip.elcr & ELCR_MASKS[which]);
  put(PIC.ELCR_MASK, ELCR_MASKS[which]);
  return bytes;
}

/** A chip that asks for nothing, with its inputs as they are. */
export function quietPic(which: 0 | 1, chip: I8259Registers, lines: number): Uint8Array {
  return writePic(which, { ...chip, irr: 0, isr: 0, imr: ALL_MASKED, initStep: 0, poll: false }, lines);
}

export function readIoapic(bytes: Uint8Array): IoapicRegisters {
  const view = new DataView(bytes.buffer, bytes.byteOffset + IRQCHIP_CHIP);
  const half = (n: number, part: number): number => view.getUint32(IOAPIC.TABLE + 8 * n + part, true);
  return {
    id: view.getUint32(IOAPIC.ID, true) & 15,
    select: view.getUint32(IOAPIC.SELECT, true) & 0xff,
    low: Array.from({ length: C.IOAPIC_PINS }, (_, n) => half(n, 0)),
    high: Array.from({ length: C.IOAPIC_PINS }, (_, n) => half(n, 4)),
  };
}

/** `lines`: levels by GSI. */
export function writeIoapic(chip: IoapicRegisters, lines: number): Uint8Array {
  const bytes = new Uint8Array(C.IRQCHIP_SIZE);
  const view = new DataView(bytes.buffer, IRQCHIP_CHIP);
  bytes[0] = CHIP_IOAPIC;
  view.setBigUint64(IOAPIC.BASE, BigInt(C.IOAPIC_BASE), true);
  view.setUint32(IOAPIC.SELECT, chip.select, true);
  view.setUint32(IOAPIC.ID, chip.id, true);
  view.setUint32(IOAPIC.IRR, requests(chip, lines), true);
  for (let n = 0; n < C.IOAPIC_PINS; n++) {
    view.setUint32(IOAPIC.TABLE + 8 * n, chip.low[n], true);
    view.setUint32(IOAPIC.TABLE + 8 * n + 4, chip.high[n], true);
  }
  return bytes;
}

/**
 * KVM takes a set bit as a line that rises now: an edge on an open pin has been sent already, on a masked one it is lost
 * whenever it comes.
 */
function requests({ low }: IoapicRegisters, lines: number): number {
  const pins = (lines & ~5) | ((lines & 1) << IRQ_0_PIN);
  return (
    low.reduce((bits, entry, pin) => ((entry & (RTE_LEVEL | RTE_MASKED)) !== 0 ? bits | (1 << pin) : bits), 0) & pins
  );
}

export function quietIoapic(chip: IoapicRegisters, lines: number): Uint8Array {
  return writeIoapic({ ...chip, low: chip.low.map(() => RTE_MASKED) }, lines);
}
