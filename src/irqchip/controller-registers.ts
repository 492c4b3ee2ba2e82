/** The 8259As' and the I/O APIC's saved states as the registers that an engine with these chips takes and tells. */
import type { ControllerRegisters, I8259Registers } from '../base/chip-registers.js';
import * as apic from '../spec/apic.js';
import * as spec from '../spec/i8259.js';
import type { I8259State } from './i8259.js';
import type { IoapicState } from './ioapic.js';
import { Pic, type PicState } from './pic.js';

export interface ControllerStates {
  readonly pic: PicState;
  readonly ioapic: IoapicState;
}

/** ISA IRQ 0 is pin 2 of the I/O APIC; pin 0 is the 8259As' output. */
const IRQ_0_PIN = 1 << 2;
const PIC_PIN = 1 << 0;
const IRQ_0 = 1 << 0;

export function controllerRegistersOf({ pic, ioapic }: ControllerStates): ControllerRegisters {
  const { id, select, low, high } = ioapic;
  return { pics: [i8259RegistersOf(pic.master), i8259RegistersOf(pic.slave)], ioapic: { id, select, low, high } };
}

function i8259RegistersOf({ kind: _, version: __, icw1, ...chip }: I8259State): I8259Registers {
  return { ...chip, wantsIcw4: (icw1 & spec.ICW1_IC4) !== 0 };
}

/** `lines`: levels by GSI. `pitLine`: that of the 8254, which an engine's own does not drive between two ticks. */
export function controllerStatesOf(
  { pics, ioapic }: ControllerRegisters,
  lines: number,
  pitLine: boolean,
): ControllerStates {
  const [master, slave] = pics;
  const isIrq0 = pitLine || (lines & IRQ_0) !== 0;
  const pic: PicState = {
    kind: 'pic',
    version: 1,
    master: i8259StateOf({ ...master, lines: master.lines | (isIrq0 ? IRQ_0 : 0) }),
    slave: i8259StateOf(slave),
  };
  const isolated = new Pic(() => undefined);
  isolated.restore(pic);
  const pins = (lines & ~(PIC_PIN | IRQ_0_PIN)) | (isIrq0 ? IRQ_0_PIN : 0) | (isolated.output ? PIC_PIN : 0);
  const { id, select, low, high } = ioapic;
  return {
    pic,
    ioapic: {
      kind: 'ioapic',
      version: 1,
      id,
      select,
      lines: pins,
      low: low.map((entry) => (entry & (apic.RTE_LOW_WRITABLE | apic.RTE_REMOTE_IRR)) >>> 0),
      high: high.map((entry) => (entry & 0xff000000) >>> 0),
    },
  };
}

function i8259StateOf({ wantsIcw4, ...chip }: I8259Registers): I8259State {
  const icw1 = spec.ICW1_SELECT | (wantsIcw4 ? spec.ICW1_IC4 : 0);
  return { kind: 'i8259', version: 1, ...chip, icw1 };
}

/** What a machine's controllers do now that an engine's cannot. */
export function missingInEngine({ pic, ioapic }: ControllerStates): string[] {
  const missing: string[] = [];
  if ((ioapic.low[0] & apic.RTE_MASKED) === 0) missing.push('8259As behind pin 0 of the I/O APIC');
  const isSingle = [pic.master, pic.slave].some(
    ({ initStep, icw1 }) => initStep !== 0 && (icw1 & spec.ICW1_SNGL) !== 0,
  );
  if (isSingle) missing.push('an 8259A that is initialized without cascade');
  return missing;
}
