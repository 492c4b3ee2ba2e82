/**
 * The processor our guests see: Intel's rules, an unused model of family 6 (so that no kernel applies a known part's errata),
 * every feature that the evaluators implement, and for each one that is missing the reason.
 */
import { CPUID_FEATURES, type CpuidFeature, type CpuidRegister } from '../../spec/x86/cpuid.js';
import { CPU_BASE, CPUID_CAPACITY, CPUID_COUNT, CPUID_ENTRY_SIZE, CPUID_TABLE, PHYSICAL_BITS } from '../state.js';

export interface CpuidEntry {
  readonly leaf: number;
  /** Undefined: the leaf has no subleaves. */
  readonly subleaf: number | undefined;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

export interface CpuidOptions {
  readonly apicId: number;
  readonly cpuCount: number;
  readonly physicalBits: number;
  /** Default TSC_HZ. */
  readonly tscHz?: number;
}

export const TSC_HZ = 1_000_000_000;
/** The core crystal; also the local APIC timer's input, as kernels conclude from leaf 0x15. */
export const CRYSTAL_HZ = 25_000_000;
export const CPU_BRAND = 'Trapeze Virtual CPU';
export const DEFAULT_CPUID_OPTIONS: CpuidOptions = { apicId: 0, cpuCount: 1, physicalBits: 39 };

const VENDOR = 'GenuineIntel';
const MAX_BASIC_LEAF = 0x16;
const MAX_EXTENDED_LEAF = 0x80000008;
/** Family 6, model 0x6f, stepping 1. */
const SIGNATURE = 0x000606f1;
const CACHE_LINE = 64;
const LINEAR_BITS = 48;
/** Legacy region and XSAVE header: all there is with x87 and SSE. */
const XSAVE_BYTES = 576;
const ANY_SUBLEAF = 0xffffffff;

/** Why a feature of the manual is not offered. `trapeze inspect cpu` prints it. */
export const WITHHELD_FEATURES: Readonly<Record<string, string>> = {
  pse36: 'guest RAM ends below 4 GiB',
  pn: 'no processor has it any more',
  dts: 'no branch or event records are written',
  acpi: 'no thermal MSRs',
  ht: 'one logical processor per core',
  tm: 'no thermal monitor',
  pbe: 'no power states that it would break',
  pclmulqdq: 'not part of x86-64-v2; comes with AVX',
  dtes64: 'no debug store',
  monitor: 'idle guests use HLT',
  vmx: 'nested virtualization is later work',
  smx: 'no trusted execution',
  est: 'one fixed frequency',
  fma: 'needs AVX state',
  pdcm: 'no performance counters',
  x2apic: 'the local APIC is memory-mapped; needed only above 255 vCPUs',
  movbe: 'part of x86-64-v3',
  aes: 'not part of x86-64-v2; comes with AVX',
  avx: 'the vector unit is 128 bits wide',
  f16c: 'needs AVX state',
  sgx: 'no enclaves',
  bmi1: 'part of x86-64-v3',
  hle: 'no transactions',
  avx2: 'needs AVX state',
  bmi2: 'part of x86-64-v3',
  rtm: 'no transactions',
  mpx: 'withdrawn by the manufacturer',
  avx512f: 'needs AVX-512 state',
  adx: 'not part of x86-64-v2',
  clflushopt: 'caches are not modelled; CLFLUSH suffices',
  clwb: 'caches are not modelled',
  sha_ni: 'not part of x86-64-v2',
  umip: 'SGDT, SIDT, SLDT, STR and SMSW stay readable by user code',
  pku: 'page walks know no protection keys',
  waitpkg: 'idle guests use HLT',
  shstk: 'no shadow stacks',
  gfni: 'not part of x86-64-v2',
  vaes: 'needs AVX state',
  vpclmulqdq: 'needs AVX state',
  la57: 'linear addresses have 48 bits',
  rdpid: 'RDTSCP gives the same',
  cldemote: 'caches are not modelled',
  movdiri: 'no direct stores',
  movdir64b: 'no direct stores',
  serialize: 'CPUID and IRET serialize',
  ibt: 'no indirect branch tracking',
  stibp: 'one logical processor per core',
  xsaves: 'there is no supervisor state to save',
  abm: 'LZCNT is part of x86-64-v3',
  ssbd: 'IA32_ARCH_CAPABILITIES says that stores are not bypassed',
};

export function isOffered(feature: CpuidFeature): boolean {
  return !(feature.name in WITHHELD_FEATURES);
}

/** The features offered, in the manual's order. */
export function offeredFeatures(): CpuidFeature[] {
  return CPUID_FEATURES.filter(isOffered);
}

function bits(leaf: number, subleaf: number, register: CpuidRegister): number {
  let value = 0;
  for (const f of CPUID_FEATURES) {
    if (f.leaf === leaf && f.subleaf === subleaf && f.register === register && isOffered(f)) value |= 1 << f.bit;
  }
  return value >>> 0;
}

function fourBytes(text: string, offset: number): number {
  let value = 0;
  for (let n = 3; n >= 0; n--) value = (value << 8) | (offset + n < text.length ? text.charCodeAt(offset + n) : 0);
  return value >>> 0;
}

type Registers = readonly [eax: number, ebx: number, ecx: number, edx: number];

function leaf(number: number, [eax, ebx, ecx, edx]: Registers): CpuidEntry {
  return { leaf: number, subleaf: undefined, eax, ebx, ecx, edx };
}

function subleaf(number: number, index: number, [eax, ebx, ecx, edx]: Registers): CpuidEntry {
  return { leaf: number, subleaf: index, eax, ebx, ecx, edx };
}

function text(number: number, source: string, offset: number): CpuidEntry {
  return leaf(number, [0, 4, 8, 12].map((n) => fourBytes(source, offset + n)) as unknown as Registers);
}

/** Leaf 4, "Deterministic Cache Parameters": type 1 data, 2 instruction, 3 unified. */
function cache(index: number, type: number, level: number, ways: number, sets: number): CpuidEntry {
  return subleaf(4, index, [type | (level << 5) | 0x100, (CACHE_LINE - 1) | ((ways - 1) << 22), sets - 1, 0]);
}

/** The whole table for one vCPU. */
export function cpuidEntries(options: CpuidOptions = DEFAULT_CPUID_OPTIONS): CpuidEntry[] {
  const { apicId, cpuCount, physicalBits, tscHz = TSC_HZ } = options;
  const coreShift = Math.ceil(Math.log2(Math.max(cpuCount, 1)));
  return [
    leaf(0, [MAX_BASIC_LEAF, fourBytes(VENDOR, 0), fourBytes(VENDOR, 8), fourBytes(VENDOR, 4)]),
    leaf(1, [
      SIGNATURE,
      ((apicId << 24) | (cpuCount << 16) | ((CACHE_LINE / 8) << 8)) >>> 0,
      bits(1, 0, 'ecx'),
      bits(1, 0, 'edx'),
    ]),
    // Descriptor 0xff: caches are described by leaf 4.
    leaf(2, [0x0000ff01, 0, 0, 0]),
    cache(0, 1, 1, 8, 64),
    cache(1, 2, 1, 8, 64),
    cache(2, 3, 2, 16, 1024),
    cache(3, 3, 3, 16, 16384),
    leaf(6, [bits(6, 0, 'eax'), 0, 0, 0]),
    subleaf(7, 0, [2, bits(7, 0, 'ebx'), bits(7, 0, 'ecx'), bits(7, 0, 'edx')]),
    subleaf(7, 2, [0, 0, 0, bits(7, 2, 'edx')]),
    // Topology: one thread per core, all cores in one package.
    subleaf(0xb, 0, [0, 1, 0x100, apicId]),
    subleaf(0xb, 1, [coreShift, cpuCount, 0x201, apicId]),
    // State components 0 (x87) and 1 (SSE); the size follows XCR0 but is the same for all its values.
    subleaf(0xd, 0, [3, XSAVE_BYTES, XSAVE_BYTES, 0]),
    subleaf(0xd, 1, [bits(0xd, 1, 'eax'), XSAVE_BYTES, 0, 0]),
    leaf(0x15, [...tscRatio(tscHz), CRYSTAL_HZ, 0]),
    leaf(0x16, [Math.round(tscHz / 1e6), Math.round(tscHz / 1e6), 100, 0]),
    leaf(0x80000000, [MAX_EXTENDED_LEAF, 0, 0, 0]),
    leaf(0x80000001, [0, 0, bits(0x80000001, 0, 'ecx'), bits(0x80000001, 0, 'edx')]),
    text(0x80000002, CPU_BRAND, 0),
    text(0x80000003, CPU_BRAND, 16),
    text(0x80000004, CPU_BRAND, 32),
    // L2: 64-byte lines, 16 ways, 1024 KiB.
    leaf(0x80000006, [0, 0, 0x04008040, 0]),
    leaf(0x80000007, [0, 0, 0, bits(0x80000007, 0, 'edx')]),
    leaf(0x80000008, [physicalBits | (LINEAR_BITS << 8), 0, 0, 0]),
  ];
}

/** Registers that are sets of features: leaf, subleaf, register. */
export const FEATURE_WORDS: readonly (readonly [number, number, CpuidRegister])[] = [
  [1, 0, 'ecx'],
  [1, 0, 'edx'],
  [7, 0, 'ebx'],
  [7, 0, 'ecx'],
  [7, 0, 'edx'],
  [0xd, 1, 'eax'],
  [0x80000001, 0, 'ecx'],
  [0x80000001, 0, 'edx'],
  [0x80000007, 0, 'edx'],
];

export function findEntry(table: readonly CpuidEntry[], number: number, index: number): CpuidEntry | undefined {
  return table.find((entry) => entry.leaf === number && (entry.subleaf ?? 0) === index);
}

/** A table with only those features that `other` has as well. */
export function commonFeatures(table: readonly CpuidEntry[], other: readonly CpuidEntry[]): CpuidEntry[] {
  return table.map((entry) => {
    const words = FEATURE_WORDS.filter(([number, index]) => entry.leaf === number && (entry.subleaf ?? 0) === index);
    const common = words.map(([number, index, name]) => {
      const theirs = findEntry(other, number, index)?.[name] ?? 0;
      return [name, (entry[name] & theirs) >>> 0] as const;
    });
    return { ...entry, ...Object.fromEntries(common) };
  });
}

/** Names of the features that `table` has and `other` has not. */
export function featuresBeyond(table: readonly CpuidEntry[], other: readonly CpuidEntry[]): string[] {
  return FEATURE_WORDS.flatMap(([number, index, name]) => {
    const mine = findEntry(table, number, index)?.[name] ?? 0;
    const more = mine & ~(findEntry(other, number, index)?.[name] ?? 0);
    return Array.from({ length: 32 }, (_, bit) => bit)
      .filter((bit) => ((more >>> bit) & 1) !== 0)
      .map((bit) => {
        const row = CPUID_FEATURES.find(
          (f) => f.leaf === number && f.subleaf === index && f.register === name && f.bit === bit,
        );
        return row?.name ?? `CPUID.${number.toString(16).toUpperCase()}H:${name.toUpperCase()}[${bit}]`;
      });
  });
}

/** Writes the table and PHYSICAL_BITS into a vCPU's state; `view` covers the VM's linear memory. */
export function writeCpuidTable(
  view: DataView,
  options: CpuidOptions = DEFAULT_CPUID_OPTIONS,
  entries: readonly CpuidEntry[] = cpuidEntries(options),
): void {
  if (entries.length > CPUID_CAPACITY) throw new RangeError(`CPUID table of ${entries.length} entries`);
  view.setUint32(CPU_BASE + PHYSICAL_BITS, options.physicalBits, true);
  view.setUint32(CPU_BASE + CPUID_COUNT, entries.length, true);
  entries.forEach((entry, n) => {
    const at = CPU_BASE + CPUID_TABLE + n * CPUID_ENTRY_SIZE;
    const { leaf: number, subleaf: index = ANY_SUBLEAF, eax, ebx, ecx, edx } = entry;
    [number, index, eax, ebx, ecx, edx].forEach((value, k) => {
      view.setUint32(at + k * 4, value, true);
    });
  });
}

/**
 * EAX and EBX of leaf 0x15: the TSC is the crystal times EBX / EAX, told in kHz and in lowest terms, since Linux multiplies
 * the crystal's kHz by EBX in 32 bits.
 */
function tscRatio(tscHz: number): [number, number] {
  const crystal = CRYSTAL_HZ / 1000;
  const tsc = Math.round(tscHz / 1000);
  const divide = (a: number, b: number): number => (b === 0 ? a : divide(b, a % b));
  const common = divide(crystal, tsc);
  if (crystal * (tsc / common) < 2 ** 32) return [crystal / common, tsc / common];
  // Too fine for such guests: whole MHz instead.
  const mhz = Math.round(tsc / 1000);
  const shared = divide(crystal / 1000, mhz);
  return [crystal / 1000 / shared, mhz / shared];
}
