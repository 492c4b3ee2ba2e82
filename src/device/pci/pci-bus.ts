/**
 * PCI bus 0 behind configuration mechanism 1. PCI 3.0, §3.2.2.3.2 "Software Generation of Configuration Transactions".
 * INTx pins are swizzled by slot onto eight I/O APIC inputs and onto the four PIRQ wires of the ISA bridge.
 */
import { type IoSize, ones, type PioHandler } from '../../base/io.js';
import type { IrqLine } from '../../irqchip/line.js';
import * as spec from '../../spec/pci.js';
import type { PciFunction } from './function.js';

/** Gives the wire of a slot's INTx pin (1 = INTA). */
export type RouteInterrupt = (slot: number, pin: number) => IrqLine;

export interface PciAddress {
  readonly slot: number;
  readonly function: number;
}

/** Index of an INTx pin among the wires that slots share: neighbours differ, as on boards. */
export function swizzle(slot: number, pin: number): number {
  return (slot + 31 + pin - 1) & 7;
}

export class PciBus {
  readonly #functions = new Map<number, PciFunction>();
  readonly #route: RouteInterrupt;
  /** CONFIG_ADDRESS. */
  #address = 0;

  constructor(route: RouteInterrupt) {
    this.#route = route;
  }

  plug(address: PciAddress, pciFunction: PciFunction): void {
    const key = address.slot * 8 + address.function;
    if (this.#functions.has(key)) throw new RangeError(`PCI slot ${address.slot}.${address.function} is taken`);
    this.#functions.set(key, pciFunction);
    if (pciFunction.interruptPin > 0) pciFunction.connect(this.#route(address.slot, pciFunction.interruptPin));
  }

  unplug(address: PciAddress): void {
    const key = address.slot * 8 + address.function;
    this.#functions.get(key)?.unplug();
    this.#functions.delete(key);
  }

  /** The first slot with nothing in it, or undefined. */
  freeSlot(): number | undefined {
    for (let slot = 1; slot < spec.PCI_SLOTS; slot++) {
      if (!this.#functions.has(slot * 8)) return slot;
    }
    return undefined;
  }

  functions(): ReadonlyMap<number, PciFunction> {
    return this.#functions;
  }

  get address(): number {
    return this.#address;
  }

  set address(value: number) {
    this.#address = (value & 0x80fffffc) >>> 0;
  }

  reset(): void {
    this.#address = 0;
    for (const pciFunction of this.#functions.values()) pciFunction.reset();
  }

  /** Port 0xcf8: only whole dwords; narrower accesses belong to other devices. */
  readonly addressPort: PioHandler = {
    read: () => this.#address,
    write: (_offset, _size, value) => {
      this.address = value;
    },
  };

  /** Ports 0xcfc-0xcff. */
  readonly dataPort: PioHandler = {
    read: (offset, size) => {
      const target = this.#selected();
      return target === undefined ? ones(size) : target.read((this.#address & 0xfc) + offset, size);
    },
    write: (offset: number, size: IoSize, value: number) => {
      this.#selected()?.write((this.#address & 0xfc) + offset, size, value);
    },
  };

  #selected(): PciFunction | undefined {
    if ((this.#address & spec.PCI_ADDRESS_ENABLE) === 0) return undefined;
    // Only bus 0 exists.
    if (((this.#address >>> 16) & 0xff) !== 0) return undefined;
    return this.#functions.get((this.#address >>> 8) & 0xff);
  }
}
