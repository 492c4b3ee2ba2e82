/**
 * A base address register: the window through which a function's registers appear in I/O or memory space.
 * PCI 3.0, §6.2.5 "Base Addresses". Sizing works by itself: the size bits of the address are not writable.
 */
import type { MmioHandler, PioHandler } from '../../base/io.js';
import * as spec from '../../spec/pci.js';
import type { Bus } from '../bus/bus.js';
import { ANY_SIZE } from '../bus/pio.js';
import type { ConfigSpace } from './config-space.js';

export type BarDefinition =
  | { readonly index: number; readonly kind: 'io'; readonly size: number; readonly handler: PioHandler }
  | {
      readonly index: number;
      readonly kind: 'memory' | 'memory64';
      readonly size: number;
      readonly prefetchable?: boolean;
      readonly handler: MmioHandler;
    };

export class Bar {
  readonly definition: BarDefinition;
  readonly #config: ConfigSpace;
  readonly #bus: Bus;
  /** Where it is mapped now, undefined when not. */
  #mappedAt: number | undefined;
  #release: () => void = () => {};

  constructor(definition: BarDefinition, config: ConfigSpace, bus: Bus) {
    this.definition = definition;
    this.#config = config;
    this.#bus = bus;
    const { kind, size } = definition;
    if ((size & (size - 1)) !== 0 || size < (kind === 'io' ? 4 : 16)) throw new RangeError(`BAR size ${size}`);
    const mask = -size >>> 0;
    if (kind === 'io') {
      config.define(this.offset, 4, spec.BAR_IO, mask);
      return;
    }
    const prefetchable = definition.prefetchable ? spec.BAR_PREFETCHABLE : 0;
    config.define(this.offset, 4, prefetchable | (kind === 'memory64' ? spec.BAR_64BIT : 0), mask);
    if (kind === 'memory64') config.define(this.offset + 4, 4, 0, 0xffffffff);
  }

  get offset(): number {
    return spec.PCI_BAR0 + 4 * this.definition.index;
  }

  /** The programmed address, below 2^53 or NaN. */
  get address(): number {
    const low = (this.#config.read(this.offset, 4) & -this.definition.size) >>> 0;
    if (this.definition.kind !== 'memory64') return low;
    const high = this.#config.read(this.offset + 4, 4);
    return high < 0x100000 ? high * 0x100000000 + low : Number.NaN;
  }

  set address(value: number) {
    this.#config.write(this.offset, 4, value % 0x100000000);
    if (this.definition.kind === 'memory64') this.#config.write(this.offset + 4, 4, Math.floor(value / 0x100000000));
  }

  /** Maps, moves or unmaps after the command register or an address changed. */
  update(): void {
    const command = this.#config.read(spec.PCI_COMMAND, 2);
    const { definition } = this;
    const enabled = (command & (definition.kind === 'io' ? spec.COMMAND_IO : spec.COMMAND_MEMORY)) !== 0;
    const { address } = this;
    // Address 0 is where sizing and unassigned BARs end up.
    const wanted = enabled && address > 0 ? address : undefined;
    if (wanted === this.#mappedAt) return;
    this.#release();
    this.#release = () => {};
    this.#mappedAt = wanted;
    if (wanted === undefined) return;
    if (definition.kind !== 'io') {
      const claim = { base: wanted, size: definition.size, handler: definition.handler };
      this.#release = this.#bus.mmio.claim(claim, 'pci');
    } else if (wanted + definition.size <= 0x10000) {
      const claim = { first: wanted, count: definition.size, sizes: ANY_SIZE, handler: definition.handler };
      this.#release = this.#bus.pio.claim(claim);
    }
  }

  unmap(): void {
    this.#release();
    this.#release = () => {};
    this.#mappedAt = undefined;
  }
}
