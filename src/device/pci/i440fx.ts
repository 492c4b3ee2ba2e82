/**
 * Intel 82441FX host bridge: who answers at 0xc0000-0xfffff. Data sheet, "Programmable Attribute Map Registers".
 *
 *   0x59  7:4 0xf0000-0xfffff
 *   0x5a  3:0 0xc0000-0xc3fff   7:4 0xc4000-0xc7fff   ... 16 KiB per nibble ...   0x5f  7:4 0xec000-0xeffff
 *   nibble: bit 0 reads, bit 1 writes reach RAM; where they do not, they go to the PCI bus, behind which the ROM lies
 *
 * @deviation SMRAM control is stored, but there is no system management mode, and 0xa0000-0xbffff is never RAM.
 */
import * as spec from '../../spec/pci.js';
import type { Bus } from '../bus/bus.js';
import { defineStorage } from './config-space.js';
import { PciFunction } from './function.js';

/** A piece of memory changes hands: whether reads and writes reach RAM. */
export type OnShadow = (base: number, sizeBytes: number, readsRam: boolean, writesRam: boolean) => void;

const READ_ENABLE = 1;
const WRITE_ENABLE = 2;
const BOTH = READ_ENABLE | WRITE_ENABLE;
const SEGMENT_SIZE = 0x4000;
const SEGMENTS_BASE = 0xc0000;
const BIOS_BASE = 0xf0000;
const BIOS_SIZE = 0x10000;

interface Segment {
  readonly base: number;
  readonly size: number;
  readonly register: number;
  readonly shift: 0 | 4;
}

const SEGMENTS: readonly Segment[] = [
  { base: BIOS_BASE, size: BIOS_SIZE, register: spec.PAM_FIRST, shift: 4 },
  ...Array.from(
    { length: (BIOS_BASE - SEGMENTS_BASE) / SEGMENT_SIZE },
    (_, i): Segment => ({
      base: SEGMENTS_BASE + i * SEGMENT_SIZE,
      size: SEGMENT_SIZE,
      register: spec.PAM_FIRST + 1 + (i >> 1),
      shift: (i & 1) === 0 ? 0 : 4,
    }),
  ),
];

export class I440fx {
  readonly function: PciFunction;
  readonly #onShadow: OnShadow;
  /** What `onShadow` was told last; everything is RAM at first. */
  readonly #attributes: number[] = SEGMENTS.map(() => BOTH);

  constructor(bus: Bus, onShadow: OnShadow) {
    this.#onShadow = onShadow;
    this.function = new PciFunction(bus, {
      vendor: spec.VENDOR_INTEL,
      device: spec.DEVICE_I440FX,
      classCode: spec.CLASS_HOST_BRIDGE,
      revision: 2,
    });
    const { config } = this.function;
    defineStorage(config);
    config.define(spec.PAM_FIRST, 1, 0, 0x30);
    for (let i = 1; i < spec.PAM_COUNT; i++) config.define(spec.PAM_FIRST + i, 1, 0, 0x33);
    config.define(spec.SMRAM_CONTROL, 1, 0x02, 0x78);
    this.function.onConfigWrite = () => this.update();
  }

  /** As firmware leaves it that has nothing to protect: RAM everywhere. */
  openAll(): void {
    for (const { register, shift } of SEGMENTS) {
      const others = this.function.config.read(register, 1) & ~(0xf << shift);
      this.function.config.set(register, 1, others | (BOTH << shift));
    }
    this.update();
  }

  /** Follows the attribute registers. */
  update(): void {
    for (const [i, { base, size, register, shift }] of SEGMENTS.entries()) {
      const attributes = (this.function.config.read(register, 1) >> shift) & BOTH;
      if (attributes === this.#attributes[i]) continue;
      this.#attributes[i] = attributes;
      this.#onShadow(base, size, (attributes & READ_ENABLE) !== 0, (attributes & WRITE_ENABLE) !== 0);
    }
  }
}
