/**
 * The processor's saved state: CpuState as JSON, and the checks that keep a hostile file from making a processor that no
 * guest could have made. Modelled on SDM Vol. 3C, "Checks on Guest Control Registers, Debug Registers, and MSRs" and
 * "Checks on Guest Segment Registers".
 */
import {
  bits,
  checkFields,
  checkState,
  type Field,
  flag,
  list,
  orNull,
  part,
  StateError,
  type StateOf,
  stateKind,
  u16,
  u32,
} from '../base/state.js';
import type { CpuState, SegmentState } from '../engine/engine.js';

const CR0_PE = 1n;
const CR0_NW = 1n << 29n;
const CR0_CD = 1n << 30n;
const CR0_PG = 1n << 31n;
/** PE MP EM TS ET NE WP AM NW CD PG. */
const CR0_KNOWN = 0xe005003fn;
const CR4_PAE = 1n << 5n;
const CR4_PCIDE = 1n << 17n;
/** VME to UMIP, FSGSBASE PCIDE OSXSAVE SMEP SMAP. */
const CR4_KNOWN = 0x370fffn;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;
/** SCE LME LMA NXE. */
const EFER_KNOWN = 0xd01n;
const RFLAGS_FIXED = 2n;
const RFLAGS_VM = 1n << 17n;
const RFLAGS_KNOWN = 0x3f7fd7n;
const XCR0_X87 = 1n;
const XCR0_KNOWN = 3n;
const PHYSICAL_LIMIT = 1n << 52n;
const PRESENT = 1n;
/** Type, S, DPL, P; AVL, L, D/B, G; unusable. */
const ATTRIBUTES = 0x1f0ff;
const ATTRIBUTE_L = 1 << 13;
const CS = 1;
const SS = 2;
const MXCSR_KNOWN = 0xffff;
const FXSAVE_SIZE = 512;
const FXSAVE_MXCSR = 24;
const DEBUG_PENDING = 0xf;

type MsrCheck = (value: bigint) => boolean;

const any: MsrCheck = () => true;
const low32: MsrCheck = (value) => value < 1n << 32n;
const noneBut =
  (mask: bigint): MsrCheck =>
  (value) =>
    (value & ~mask) === 0n;
/** Memory types UC WC WT WP WB, and UC- where 7 is allowed. SDM Vol. 3A, "Memory Types". */
const types =
  (allowed: readonly bigint[]): MsrCheck =>
  (value) =>
    [0n, 8n, 16n, 24n, 32n, 40n, 48n, 56n].every((shift) => allowed.includes((value >> shift) & 255n));
const mtrrTypes = [0n, 1n, 4n, 5n, 6n];
const defaultType: MsrCheck = (value) => noneBut(0xcffn)(value) && mtrrTypes.includes(value & 255n);
const variableBase: MsrCheck = (value) => noneBut((PHYSICAL_LIMIT - 1n) & ~0xf00n)(value);
const variableMask: MsrCheck = noneBut((PHYSICAL_LIMIT - 1n) & ~0x7ffn);

/** First, last, what a saved value may be. */
const MSRS: readonly (readonly [number, number, MsrCheck])[] = [
  [0x10, 0x10, any],
  [0x3b, 0x3b, any],
  [0x48, 0x48, noneBut(0x407n)],
  [0x8b, 0x8b, any],
  [0x174, 0x174, low32],
  [0x175, 0x176, isCanonical],
  [0x17a, 0x17a, noneBut(7n)],
  [0x1a0, 0x1a0, any],
  [0x1d9, 0x1d9, noneBut(3n)],
  ...Array.from({ length: 8 }, (_, n) => [0x200 + 2 * n, 0x200 + 2 * n, variableBase] as const),
  ...Array.from({ length: 8 }, (_, n) => [0x201 + 2 * n, 0x201 + 2 * n, variableMask] as const),
  [0x250, 0x250, types(mtrrTypes)],
  [0x258, 0x259, types(mtrrTypes)],
  [0x268, 0x26f, types(mtrrTypes)],
  [0x277, 0x277, types([...mtrrTypes, 7n])],
  [0x2ff, 0x2ff, defaultType],
  [0xc0000081, 0xc0000081, any],
  [0xc0000082, 0xc0000083, isCanonical],
  [0xc0000084, 0xc0000084, low32],
  [0xc0000102, 0xc0000102, isCanonical],
  [0xc0000103, 0xc0000103, low32],
];

function isCanonical(value: bigint): boolean {
  const top = BigInt.asUintN(64, value) >> 47n;
  return top === 0n || top === 0x1ffffn;
}

// ---- JSON: numbers of 64 bits are hexadecimal text ----

