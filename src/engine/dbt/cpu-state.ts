/** The engine-neutral processor state, out of and into the vCPU's linear memory. */
import * as S from '../../x86/state.js';
import type { CpuState, SegmentState } from '../engine.js';

const SEGMENTS = 8;
const SS_DPL = 0x60;
const TSC = 0x10;
/** x87 and SSE always count as in use. */
const XSTATE_IN_USE = 3n;
const STATUS_FLAGS = 0x8d5n;
const MXCSR_MASK = 0xffff;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const EFER_LMA = 1n << 10n;
const PDPTE_TABLE = 0xffffffe0n;

/** MSRs the processor owns: number -> offset in the state. SDM Vol. 4. */
const OWNED_MSRS: readonly (readonly [number, number])[] = [
  [0x3b, S.TSC_ADJUST],
  [0x8b, S.UCODE_REV],
  [0x174, S.SYSENTER_CS],
  [0x175, S.SYSENTER_ESP],
  [0x176, S.SYSENTER_EIP],
  [0x17a, S.MCG_STATUS],
  [0x1a0, S.MISC_ENABLE],
  [0x1d9, S.DEBUGCTL],
  [0x277, S.PAT],
  ...Array.from({ length: 16 }, (_, n) => [0x200 + n, S.MTRR_VARIABLE + 8 * n] as const),
  ...[0x250, 0x258, 0x259].map((msr, n) => [msr, S.MTRR_FIXED + 8 * n] as const),
  ...Array.from({ length: 8 }, (_, n) => [0x268 + n, S.MTRR_FIXED + 24 + 8 * n] as const),
  [0x2ff, S.MTRR_DEF_TYPE],
  [0x48, S.SPEC_CTRL],
  [0xc0000081, S.STAR],
  [0xc0000082, S.LSTAR],
  [0xc0000083, S.CSTAR],
  [0xc0000084, S.FMASK],
  [0xc0000102, S.KERNEL_GS_BASE],
  [0xc0000103, S.TSC_AUX],
];

/** What of the state only the runtime can tell. */
export interface StateRoutines {
  /** The six status flags, in their places. */
  computeFlags(): number;
  tscValue(): bigint;
}

export function saveCpuState(view: DataView, routines: StateRoutines): CpuState {
  const u64 = (offset: number): bigint => view.getBigUint64(S.CPU_BASE + offset, true);
  const u32 = (offset: number): number => view.getUint32(S.CPU_BASE + offset, true);
  const segments: SegmentState[] = [];
  for (let n = 0; n < SEGMENTS; n++) {
    const at = S.SEGMENT + n * S.SEGMENT_STRIDE;
    segments.push({
      base: u64(at + S.SEGMENT_BASE),
      limit: u32(at + S.SEGMENT_LIMIT),
      attributes: u32(at + S.SEGMENT_ATTRIBUTES),
      selector: u32(at + S.SEGMENT_SELECTOR),
    });
  }
  const stack = segments[S.SEG_SS] as SegmentState;
  stack.attributes = (stack.attributes & ~SS_DPL) | (u32(S.CPL) << 5);
  return {
    gpr: Array.from({ length: 16 }, (_, n) => u64(S.GPR + 8 * n)),
    rip: u64(S.RIP),
    rflags: u64(S.RFLAGS) | BigInt(routines.computeFlags()),
    segments,
    gdtr: { base: u64(S.GDTR_BASE), limit: u32(S.GDTR_LIMIT) },
    idtr: { base: u64(S.IDTR_BASE), limit: u32(S.IDTR_LIMIT) },
    cr0: u64(S.CR0),
    cr2: u64(S.CR2),
    cr3: u64(S.CR3),
    cr4: u64(S.CR4),
    cr8: u64(S.CR8),
    efer: u64(S.EFER),
    xcr0: u64(S.XCR0),
    dr: Array.from({ length: 8 }, (_, n) => u64(S.DR + 8 * n)),
    pdptes: Array.from({ length: 4 }, (_, n) => u64(S.PDPTE + 8 * n)),
    msrs: new Map([
      [TSC, BigInt.asUintN(64, routines.tscValue())],
      ...OWNED_MSRS.map(([msr, offset]) => [msr, u64(offset)] as const),
    ]),
    fxsave: saveFpu(view),
    fpuCs: view.getUint16(S.CPU_BASE + S.FPU_CS, true),
    fpuDs: view.getUint16(S.CPU_BASE + S.FPU_DS, true),
    xstateBv: XSTATE_IN_USE,
    pendingDebug: u32(S.PENDING_DEBUG),
    halted: u32(S.HALTED) !== 0,
    interruptShadow: u32(S.INTERRUPT_SHADOW) !== 0,
    nmiBlocked: u32(S.NMI_BLOCKED) !== 0,
  };
}

