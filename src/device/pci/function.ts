/** One PCI function: configuration space, BARs, and its INTx pin. Devices build on it by composition. */
import type { IoSize } from '../../base/io.js';
import { checkState, flag, type StateOf, stateKind } from '../../base/state.js';
import { type IrqLine, NO_LINE } from '../../irqchip/line.js';
import * as spec from '../../spec/pci.js';
import type { Bus } from '../bus/bus.js';
import { Bar, type BarDefinition } from './bar.js';
import { CONFIG_BYTES, ConfigSpace } from './config-space.js';

export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  /** Base class, subclass, interface. */
  readonly classCode: number;
  readonly revision?: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  readonly multifunction?: boolean;
  /** Capability bits of the status register. */
  readonly status?: number;
  /** 1 = INTA … 4 = INTD, 0 none. */
  readonly interruptPin?: number;
}

const STATE = stateKind('pci-function', 1, { config: CONFIG_BYTES, intx: flag });
export type PciFunctionState = StateOf<typeof STATE>;

export class PciFunction {
  readonly config = new ConfigSpace();
  readonly #bus: Bus;
  readonly #identity: PciIdentity;
  readonly #bars: Bar[] = [];
  /** Called after the guest wrote configuration bytes. */
  onConfigWrite: (offset: number, size: IoSize) => void = () => {};
  #line: IrqLine = NO_LINE;
  #intx = false;

  constructor(bus: Bus, identity: PciIdentity) {
    this.#bus = bus;
    this.#identity = identity;
    const { config } = this;
    config.define(spec.PCI_VENDOR_ID, 2, identity.vendor);
    config.define(spec.PCI_DEVICE_ID, 2, identity.device);
    config.define(spec.PCI_COMMAND, 2, 0, spec.COMMAND_WRITABLE);
    config.define(spec.PCI_STATUS, 2, identity.status ?? 0, 0, spec.STATUS_ERRORS);
    config.define(spec.PCI_REVISION, 1, identity.revision ?? 0);
    config.define(spec.PCI_CLASS, 1, identity.classCode & 0xff);
    config.define(spec.PCI_CLASS + 1, 2, identity.classCode >>> 8);
    config.define(spec.PCI_CACHE_LINE, 1, 0, 0xff);
    config.define(spec.PCI_LATENCY, 1, 0, 0xf8);
    config.define(spec.PCI_HEADER_TYPE, 1, identity.multifunction ? spec.HEADER_MULTIFUNCTION : 0);
    config.define(spec.PCI_SUBSYSTEM_VENDOR, 2, identity.subsystemVendor ?? spec.SUBSYSTEM_VENDOR);
    config.define(spec.PCI_SUBSYSTEM, 2, identity.subsystem ?? spec.SUBSYSTEM_DEVICE);
    config.define(spec.PCI_INTERRUPT_LINE, 1, 0, 0xff);
    config.define(spec.PCI_INTERRUPT_PIN, 1, identity.interruptPin ?? 0);
  }

  get interruptPin(): number {
    return this.#identity.interruptPin ?? 0;
  }

  get bars(): readonly Bar[] {
    return this.#bars;
  }

  addBar(definition: BarDefinition): void {
    this.#bars.push(new Bar(definition, this.config, this.#bus));
  }

  /** The wire behind the INTx pin; the PCI bus calls it when the function is plugged in. */
  connect(line: IrqLine): void {
    this.#line = line;
  }

  read(offset: number, size: IoSize): number {
    return this.config.read(offset, size);
  }

  write(offset: number, size: IoSize, value: number): void {
    this.config.write(offset, size, value);
    if (offset < spec.PCI_BAR0 + 4 * spec.PCI_BARS) this.update();
    this.onConfigWrite(offset, size);
  }

  /** Level of the INTx pin, gated by the command register's disable bit. */
  setIntx(asserted: boolean): void {
    this.#intx = asserted;
    const status = this.config.read(spec.PCI_STATUS, 2) & ~spec.STATUS_INTERRUPT;
    this.config.set(spec.PCI_STATUS, 2, status | (asserted ? spec.STATUS_INTERRUPT : 0));
    const disabled = (this.config.read(spec.PCI_COMMAND, 2) & spec.COMMAND_INTX_DISABLE) !== 0;
    this.#line.set(asserted && !disabled);
  }

  /** After registers changed otherwise than by the guest. */
  update(): void {
    for (const bar of this.#bars) bar.update();
    this.setIntx(this.#intx);
  }

  /** RST#: every register as it was defined, decoding off. */
  reset(): void {
    this.config.reset();
    this.#intx = false;
    this.update();
  }

  unplug(): void {
    for (const bar of this.#bars) bar.unmap();
    this.#line.set(false);
  }

  save(): PciFunctionState {
    return { kind: 'pci-function', version: 1, config: this.config.save(), intx: this.#intx };
  }

  restore(state: PciFunctionState): void {
    checkState(state, STATE);
    this.config.restore(state.config);
    this.#intx = state.intx;
    this.update();
  }
}
