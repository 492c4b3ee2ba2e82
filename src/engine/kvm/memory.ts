/**
 * Guest-physical memory as KVM's memory slots: RAM without the VGA window, the firmware's ROM, and the chipset's changes to
 * them. What no slot answers leaves KVM_RUN. Linux documentation, "The Definitive KVM API Documentation",
 * KVM_SET_USER_MEMORY_REGION, KVM_CAP_READONLY_MEM.
 */
import type { PhysicalMap, ShadowAccess } from '../engine.js';
import * as K from './abi.js';
import { needed } from './errors.js';
import * as L from './layout.js';
import type { System } from './system.js';

const PAGE = 4096;
const MEGABYTE = 0x100000;
const FOUR_GIB = 2 ** 32;
/** The VGA window is no RAM. */
const WINDOW = { first: 0xa0000, end: 0xc0000 };
/** Memory attributes change in pieces of this size from the window's end to 1 MiB. */
const PIECE = 0x4000;
const PIECES = (MEGABYTE - WINDOW.end) / PIECE;
/** From here on the ROM's end answers where RAM does not. */
const SHADOW_ROM_BASE = 0xe0000;
const PLAIN: ShadowAccess = { readsRam: true, writesRam: true };

export interface KvmMemoryParts {
  readonly memory: WebAssembly.Memory;
  /** Where GPA 0 is in it. */
  readonly ramOffset: number;
  readonly ramBytes: number;
  /** Bytes behind RAM that end at 4 GiB. */
  readonly romBytes: number;
}

/** `at` is a place in the linear memory. */
interface Slot {
  readonly gpa: number;
  readonly at: number;
  readonly size: number;
  readonly readOnly: boolean;
}

export class KvmMemory implements PhysicalMap {
  private readonly system: System;
  private readonly vm: number;
  private readonly parts: KvmMemoryParts;
  private readonly bytes: Uint8Array;
  private readonly pieces: ShadowAccess[] = new Array<ShadowAccess>(PIECES).fill(PLAIN);
  private isA20Open = true;
  /** By KVM's number. */
  private slots: (Slot | undefined)[] = [];
  /** Pages known to be dirty; undefined: nobody asks. */
  private dirty: Uint8Array | undefined;

  constructor(system: System, vm: number, parts: KvmMemoryParts) {
    this.system = system;
    this.vm = vm;
    this.parts = parts;
    this.bytes = new Uint8Array(parts.memory.buffer);
    this.apply();
  }

  /** GPA 0 first. */
  get ram(): DataView {
    const { memory, ramOffset, ramBytes } = this.parts;
    return new DataView(memory.buffer, ramOffset, ramBytes);
  }

  shadow(base: number, sizeBytes: number, access: ShadowAccess): void {
    const first = (base - WINDOW.end) / PIECE;
    this.pieces.fill(access, first, first + sizeBytes / PIECE);
    this.apply();
  }

  /**
   * Closed, the second megabyte is the first again: all that code in real mode reaches. Odd megabytes above it stay as they
   * are.
   */
  a20(isOpen: boolean): void {
    this.isA20Open = isOpen;
    this.apply();
  }

  /** A write that no slot took: true if it was for RAM that is only written. */
  absorb(gpa: number, size: number, value: bigint): boolean {
    const at = this.isA20Open || gpa >= 2 * MEGABYTE ? gpa : gpa % MEGABYTE;
    if (at < WINDOW.end || at + size > MEGABYTE) return false;
    const piece = this.pieces[Math.floor((at - WINDOW.end) / PIECE)];
    if (piece.readsRam || !piece.writesRam) return false;
    for (let n = 0; n < size; n++) this.bytes[this.parts.ramOffset + at + n] = Number((value >> BigInt(8 * n)) & 255n);
    return true;
  }

  startDirtyLog(): void {
    this.dirty = new Uint8Array(Math.ceil(this.parts.ramBytes / PAGE / 8));
    for (const [number, slot] of this.slots.entries()) if (slot !== undefined) this.set(number, slot);
  }

  /** One bit per page of RAM that the guest has written since the last call or the start. */
  takeDirtyLog(): Uint8Array {
    if (this.dirty === undefined) throw new RangeError('the dirty log is not on');
    this.gatherDirty();
    const taken = this.dirty;
    this.dirty = new Uint8Array(taken.length);
    return taken;
  }

  // ---- slots ----