export function loadCpuState(view: DataView, state: CpuState, routines: StateRoutines): void {
  const u64 = (offset: number, v: bigint): void => view.setBigUint64(S.CPU_BASE + offset, BigInt.asUintN(64, v), true);
  const u32 = (offset: number, v: number): void => view.setUint32(S.CPU_BASE + offset, v >>> 0, true);
  for (const [n, v] of state.gpr.entries()) u64(S.GPR + 8 * n, v);
  u64(S.RIP, state.rip);
  u64(S.RFLAGS, (state.rflags & ~STATUS_FLAGS) | 2n);
  u32(S.CC_OP, S.CC_FLAGS * 4);
  u64(S.CC_SRC, state.rflags & STATUS_FLAGS);
  for (const [n, segment] of state.segments.entries()) {
    const at = S.SEGMENT + n * S.SEGMENT_STRIDE;
    u64(at + S.SEGMENT_BASE, segment.base);
    u32(at + S.SEGMENT_LIMIT, segment.limit);
    u32(at + S.SEGMENT_ATTRIBUTES, segment.attributes);
    u32(at + S.SEGMENT_SELECTOR, segment.selector);
  }
  u64(S.GDTR_BASE, state.gdtr.base);
  u32(S.GDTR_LIMIT, state.gdtr.limit);
  u64(S.IDTR_BASE, state.idtr.base);
  u32(S.IDTR_LIMIT, state.idtr.limit);
  u64(S.CR0, state.cr0);
  u64(S.CR2, state.cr2);
  u64(S.CR3, state.cr3);
  u64(S.CR4, state.cr4);
  u64(S.CR8, state.cr8);
  u64(S.EFER, state.efer);
  u64(S.XCR0, state.xcr0);
  for (const [n, v] of state.dr.entries()) u64(S.DR + 8 * n, v);
  for (const [n, v] of (state.pdptes ?? pdptesInMemory(view, state)).entries()) u64(S.PDPTE + 8 * n, v);
  for (const [msr, offset] of OWNED_MSRS) {
    const v = state.msrs.get(msr);
    if (v !== undefined) u64(offset, v);
  }
  const tsc = state.msrs.get(TSC);
  if (tsc !== undefined) {
    const offset = view.getBigUint64(S.CPU_BASE + S.TSC_OFFSET, true);
    u64(S.TSC_OFFSET, offset + tsc - routines.tscValue());
  }
  loadFpu(view, state.fxsave);
  view.setUint16(S.CPU_BASE + S.FPU_CS, state.fpuCs ?? 0, true);
  view.setUint16(S.CPU_BASE + S.FPU_DS, state.fpuDs ?? 0, true);
  u32(S.PENDING_DEBUG, state.pendingDebug ?? 0);
  u32(S.HALTED, state.halted ? 1 : 0);
  u32(S.INTERRUPT_SHADOW, state.interruptShadow ? 1 : 0);
  u32(S.NMI_BLOCKED, state.nmiBlocked ? 1 : 0);
  // The CPL is the privilege of SS. SDM Vol. 3C, "Guest Register State".
  u32(S.CPL, ((state.segments[S.SEG_SS] as SegmentState).attributes >> 5) & 3);
}

