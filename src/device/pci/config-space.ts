/**
 * The 256 configuration bytes of one PCI function, each bit read-only, writable, or cleared by writing one.
 * PCI 3.0, chapter 6 "Configuration Space".
 */
import { type IoSize, ones } from '../../base/io.js';
import { list, u8 } from '../../base/state.js';
import { PCI_CONFIG_SIZE } from '../../spec/pci.js';

/** What `ConfigSpace.save` tells. */
export const CONFIG_BYTES = list(u8, PCI_CONFIG_SIZE);
/** Where the predefined header ends. */
const VENDOR_REGISTERS = 0x40;

export class ConfigSpace {
  readonly #bytes = new Uint8Array(PCI_CONFIG_SIZE);
  readonly #writable = new Uint8Array(PCI_CONFIG_SIZE);
  readonly #clearable = new Uint8Array(PCI_CONFIG_SIZE);
  /** Values after reset. */
  readonly #initial = new Uint8Array(PCI_CONFIG_SIZE);

  /** Sets a register's value and the bits software may change. */
  define(offset: number, size: IoSize, value: number, writable = 0, clearable = 0): void {
    this.set(offset, size, value);
    for (let i = 0; i < size; i++) {
      this.#writable[offset + i] = writable >>> (8 * i);
      this.#clearable[offset + i] = clearable >>> (8 * i);
      this.#initial[offset + i] = value >>> (8 * i);
    }
  }

  reset(): void {
    this.#bytes.set(this.#initial);
  }

  /** The device's own access: no masks. */
  set(offset: number, size: IoSize, value: number): void {
    for (let i = 0; i < size; i++) this.#bytes[offset + i] = value >>> (8 * i);
  }

  /** Bytes past the end read as ones: the bus passes aligned accesses only, a driver may still ask. */
  read(offset: number, size: IoSize): number {
    if (offset + size > PCI_CONFIG_SIZE) return ones(size);
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#bytes[offset + i] << (8 * i);
    return value >>> 0;
  }

  /** The guest's access. */
  write(offset: number, size: IoSize, value: number): void {
    for (let i = 0; i < size && offset + i < PCI_CONFIG_SIZE; i++) {
      const at = offset + i;
      const byte = (value >>> (8 * i)) & 0xff;
      const kept = this.#bytes[at] & ~this.#writable[at] & ~(byte & this.#clearable[at]);
      this.#bytes[at] = kept | (byte & this.#writable[at]);
    }
  }

  save(): number[] {
    return [...this.#bytes];
  }

  /** Only what a guest could have written comes from the saved state; identity stays this build's. */
  restore(saved: readonly number[]): void {
    for (let at = 0; at < PCI_CONFIG_SIZE; at++) {
      const mask = this.#writable[at] | this.#clearable[at];
      this.#bytes[at] = (this.#bytes[at] & ~mask) | (saved[at] & mask);
    }
  }
}

/** The vendor's registers of a chipset function that nobody models: they keep what is written. */
export function defineStorage(config: ConfigSpace): void {
  for (let offset = VENDOR_REGISTERS; offset < PCI_CONFIG_SIZE; offset += 4) config.define(offset, 4, 0, 0xffffffff);
}