  private apply(): void {
    this.gatherDirty();
    const wanted = this.layout();
    const isSame = (a: Slot, b: Slot): boolean =>
      a.gpa === b.gpa && a.at === b.at && a.size === b.size && a.readOnly === b.readOnly;
    // First what goes: slots never overlap.
    for (const [number, slot] of this.slots.entries()) {
      if (slot === undefined || wanted.some((other) => isSame(slot, other))) continue;
      this.set(number, { ...slot, size: 0 });
      this.slots[number] = undefined;
    }
    for (const slot of wanted) {
      if (this.slots.some((other) => other !== undefined && isSame(slot, other))) continue;
      const free = this.slots.indexOf(undefined);
      const number = free < 0 ? this.slots.length : free;
      this.slots[number] = slot;
      this.set(number, slot);
    }
  }

  private layout(): Slot[] {
    const { ramOffset, ramBytes, romBytes } = this.parts;
    const ram = (gpa: number, end: number, from = gpa): Slot[] =>
      end > gpa ? [{ gpa, at: ramOffset + from, size: end - gpa, readOnly: false }] : [];
    const first = [...ram(0, Math.min(WINDOW.first, ramBytes)), ...this.layoutPieces()];
    const isAliased = !this.isA20Open && ramBytes > MEGABYTE;
    const second = isAliased ? first.map((slot) => ({ ...slot, gpa: slot.gpa + MEGABYTE })) : [];
    const above = ram(isAliased ? 2 * MEGABYTE : MEGABYTE, ramBytes);
    const rom = { gpa: FOUR_GIB - romBytes, at: ramOffset + ramBytes, size: romBytes, readOnly: true };
    return merged([...first, ...second, ...above, ...(romBytes > 0 ? [rom] : [])]);
  }

  private layoutPieces(): Slot[] {
    const { ramOffset, ramBytes, romBytes } = this.parts;
    return this.pieces.flatMap(({ readsRam, writesRam }, n) => {
      const gpa = WINDOW.end + n * PIECE;
      if (readsRam) {
        const size = Math.min(PIECE, ramBytes - gpa);
        return size > 0 ? [{ gpa, at: ramOffset + gpa, size, readOnly: !writesRam }] : [];
      }
      const fromEnd = MEGABYTE - gpa;
      if (gpa < SHADOW_ROM_BASE || fromEnd > romBytes) return [];
      return [{ gpa, at: ramOffset + ramBytes + romBytes - fromEnd, size: PIECE, readOnly: true }];
    });
  }

  private set(number: number, { gpa, at, size, readOnly }: Slot): void {
    const flags = (this.dirty === undefined ? 0 : K.MEM_LOG_DIRTY_PAGES) | (readOnly ? K.MEM_READONLY : 0);
    const region = new BigUint64Array(L.MEMORY_REGION_SIZE / 8);
    region[0] = BigInt(number) | (BigInt(flags) << 32n);
    region[1] = BigInt(gpa);
    region[2] = BigInt(size);
    region[3] = this.system.addressOf(this.bytes) + BigInt(at);
    const argument = new Uint8Array(region.buffer);
    needed(this.system.ioctlData(this.vm, K.IOCTL.SET_USER_MEMORY_REGION, argument), 'KVM_SET_USER_MEMORY_REGION');
  }

  private gatherDirty(): void {
    const { dirty, system } = this;
    if (dirty === undefined) return;
    for (const [number, slot] of this.slots.entries()) {
      if (slot === undefined || slot.readOnly) continue;
      const bitmap = new Uint8Array(Math.ceil(slot.size / PAGE / 64) * 8);
      const log = new BigUint64Array([BigInt(number), system.addressOf(bitmap)]);
      needed(system.ioctlData(this.vm, K.IOCTL.GET_DIRTY_LOG, new Uint8Array(log.buffer)), 'KVM_GET_DIRTY_LOG');
      const first = (slot.at - this.parts.ramOffset) / PAGE;
      for (const [at, bits] of bitmap.entries()) {
        for (let bit = 0; bits >> bit !== 0; bit++) {
          const page = first + 8 * at + bit;
          if (((bits >> bit) & 1) !== 0) dirty[page >> 3] |= 1 << (page & 7);
        }
      }
    }
  }
}

/** Neighbours that go on in the same memory are one. */
function merged(slots: readonly Slot[]): Slot[] {
  const result: Slot[] = [];
  for (const slot of slots) {
    const last = result.at(-1);
    const goesOn =
      last !== undefined &&
      last.readOnly === slot.readOnly &&
      last.gpa + last.size === slot.gpa &&
      last.at + last.size === slot.at;
    if (goesOn) result[result.length - 1] = { ...last, size: last.size + slot.size };
    else result.push(slot);
  }
  return result;
}