/** What a load of CR3 would take up: for states of engines that do not tell the registers. */
function pdptesInMemory(view: DataView, { cr0, cr3, cr4, efer }: CpuState): bigint[] {
  const table = Number(cr3 & PDPTE_TABLE);
  const isPaePaging = (cr0 & CR0_PG) !== 0n && (cr4 & CR4_PAE) !== 0n && (efer & EFER_LMA) === 0n;
  const isRam = table + 4 * 8 <= view.getUint32(S.CPU_BASE + S.RAM_SIZE, true);
  return Array.from({ length: 4 }, (_, n) =>
    isPaePaging && isRam ? view.getBigUint64(S.RAM + table + 8 * n, true) : 0n,
  );
}

// ---- FXSAVE64 image. SDM Vol. 1, "FXSAVE Area" ----
function saveFpu(view: DataView): Uint8Array {
  const image = new Uint8Array(512);
  const out = new DataView(image.buffer);
  const top = view.getUint8(S.CPU_BASE + S.FPU_TOP);
  out.setUint16(0, view.getUint16(S.CPU_BASE + S.FPU_CONTROL, true), true);
  out.setUint16(2, (view.getUint16(S.CPU_BASE + S.FPU_STATUS, true) & ~0x3800) | (top << 11), true);
  out.setUint8(4, ~view.getUint8(S.CPU_BASE + S.FPU_EMPTY) & 255);
  out.setUint16(6, view.getUint16(S.CPU_BASE + S.FPU_OPCODE, true), true);
  out.setBigUint64(8, view.getBigUint64(S.CPU_BASE + S.FPU_IP, true), true);
  out.setBigUint64(16, view.getBigUint64(S.CPU_BASE + S.FPU_DP, true), true);
  out.setUint32(24, view.getUint32(S.CPU_BASE + S.MXCSR, true), true);
  out.setUint32(28, MXCSR_MASK, true);
  for (let n = 0; n < 8; n++) {
    const from = S.CPU_BASE + S.FPR + 16 * ((top + n) & 7);
    out.setBigUint64(32 + 16 * n, view.getBigUint64(from, true), true);
    out.setUint16(40 + 16 * n, view.getUint16(from + 8, true), true);
  }
  for (let n = 0; n < 32; n++) out.setBigUint64(160 + 8 * n, view.getBigUint64(S.CPU_BASE + S.XMM + 8 * n, true), true);
  return image;
}

function loadFpu(view: DataView, image: Uint8Array): void {
  const from = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const status = from.getUint16(2, true);
  const top = (status >> 11) & 7;
  view.setUint16(S.CPU_BASE + S.FPU_CONTROL, from.getUint16(0, true), true);
  view.setUint16(S.CPU_BASE + S.FPU_STATUS, status, true);
  view.setUint8(S.CPU_BASE + S.FPU_TOP, top);
  view.setUint8(S.CPU_BASE + S.FPU_EMPTY, ~from.getUint8(4) & 255);
  view.setUint16(S.CPU_BASE + S.FPU_OPCODE, from.getUint16(6, true), true);
  view.setBigUint64(S.CPU_BASE + S.FPU_IP, from.getBigUint64(8, true), true);
  view.setBigUint64(S.CPU_BASE + S.FPU_DP, from.getBigUint64(16, true), true);
  view.setUint32(S.CPU_BASE + S.MXCSR, from.getUint32(24, true) & MXCSR_MASK, true);
  for (let n = 0; n < 8; n++) {
    const to = S.CPU_BASE + S.FPR + 16 * ((top + n) & 7);
    view.setBigUint64(to, from.getBigUint64(32 + 16 * n, true), true);
    view.setUint16(to + 8, from.getUint16(40 + 16 * n, true), true);
  }
  for (let n = 0; n < 32; n++)
    view.setBigUint64(S.CPU_BASE + S.XMM + 8 * n, from.getBigUint64(160 + 8 * n, true), true);
}
