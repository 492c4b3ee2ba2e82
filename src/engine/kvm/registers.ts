/** The engine-neutral processor state in KVM's structures: what kvm_run carries, and the rest by ioctl. */
import * as S from '../../x86/state.js';
import type { CpuState, SegmentState } from '../engine.js';
import { EVENTS_VALID_SHADOW } from './abi.js';
import * as L from './layout.js';

/** As SEGMENT_ATTRIBUTES in x86/state.ts. */
const UNUSABLE = 0x10000;
const SEGMENTS = 8;
const DEBUG_REGISTERS = 8;

export function readRegs(view: DataView, at: number): Pick<CpuState, 'gpr' | 'rip' | 'rflags'> {
  return {
    gpr: L.REGS_ORDER.map((place) => view.getBigUint64(at + 8 * place, true)),
    rip: view.getBigUint64(at + L.REGS_RIP, true),
    rflags: view.getBigUint64(at + L.REGS_RFLAGS, true),
  };
}

export function writeRegs(view: DataView, at: number, state: CpuState): void {
  for (const [n, place] of L.REGS_ORDER.entries()) view.setBigUint64(at + 8 * place, state.gpr[n], true);
  view.setBigUint64(at + L.REGS_RIP, state.rip, true);
  view.setBigUint64(at + L.REGS_RFLAGS, state.rflags | 2n, true);
}

function readSegment(view: DataView, at: number): SegmentState {
  const byte = (field: number): number => view.getUint8(at + field);
  const { SEGMENT: F } = L;
  const attributes =
    byte(F.TYPE) |
    (byte(F.S) << 4) |
    (byte(F.DPL) << 5) |
    (byte(F.PRESENT) << 7) |
    (byte(F.AVL) << 12) |
    (byte(F.L) << 13) |
    (byte(F.DB) << 14) |
    (byte(F.G) << 15);
  return {
    base: view.getBigUint64(at + F.BASE, true),
    limit: view.getUint32(at + F.LIMIT, true),
    attributes: byte(F.UNUSABLE) !== 0 ? attributes | UNUSABLE : attributes,
    selector: view.getUint16(at + F.SELECTOR, true),
  };
}

export function writeSegment(view: DataView, at: number, { base, limit, attributes, selector }: SegmentState): void {
  const { SEGMENT: F } = L;
  const bits = (shift: number, mask: number): number => (attributes >> shift) & mask;
  view.setBigUint64(at + F.BASE, base, true);
  view.setUint32(at + F.LIMIT, limit, true);
  view.setUint16(at + F.SELECTOR, selector, true);
  view.setUint8(at + F.TYPE, bits(0, 15));
  view.setUint8(at + F.S, bits(4, 1));
  view.setUint8(at + F.DPL, bits(5, 3));
  view.setUint8(at + F.PRESENT, bits(7, 1));
  view.setUint8(at + F.AVL, bits(12, 1));
  view.setUint8(at + F.L, bits(13, 1));
  view.setUint8(at + F.DB, bits(14, 1));
  view.setUint8(at + F.G, bits(15, 1));
  view.setUint8(at + F.UNUSABLE, (attributes & UNUSABLE) !== 0 ? 1 : 0);
}

type SystemRegisters = Pick<CpuState, 'segments' | 'gdtr' | 'idtr' | 'cr0' | 'cr2' | 'cr3' | 'cr4' | 'cr8' | 'efer'>;

export function readSregs(view: DataView, at: number): SystemRegisters {
  const u64 = (offset: number): bigint => view.getBigUint64(at + offset, true);
  const table = (offset: number): { base: bigint; limit: number } => ({
    base: u64(offset),
    limit: view.getUint16(at + offset + L.SREGS.DTABLE_LIMIT, true),
  });
  return {
    segments: L.SREGS_SEGMENT_ORDER.map((place) => readSegment(view, at + place * L.SREGS_SEGMENT_SIZE)),
    gdtr: table(L.SREGS.GDT),
    idtr: table(L.SREGS.IDT),
    cr0: u64(L.SREGS.CR0),
    cr2: u64(L.SREGS.CR2),
    cr3: u64(L.SREGS.CR3),
    cr4: u64(L.SREGS.CR4),
    cr8: u64(L.SREGS.CR8),
    efer: u64(L.SREGS.EFER),
  };
}

export function writeSregs(view: DataView, at: number, state: CpuState, apicBase: bigint): void {
  const u64 = (offset: number, value: bigint): void => view.setBigUint64(at + offset, value, true);
  for (let n = 0; n < SEGMENTS; n++) {
    writeSegment(view, at + L.SREGS_SEGMENT_ORDER[n] * L.SREGS_SEGMENT_SIZE, segmentFor(state, n));
  }
  const table = (offset: number, { base, limit }: { base: bigint; limit: number }): void => {
    u64(offset, base);
    view.setUint16(at + offset + L.SREGS.DTABLE_LIMIT, limit, true);
  };
  table(L.SREGS.GDT, state.gdtr);
  table(L.SREGS.IDT, state.idtr);
  u64(L.SREGS.CR0, state.cr0);
  u64(L.SREGS.CR2, state.cr2);
  u64(L.SREGS.CR3, state.cr3);
  u64(L.SREGS.CR4, state.cr4);
  u64(L.SREGS.CR8, state.cr8);
  u64(L.SREGS.EFER, state.efer);
  u64(L.SREGS.APIC_BASE, apicBase);
}

