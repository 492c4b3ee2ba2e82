/**
 * The processor's state at the three kinds of entry that kernels know: flat 32-bit protected mode without paging (PVH,
 * Multiboot, 32-bit Linux) and 64-bit mode with the low 4 GiB identity-mapped (64-bit Linux). Descriptor table and page
 * tables are built in guest RAM, because a kernel reloads segment registers before it has tables of its own.
 */
import type { CpuState, SegmentState } from '../../engine/engine.js';
import { BOOT_CS, BOOT_DS } from '../../spec/boot/linux.js';

/** Segment attributes as SEGMENT_ATTRIBUTES in x86/state.ts: the descriptor's access byte, and AVL L D/B G above it. */
const CODE32 = 0xc09b;
const CODE64 = 0xa09b;
const DATA32 = 0xc093;
const TSS32_BUSY = 0x008b;
const LDT_UNUSABLE = 0x10082;

const BOOT_TSS = 0x20;
const TSS_LIMIT = 0x67;
const FLAT_LIMIT = 0xffffffff;
export const GDT_SIZE = 0x28;

const CR0_PE = 0x1n;
const CR0_ET = 0x10n;
const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
const EFER_LME_LMA = 0x500n;
export const RFLAGS_RESERVED = 0x2n;
const DR6_RESET = 0xffff0ff0n;
const DR7_RESET = 0x400n;
export const IA32_PAT = 0x277;
export const PAT_RESET = 0x0007_0406_0007_0406n;
/** What firmware leaves: MTRRs on, everything write-back. A kernel that finds them off gives up the PAT as well. */
export const IA32_MTRR_DEF_TYPE = 0x2ff;
const MTRR_ENABLED_WRITE_BACK = 0x806n;

const FXSAVE_SIZE = 512;
const FCW_INIT = 0x37f;
const MXCSR_RESET = 0x1f80;
const MXCSR_MASK = 0xffff;

const PTE_PRESENT_WRITE = 0x3;
const PDE_LARGE = 0x83;
const TABLE_SIZE = 0x1000;
const LARGE_PAGE = 0x200000;
const GIB_IDENTITY_MAPPED = 4;
/** PML4, PDPT and a page directory per GiB. */
export const PAGE_TABLES_SIZE = TABLE_SIZE * (2 + GIB_IDENTITY_MAPPED);

/** What each kind of start sets itself. */
type SetByEntry = 'gpr' | 'rip' | 'rflags' | 'segments' | 'gdtr' | 'idtr' | 'cr0' | 'msrs';

/** Registers an entry protocol sets; all others are zero. */
export interface EntryRegisters {
  readonly rip: number;
  readonly rax?: number;
  readonly rbx?: number;
  readonly rsi?: number;
}

/** Flat 32-bit protected mode, paging off. */
export function protectedModeState(ram: Uint8Array, gdtAddress: number, entry: EntryRegisters): CpuState {
  writeGdt(ram, gdtAddress, CODE32);
  return state(gdtAddress, CODE32, entry);
}

/** 64-bit mode, supervisor, the low 4 GiB identity-mapped with 2 MiB pages by tables at `pageTables`. */
export function longModeState(
  ram: Uint8Array,
  gdtAddress: number,
  pageTables: number,
  entry: EntryRegisters,
): CpuState {
  writeGdt(ram, gdtAddress, CODE64);
  writeIdentityMap(ram, pageTables);
  const cpu = state(gdtAddress, CODE64, entry);
  cpu.cr0 |= CR0_PG;
  cpu.cr3 = BigInt(pageTables);
  cpu.cr4 = CR4_PAE;
  cpu.efer = EFER_LME_LMA;
  return cpu;
}