const u64: Field<string> = {
  what: 'a number of 64 bits',
  accepts: (value): value is string => typeof value === 'string' && /^[\da-f]{1,16}$/.test(value),
};
const image: Field<string> = {
  what: `${FXSAVE_SIZE} bytes`,
  accepts: (value): value is string =>
    typeof value === 'string' && value.length === 2 * FXSAVE_SIZE && /^[\da-f]*$/.test(value),
};

interface SavedSegment {
  base: string;
  limit: number;
  attributes: number;
  selector: number;
}
interface SavedTable {
  base: string;
  limit: number;
}
interface SavedMsr {
  msr: number;
  value: string;
}
const SEGMENT = { base: u64, limit: u32, attributes: bits(ATTRIBUTES), selector: u16 };
const TABLE = { base: u64, limit: u16 };
const MSR = { msr: u32, value: u64 };
const MOST_MSRS = 256;

const STATE = stateKind('cpu', 1, {
  gpr: list(u64, 16),
  rip: u64,
  rflags: u64,
  segments: list(part<SavedSegment>(), 8),
  gdtr: part<SavedTable>(),
  idtr: part<SavedTable>(),
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  xcr0: u64,
  dr: list(u64, 8),
  pdptes: orNull(list(u64, 4)),
  msrs: list(part<SavedMsr>(), 0, MOST_MSRS),
  fxsave: image,
  fpuCs: u16,
  fpuDs: u16,
  xstateBv: u64,
  pendingDebug: bits(DEBUG_PENDING),
  halted: flag,
  interruptShadow: flag,
  nmiBlocked: flag,
});
export type SavedCpu = StateOf<typeof STATE>;

export function saveCpu(cpu: CpuState): SavedCpu {
  const table = ({ base, limit }: { base: bigint; limit: number }): SavedTable => ({ base: hex(base), limit });
  return {
    kind: STATE.kind,
    version: STATE.version,
    gpr: cpu.gpr.map(hex),
    rip: hex(cpu.rip),
    rflags: hex(cpu.rflags),
    segments: cpu.segments.map(({ base, limit, attributes, selector }) => ({
      base: hex(base),
      limit,
      attributes: attributes & ATTRIBUTES,
      selector,
    })),
    gdtr: table(cpu.gdtr),
    idtr: table(cpu.idtr),
    cr0: hex(cpu.cr0),
    cr2: hex(cpu.cr2),
    cr3: hex(cpu.cr3),
    cr4: hex(cpu.cr4),
    cr8: hex(cpu.cr8),
    efer: hex(cpu.efer),
    xcr0: hex(cpu.xcr0),
    dr: cpu.dr.map(hex),
    pdptes: cpu.pdptes?.map(hex) ?? null,
    msrs: [...cpu.msrs].map(([msr, value]) => ({ msr, value: hex(value) })),
    fxsave: [...cpu.fxsave].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
    fpuCs: cpu.fpuCs ?? 0,
    fpuDs: cpu.fpuDs ?? 0,
    xstateBv: hex((cpu.xstateBv ?? XCR0_KNOWN) & XCR0_KNOWN),
    pendingDebug: cpu.pendingDebug ?? 0,
    halted: cpu.halted,
    interruptShadow: cpu.interruptShadow,
    nmiBlocked: cpu.nmiBlocked,
  };
}

/** Throws StateError for a state that no processor of this machine can be in. */
export function loadCpu(saved: SavedCpu): CpuState {
  checkState(saved, STATE);
  const table = (value: SavedTable, name: string): { base: bigint; limit: number } => {
    checkFields<SavedTable>(value, `cpu's ${name}`, TABLE);
    return { base: big(value.base), limit: value.limit };
  };
  const cpu: CpuState = {
    gpr: saved.gpr.map(big),
    rip: big(saved.rip),
    rflags: big(saved.rflags),
    segments: saved.segments.map((segment) => {
      checkFields<SavedSegment>(segment, "cpu's segment", SEGMENT);
      const { base, limit, attributes, selector } = segment;
      return { base: big(base), limit, attributes, selector };
    }),
    gdtr: table(saved.gdtr, 'GDTR'),
    idtr: table(saved.idtr, 'IDTR'),
    cr0: big(saved.cr0),
    cr2: big(saved.cr2),
    cr3: big(saved.cr3),
    cr4: big(saved.cr4),
    cr8: big(saved.cr8),
    efer: big(saved.efer),
    xcr0: big(saved.xcr0),
    dr: saved.dr.map(big),
    ...(saved.pdptes === null ? {} : { pdptes: saved.pdptes.map(big) }),
    msrs: new Map(saved.msrs.map(loadMsr)),
    fxsave: Uint8Array.from({ length: FXSAVE_SIZE }, (_, n) =>
      Number.parseInt(saved.fxsave.slice(2 * n, 2 * n + 2), 16),
    ),
    fpuCs: saved.fpuCs,
    fpuDs: saved.fpuDs,
    xstateBv: big(saved.xstateBv),
    pendingDebug: saved.pendingDebug,
    halted: saved.halted,
    interruptShadow: saved.interruptShadow,
    nmiBlocked: saved.nmiBlocked,
  };
  for (const [what, isGood] of Object.entries(RULES)) {
    if (!isGood(cpu)) throw new StateError(`the saved state of cpu is damaged: ${what} cannot be`);
  }
  return cpu;
}

