/** Intel 82371AB (PIIX4) function 3, power management: where the ACPI and SMBus registers sit in I/O space. */
import type { Direct, IoSize, PioHandler } from '../../base/io.js';
import { PM_IO_SIZE, SCI_IRQ } from '../../spec/acpi.js';
import * as spec from '../../spec/pci.js';
import type { Bus } from '../bus/bus.js';
import { ANY_SIZE, BYTE } from '../bus/pio.js';
import { defineStorage } from './config-space.js';
import { PciFunction } from './function.js';

/** A block of ports whose base is a configuration register. */
class MovableBlock {
  readonly #bus: Bus;
  readonly #count: number;
  readonly #sizes: readonly IoSize[];
  readonly #handler: PioHandler;
  readonly #direct: Direct | undefined;
  #base = 0;
  #release: () => void = () => {};

  constructor(bus: Bus, count: number, sizes: readonly IoSize[], handler: PioHandler, direct?: Direct) {
    this.#bus = bus;
    this.#count = count;
    this.#sizes = sizes;
    this.#handler = handler;
    this.#direct = direct;
  }

  /** Base 0 unmaps. */
  moveTo(base: number): void {
    if (base === this.#base) return;
    this.#release();
    this.#base = base;
    const claim = {
      first: base,
      count: this.#count,
      sizes: this.#sizes,
      handler: this.#handler,
      direct: this.#direct,
    };
    this.#release = base === 0 ? () => {} : this.#bus.pio.claim(claim);
  }
}

export class Piix4Pm {
  readonly function: PciFunction;
  readonly #acpi: MovableBlock;
  readonly #smbus: MovableBlock;

  constructor(bus: Bus, acpi: PioHandler, smbus: PioHandler) {
    this.#acpi = new MovableBlock(bus, PM_IO_SIZE, ANY_SIZE, acpi, 'reads');
    this.#smbus = new MovableBlock(bus, spec.SMBUS_SIZE, BYTE, smbus);
    this.function = new PciFunction(bus, {
      vendor: spec.VENDOR_INTEL,
      device: spec.DEVICE_PIIX4_PM,
      classCode: spec.CLASS_OTHER_BRIDGE,
      revision: 3,
      interruptPin: 1,
      status: spec.STATUS_DEVSEL_MEDIUM | spec.STATUS_FAST_BACK_TO_BACK,
    });
    const { config } = this.function;
    defineStorage(config);
    config.define(spec.PIIX4_PMBASE, 4, 1, 0xffc0);
    // There is no system management mode: firmware finds its SMI set up already and leaves it alone.
    config.define(spec.PIIX4_DEVACTB, 4, spec.DEVACTB_APMC_ENABLE, 0xffffffff);
    config.define(spec.PIIX4_PMREGMISC, 1, 0, spec.PMREGMISC_IO_ENABLE);
    config.define(spec.PIIX4_SMBBASE, 4, 1, 0xfff0);
    config.define(spec.PIIX4_SMBHSTCFG, 1, 0, 0x0f);
    this.function.onConfigWrite = () => this.update();
  }

  /** Sets the bases as firmware would. */
  map(acpiPort: number, smbusPort: number): void {
    const { config } = this.function;
    config.write(spec.PIIX4_PMBASE, 4, acpiPort);
    config.write(spec.PIIX4_PMREGMISC, 1, spec.PMREGMISC_IO_ENABLE);
    config.write(spec.PIIX4_SMBBASE, 4, smbusPort);
    // Interrupt select 100b: IRQ 9.
    config.write(spec.PIIX4_SMBHSTCFG, 1, 0x08 | spec.SMBHSTCFG_ENABLE);
    config.write(spec.PCI_INTERRUPT_LINE, 1, SCI_IRQ);
    this.update();
  }

  /** Where firmware put the power management registers; 0: nowhere. */
  get pmBase(): number {
    const { config } = this.function;
    const isOn = (config.read(spec.PIIX4_PMREGMISC, 1) & spec.PMREGMISC_IO_ENABLE) !== 0;
    return isOn ? config.read(spec.PIIX4_PMBASE, 4) & 0xffc0 : 0;
  }

  /** Follows the base registers. */
  update(): void {
    const { config } = this.function;
    this.#acpi.moveTo(this.pmBase);
    const smbusOn = (config.read(spec.PIIX4_SMBHSTCFG, 1) & spec.SMBHSTCFG_ENABLE) !== 0;
    this.#smbus.moveTo(smbusOn ? config.read(spec.PIIX4_SMBBASE, 4) & 0xfff0 : 0);
  }
}