function state(gdtAddress: number, codeAttributes: number, entry: EntryRegisters): CpuState {
  const gpr = new Array<bigint>(16).fill(0n);
  gpr[0] = BigInt(entry.rax ?? 0);
  gpr[3] = BigInt(entry.rbx ?? 0);
  gpr[6] = BigInt(entry.rsi ?? 0);
  const data = (): SegmentState => ({
    base: 0n,
    limit: FLAT_LIMIT,
    attributes: DATA32,
    selector: BOOT_DS,
  });
  return {
    gpr,
    rip: BigInt(entry.rip),
    rflags: RFLAGS_RESERVED,
    segments: [
      data(),
      {
        base: 0n,
        limit: FLAT_LIMIT,
        attributes: codeAttributes,
        selector: BOOT_CS,
      },
      data(),
      data(),
      data(),
      data(),
      { base: 0n, limit: 0, attributes: LDT_UNUSABLE, selector: 0 },
      {
        base: 0n,
        limit: TSS_LIMIT,
        attributes: TSS32_BUSY,
        selector: BOOT_TSS,
      },
    ],
    gdtr: { base: BigInt(gdtAddress), limit: GDT_SIZE - 1 },
    idtr: { base: 0n, limit: 0 },
    ...resetControls(FCW_INIT),
    cr0: CR0_PE | CR0_ET,
    msrs: new Map([
      [IA32_PAT, PAT_RESET],
      [IA32_MTRR_DEF_TYPE, MTRR_ENABLED_WRITE_BACK],
    ]),
  };
}

/** What every start has in common. SDM Vol. 3A, "Processor State After Reset". */
export function resetControls(controlWord: number): Omit<CpuState, SetByEntry> {
  return {
    cr2: 0n,
    cr3: 0n,
    cr4: 0n,
    cr8: 0n,
    efer: 0n,
    xcr0: 1n,
    dr: [0n, 0n, 0n, 0n, 0n, 0n, DR6_RESET, DR7_RESET],
    fxsave: resetFxsave(controlWord),
    halted: false,
    interruptShadow: false,
    nmiBlocked: false,
  };
}

/** After FNINIT, but for the control word, and with MXCSR at its reset value. SDM Vol. 1, "FXSAVE Area". */
function resetFxsave(controlWord: number): Uint8Array {
  const image = new Uint8Array(FXSAVE_SIZE);
  const view = new DataView(image.buffer);
  view.setUint16(0, controlWord, true);
  view.setUint32(24, MXCSR_RESET, true);
  view.setUint32(28, MXCSR_MASK, true);
  return image;
}

function writeGdt(ram: Uint8Array, address: number, codeAttributes: number): void {
  const view = new DataView(ram.buffer, ram.byteOffset + address, GDT_SIZE);
  ram.fill(0, address, address + GDT_SIZE);
  writeDescriptor(view, BOOT_CS, 0xfffff, codeAttributes);
  writeDescriptor(view, BOOT_DS, 0xfffff, DATA32);
  writeDescriptor(view, BOOT_TSS, TSS_LIMIT, TSS32_BUSY);
}

/** Base 0. SDM Vol. 3A, "Segment Descriptors". */
function writeDescriptor(view: DataView, offset: number, limit: number, attributes: number): void {
  view.setUint32(offset, limit & 0xffff, true);
  view.setUint32(offset + 4, (attributes << 8) | (limit & 0xf0000), true);
}

function writeIdentityMap(ram: Uint8Array, address: number): void {
  ram.fill(0, address, address + PAGE_TABLES_SIZE);
  const view = new DataView(ram.buffer, ram.byteOffset + address, PAGE_TABLES_SIZE);
  const pdpt = TABLE_SIZE;
  const directories = 2 * TABLE_SIZE;
  view.setUint32(0, (address + pdpt) | PTE_PRESENT_WRITE, true);
  for (let gib = 0; gib < GIB_IDENTITY_MAPPED; gib++) {
    view.setUint32(pdpt + gib * 8, (address + directories + gib * TABLE_SIZE) | PTE_PRESENT_WRITE, true);
  }
  for (let page = 0; page < GIB_IDENTITY_MAPPED * 512; page++) {
    view.setUint32(directories + page * 8, page * LARGE_PAGE + PDE_LARGE, true);
  }
}
