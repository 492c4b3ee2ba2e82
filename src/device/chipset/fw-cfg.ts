/**
 * The firmware configuration device: named, read-only blobs that firmware and guests fetch by key, byte by byte or by
 * DMA. QEMU's docs/specs/fw_cfg. Left out: writable items.
 */
import type { IoSize, PioHandler } from '../../base/io.js';
import { checkState, type StateOf, stateKind, u16, u32 } from '../../base/state.js';
import * as spec from '../../spec/fw-cfg.js';
import type { Device } from '../device.js';
import type { DmaMemory } from '../dma.js';

/** The items are not in it: they are made anew from the machine's options. */
const STATE = stateKind('fw-cfg', 1, { key: u16, offset: u32, dmaHigh: u32 });
export type FwCfgState = StateOf<typeof STATE>;

/** One DMA command moves at most this much: a guest cannot stop the machine with a 4 GiB length. */
const DMA_CHUNK = 1 << 16;
const DMA_LIMIT = 64 << 20;

export class FwCfg implements Device<FwCfgState> {
  readonly #memory: DmaMemory | undefined;
  readonly #items = new Map<number, Uint8Array>();
  /** Items that are made anew whenever they are selected; their size stays. */
  readonly #live = new Map<number, () => Uint8Array>();
  readonly #files: { readonly name: string; readonly key: number; readonly size: number }[] = [];
  #key = 0;
  #offset = 0;
  /** High half of the DMA descriptor's address; writing the low half starts the command. */
  #dmaHigh = 0;

  /** Without memory there is no DMA interface. */
  constructor(memory?: DmaMemory) {
    this.#memory = memory;
    this.#items.set(spec.FW_CFG_SIGNATURE, ascii('QEMU'));
    const features = spec.FW_CFG_ID_TRADITIONAL | (memory === undefined ? 0 : spec.FW_CFG_ID_DMA);
    this.addItem(spec.FW_CFG_ID, Uint8Array.of(features, 0, 0, 0));
    this.#writeDirectory();
  }

  /** A numbered item: the old keys and the kernel's. */
  addItem(key: number, data: Uint8Array): void {
    this.#items.set(key & spec.FW_CFG_KEY_MASK, data);
  }

  /** A file whose contents depend on what firmware has done by the time it is selected, but whose size does not. */
  addLiveFile(name: string, make: () => Uint8Array): void {
    this.#live.set(this.addFile(name, make()), make);
  }

  /** A named item, listed in the directory. A second one of the same name replaces the first. Gives its key. */
  addFile(name: string, data: Uint8Array): number {
    if (name.length >= spec.FW_CFG_FILE_NAME_SIZE) throw new RangeError(`fw_cfg name ${name} is too long`);
    const existing = this.#files.findIndex((file) => file.name === name);
    const key = existing >= 0 ? this.#files[existing].key : spec.FW_CFG_FILE_FIRST + this.#files.length;
    const entry = { name, key, size: data.length };
    if (existing >= 0) this.#files[existing] = entry;
    else this.#files.push(entry);
    this.#items.set(key, data);
    this.#live.delete(key);
    this.#writeDirectory();
    return key;
  }

  reset(): void {
    this.#key = 0;
    this.#offset = 0;
    this.#dmaHigh = 0;
  }