function loadMsr(saved: SavedMsr): [number, bigint] {
  checkFields<SavedMsr>(saved, "cpu's MSR", MSR);
  const value = big(saved.value);
  const row = MSRS.find(([first, last]) => saved.msr >= first && saved.msr <= last);
  if (row === undefined || !row[2](value)) {
    throw new StateError(`the saved state of cpu is damaged: MSR 0x${saved.msr.toString(16)} cannot be ${saved.value}`);
  }
  return [saved.msr, value];
}

const segment = (cpu: CpuState, n: number): SegmentState => cpu.segments[n] as SegmentState;
const has = (value: bigint, bit: bigint): boolean => (value & bit) !== 0n;
const cpl = (cpu: CpuState): number => (segment(cpu, SS).attributes >> 5) & 3;
const isCode64 = (cpu: CpuState): boolean =>
  has(cpu.efer, EFER_LMA) && (segment(cpu, CS).attributes & ATTRIBUTE_L) !== 0;

/** What each rule is about, as the end of a sentence. */
const RULES: Readonly<Record<string, (cpu: CpuState) => boolean>> = {
  CR0: ({ cr0 }) =>
    noneBut(CR0_KNOWN)(cr0) && (!has(cr0, CR0_PG) || has(cr0, CR0_PE)) && (!has(cr0, CR0_NW) || has(cr0, CR0_CD)),
  CR3: ({ cr3 }) => cr3 < PHYSICAL_LIMIT,
  CR4: ({ cr4, efer }) =>
    noneBut(CR4_KNOWN)(cr4) &&
    (!has(efer, EFER_LMA) || has(cr4, CR4_PAE)) &&
    (!has(cr4, CR4_PCIDE) || has(efer, EFER_LMA)),
  CR8: ({ cr8 }) => cr8 < 16n,
  EFER: ({ efer, cr0 }) =>
    noneBut(EFER_KNOWN)(efer) && has(efer, EFER_LMA) === (has(efer, EFER_LME) && has(cr0, CR0_PG)),
  XCR0: ({ xcr0 }) => noneBut(XCR0_KNOWN)(xcr0) && has(xcr0, XCR0_X87),
  XSTATE_BV: ({ xstateBv }) => noneBut(XCR0_KNOWN)(xstateBv ?? 0n),
  RFLAGS: ({ rflags, efer, cr0 }) =>
    noneBut(RFLAGS_KNOWN)(rflags) &&
    has(rflags, RFLAGS_FIXED) &&
    (!has(rflags, RFLAGS_VM) || (has(cr0, CR0_PE) && !has(efer, EFER_LMA))),
  'the privilege level': (cpu) =>
    has(cpu.rflags, RFLAGS_VM) ? cpl(cpu) === 3 : has(cpu.cr0, CR0_PE) || cpl(cpu) === 0,
  // "Checks on Guest RIP, RFLAGS, and SSP": the end of the lower half is allowed, its first fetch faults.
  RIP: (cpu) => (isCode64(cpu) ? [0n, 0xffffn].includes(cpu.rip >> 48n) : cpu.rip < 1n << 32n),
  'DR6 or DR7': ({ dr }) => (dr[6] as bigint) < 1n << 32n && (dr[7] as bigint) < 1n << 32n,
  'a PDPTE': ({ pdptes }) => (pdptes ?? []).every((entry) => !has(entry, PRESENT) || entry < PHYSICAL_LIMIT),
  'a base address': ({ segments, gdtr, idtr }) => [...segments, gdtr, idtr].every(({ base }) => isCanonical(base)),
  MXCSR: ({ fxsave }) => (new DataView(fxsave.buffer).getUint32(FXSAVE_MXCSR, true) & ~MXCSR_KNOWN) === 0,
};

function hex(value: bigint): string {
  return BigInt.asUintN(64, value).toString(16);
}

function big(text: string): bigint {
  return BigInt(`0x${text}`);
}