/**
 * An interrupt in flight is told by the event record. KVM only ever sets bits here when it fills kvm_run: one of long ago
 * would be injected again, whatever RFLAGS.IF says.
 */
export function clearInterruptBitmap(view: DataView, at: number): void {
  for (let n = 0; n < 4; n++) view.setBigUint64(at + L.SREGS.INTERRUPT_BITMAP + 8 * n, 0n, true);
}

/**
 * A VM entry wants TR usable and busy, whatever the guest has (it may not have run LTR yet), and granularity that agrees
 * with the limit. SDM Vol. 3C, "Checks on Guest Segment Registers".
 */
function segmentFor(state: CpuState, n: number): SegmentState {
  const segment = state.segments[n];
  let { attributes } = segment;
  if (n === S.SEG_TR) {
    const isPresent = (attributes & 0x80) !== 0 && (attributes & UNUSABLE) === 0;
    if (!isPresent) return { ...segment, limit: 0xffff, attributes: 0x8b };
    // Available types 1 and 9 become busy.
    attributes |= 2;
  }
  if ((attributes & UNUSABLE) === 0) {
    if (segment.limit > 0xfffff) attributes |= 0x8000;
    else if ((segment.limit & 0xfff) !== 0xfff) attributes &= ~0x8000;
  }
  return { ...segment, attributes };
}

type EventState = Pick<CpuState, 'interruptShadow' | 'nmiBlocked'>;

export function readEvents(view: DataView, at: number): EventState {
  return {
    interruptShadow: view.getUint8(at + L.EVENTS.INTERRUPT_SHADOW) !== 0,
    nmiBlocked: view.getUint8(at + L.EVENTS.NMI_MASKED) !== 0,
  };
}

/** An event whose delivery has begun and goes on with the next entry. */
export function isEventInFlight(view: DataView, at: number): boolean {
  const { EXCEPTION_INJECTED, EXCEPTION_PENDING, INTERRUPT_INJECTED, NMI_INJECTED, NMI_PENDING } = L.EVENTS;
  return [EXCEPTION_INJECTED, EXCEPTION_PENDING, INTERRUPT_INJECTED, NMI_INJECTED, NMI_PENDING].some(
    (field) => view.getUint8(at + field) !== 0,
  );
}

/** A non-maskable interrupt waits, is being delivered, or is handled. */
export function isNmiInFlight(view: DataView, at: number): boolean {
  const { NMI_INJECTED, NMI_PENDING, NMI_MASKED } = L.EVENTS;
  return [NMI_INJECTED, NMI_PENDING, NMI_MASKED].some((field) => view.getUint8(at + field) !== 0);
}

export function clearEvents(view: DataView, at: number): void {
  new Uint8Array(view.buffer, view.byteOffset + at, L.EVENTS_SIZE).fill(0);
}

export function writeEvents(view: DataView, at: number, state: EventState): void {
  clearEvents(view, at);
  view.setUint8(at + L.EVENTS.INTERRUPT_SHADOW, state.interruptShadow ? L.SHADOW_ANY : 0);
  view.setUint8(at + L.EVENTS.NMI_MASKED, state.nmiBlocked ? 1 : 0);
  view.setUint32(at + L.EVENTS.FLAGS, EVENTS_VALID_SHADOW, true);
}

export function readDebugRegisters(view: DataView): bigint[] {
  const dr = Array.from({ length: DEBUG_REGISTERS }, () => 0n);
  for (const [place, n] of L.DEBUGREGS_ORDER.entries()) dr[n] = view.getBigUint64(8 * place, true);
  return dr;
}

export function writeDebugRegisters(view: DataView, dr: readonly bigint[]): void {
  for (const [place, n] of L.DEBUGREGS_ORDER.entries()) view.setBigUint64(8 * place, dr[n], true);
}

/** Two FXSAVE images, but for MXCSR_MASK, which is each engine's own, and the bytes that no register has. */
export function isSameFpu(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, n) => byte === b[n] || (n >= 28 && n < 32) || n >= 416);
}

/** kvm_msrs of these numbers, with values where known. */
export function msrList(numbers: readonly number[], values?: ReadonlyMap<number, bigint>): Uint8Array {
  const bytes = new Uint8Array(L.MSRS_FIRST + numbers.length * L.MSR_ENTRY_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, numbers.length, true);
  for (const [n, number] of numbers.entries()) {
    const at = L.MSRS_FIRST + n * L.MSR_ENTRY_SIZE;
    view.setUint32(at, number, true);
    view.setBigUint64(at + 8, values?.get(number) ?? 0n, true);
  }
  return bytes;
}

export function readMsrList(bytes: Uint8Array, count: number): Map<number, bigint> {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const values = new Map<number, bigint>();
  for (let n = 0; n < count; n++) {
    const at = L.MSRS_FIRST + n * L.MSR_ENTRY_SIZE;
    values.set(view.getUint32(at, true), view.getBigUint64(at + 8, true));
  }
  return values;
}