  /** 0x510: the selector as a word; 0x511: data bytes. */
  readonly ports: PioHandler = {
    read: (offset) => (offset === spec.FW_CFG_DATA_OFFSET ? this.#nextByte() : 0xff),
    write: (offset: number, size: IoSize, value: number) => {
      if (offset === 0 && size === 2) this.#select(value);
    },
  };

  /** 0x514-0x51b, big-endian dwords. */
  readonly dmaPorts: PioHandler = {
    read: (offset) => byteSwap(offset === 0 ? spec.FW_CFG_DMA_SIGNATURE_HIGH : spec.FW_CFG_DMA_SIGNATURE_LOW),
    write: (offset: number, _size: IoSize, value: number) => {
      if (offset === 0) this.#dmaHigh = byteSwap(value);
      else if (offset === 4) {
        const address = this.#dmaHigh * 0x100000000 + byteSwap(value);
        this.#dmaHigh = 0;
        this.#runDma(address);
      }
    },
  };

  save(): FwCfgState {
    return { kind: 'fw-cfg', version: 1, key: this.#key, offset: this.#offset, dmaHigh: this.#dmaHigh };
  }

  restore(state: FwCfgState): void {
    checkState(state, STATE);
    this.#select(state.key);
    this.#offset = state.offset;
    this.#dmaHigh = state.dmaHigh;
  }

  get #item(): Uint8Array | undefined {
    return this.#items.get(this.#key);
  }

  #select(key: number): void {
    this.#key = key & spec.FW_CFG_KEY_MASK;
    this.#offset = 0;
    const make = this.#live.get(this.#key);
    if (make !== undefined) this.#items.set(this.#key, make());
  }

  /** Past the end of an item, and in absent items, zeroes. */
  #nextByte(): number {
    const byte = this.#item?.[this.#offset] ?? 0;
    this.#offset = Math.min(this.#offset + 1, 0xffffffff);
    return byte;
  }

  #runDma(address: number): void {
    const memory = this.#memory;
    const descriptor = new Uint8Array(spec.DMA_DESCRIPTOR_SIZE);
    if (memory === undefined || !memory.read(address, descriptor)) return;
    const view = new DataView(descriptor.buffer);
    const control = view.getUint32(0);
    const length = view.getUint32(4);
    const target = view.getUint32(8) * 0x100000000 + view.getUint32(12);
    if ((control & spec.DMA_SELECT) !== 0) this.#select(control >>> 16);
    let ok = true;
    if ((control & spec.DMA_READ) !== 0) ok = this.#copyOut(memory, target, length);
    else if ((control & spec.DMA_WRITE) !== 0) ok = false;
    else if ((control & spec.DMA_SKIP) !== 0) this.#offset = Math.min(this.#offset + length, 0xffffffff);
    // The control word becomes the status: zero, or the error bit.
    const status = new Uint8Array(4);
    if (!ok) status[3] = spec.DMA_ERROR;
    memory.write(address, status);
  }

  #copyOut(memory: DmaMemory, target: number, length: number): boolean {
    if (length > DMA_LIMIT && length > (this.#item?.length ?? 0)) return false;
    const chunk = new Uint8Array(Math.min(length, DMA_CHUNK));
    for (let done = 0; done < length; ) {
      const part = chunk.subarray(0, Math.min(DMA_CHUNK, length - done));
      part.fill(0);
      const source = this.#item?.subarray(this.#offset, this.#offset + part.length);
      if (source !== undefined) part.set(source);
      if (!memory.write(target + done, part)) return false;
      this.#offset = Math.min(this.#offset + part.length, 0xffffffff);
      done += part.length;
    }
    return true;
  }

  /** "File Directory": a count and entries of size, key, reserved and name, big-endian. */
  #writeDirectory(): void {
    const directory = new Uint8Array(4 + this.#files.length * spec.FW_CFG_FILE_ENTRY_SIZE);
    const view = new DataView(directory.buffer);
    view.setUint32(0, this.#files.length);
    for (const [i, file] of this.#files.entries()) {
      const at = 4 + i * spec.FW_CFG_FILE_ENTRY_SIZE;
      view.setUint32(at, file.size);
      view.setUint16(at + 4, file.key);
      directory.set(ascii(file.name), at + 8);
    }
    this.#items.set(spec.FW_CFG_FILE_DIR, directory);
  }
}

function ascii(value: string): Uint8Array {
  return Uint8Array.from(value, (letter) => letter.charCodeAt(0) & 0x7f);
}

function byteSwap(value: number): number {
  return (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
