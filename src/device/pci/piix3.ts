/**
 * Intel 82371SB (PIIX3) PCI-to-ISA bridge: four PIRQ wires, each routed to an ISA interrupt or nowhere.
 * Data sheet, "PIRQx Route Control Registers".
 */
import { type IrqLine, NO_LINE, SharedLine } from '../../irqchip/line.js';
import * as spec from '../../spec/pci.js';
import type { Bus } from '../bus/bus.js';
import { defineStorage } from './config-space.js';
import { PciFunction } from './function.js';

export class Piix3 {
  readonly function: PciFunction;
  readonly #wires: readonly SharedLine[];
  readonly #levels: boolean[] = [false, false, false, false];
  /** The ISA interrupt each PIRQ pulls now. */
  readonly #targets: IrqLine[] = [NO_LINE, NO_LINE, NO_LINE, NO_LINE];
  readonly #routes: number[] = [-1, -1, -1, -1];
  /** One source per PIRQ and ISA interrupt, made at the start: routing moves a level, it makes no new wires. */
  readonly #isaLines: readonly (readonly IrqLine[])[];

  constructor(bus: Bus, isaLine: (irq: number) => IrqLine) {
    this.#isaLines = Array.from({ length: spec.PIRQ_COUNT }, () =>
      Array.from({ length: 16 }, (_, irq) => (isPirqTarget(irq) ? isaLine(irq) : NO_LINE)),
    );
    this.function = new PciFunction(bus, {
      vendor: spec.VENDOR_INTEL,
      device: spec.DEVICE_PIIX3_ISA,
      classCode: spec.CLASS_ISA_BRIDGE,
      multifunction: true,
      status: spec.STATUS_DEVSEL_MEDIUM,
    });
    defineStorage(this.function.config);
    for (const [offset, value] of spec.PIIX3_DEFAULTS) this.function.config.define(offset, 1, value, 0xff);
    // Bus master, memory and I/O decoding are hard-wired on.
    this.function.config.define(spec.PCI_COMMAND, 2, 0x0007, 0x0100);
    for (let i = 0; i < spec.PIRQ_COUNT; i++) {
      this.function.config.define(spec.PIRQ_ROUTE + i, 1, spec.PIRQ_DISABLED, 0x8f);
    }
    this.#wires = Array.from(
      { length: spec.PIRQ_COUNT },
      (_, i) =>
        new SharedLine((asserted) => {
          this.#levels[i] = asserted;
          this.#targets[i].set(asserted);
        }),
    );
    this.function.onConfigWrite = () => this.update();
  }

  /** A new source on PIRQ A-D (0-3). */
  pirqLine(pirq: number): IrqLine {
    return this.#wires[pirq & 3].source();
  }

  /** Sets the routes as firmware would. */
  route(irqs: readonly number[]): void {
    for (const [i, irq] of irqs.entries()) this.function.config.set(spec.PIRQ_ROUTE + i, 1, irq);
    this.update();
  }

  /** Follows the route registers. */
  update(): void {
    for (let i = 0; i < spec.PIRQ_COUNT; i++) {
      const register = this.function.config.read(spec.PIRQ_ROUTE + i, 1);
      const irq = register & 0x0f;
      const route = (register & spec.PIRQ_DISABLED) !== 0 || !isPirqTarget(irq) ? -1 : irq;
      if (route === this.#routes[i]) continue;
      this.#targets[i].set(false);
      this.#routes[i] = route;
      this.#targets[i] = route < 0 ? NO_LINE : this.#isaLines[i][route];
      this.#targets[i].set(this.#levels[i]);
    }
  }
}

function isPirqTarget(irq: number): boolean {
  return (spec.PIRQ_VALID_IRQS & (1 << irq)) !== 0;
}
