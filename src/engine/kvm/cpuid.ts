/** The CPUID table of a vCPU under KVM: the same profile as the translating engine's, as far as this host can do it. */
import { type CpuidEntry, CRYSTAL_HZ, cpuidEntries } from '../../x86/system/cpuid-profile.js';
import { CPUID_SIGNIFICANT_INDEX } from './abi.js';
import * as L from './layout.js';

type FeatureRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

/** Registers that are sets of features: leaf, subleaf, register, and the bits that the machine provides whatever KVM says. */
const FEATURE_WORDS: readonly (readonly [number, number, FeatureRegister, number])[] = [
  // TSC deadline and the hypervisor bit; APIC.
  [1, 0, 'ecx', 0x81000000],
  [1, 0, 'edx', 0x00000200],
  [7, 0, 'ebx', 0],
  [7, 0, 'ecx', 0],
  [7, 0, 'edx', 0],
  [0xd, 1, 'eax', 0],
  [0x80000001, 0, 'ecx', 0],
  [0x80000001, 0, 'edx', 0],
  // Invariant TSC.
  [0x80000007, 0, 'edx', 0x100],
];

/** A feature of our profile that KVM does not offer here. */
export interface MissingFeature {
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: FeatureRegister;
  readonly bits: number;
}

const key = (leaf: number, subleaf: number): string => `${leaf}:${subleaf}`;

export function readCpuidTable(bytes: Uint8Array): CpuidEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const count = view.getUint32(0, true);
  return Array.from({ length: count }, (_, n) => {
    const word = (k: number): number => view.getUint32(L.CPUID_FIRST + n * L.CPUID_ENTRY_SIZE + 4 * k, true);
    const hasSubleaves = (word(2) & CPUID_SIGNIFICANT_INDEX) !== 0;
    return {
      leaf: word(0),
      subleaf: hasSubleaves ? word(1) : undefined,
      eax: word(3),
      ebx: word(4),
      ecx: word(5),
      edx: word(6),
    };
  });
}

export function writeCpuidTable(entries: readonly CpuidEntry[]): Uint8Array {
  const bytes = new Uint8Array(L.CPUID_FIRST + entries.length * L.CPUID_ENTRY_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, entries.length, true);
  for (const [n, { leaf, subleaf, eax, ebx, ecx, edx }] of entries.entries()) {
    const flags = subleaf === undefined ? 0 : CPUID_SIGNIFICANT_INDEX;
    for (const [k, word] of [leaf, subleaf ?? 0, flags, eax, ebx, ecx, edx].entries()) {
      view.setUint32(L.CPUID_FIRST + n * L.CPUID_ENTRY_SIZE + 4 * k, word, true);
    }
  }
  return bytes;
}

/** Our profile, without what KVM cannot do, and with the TSC's real frequency. */
export function kvmCpuid(
  supported: readonly CpuidEntry[],
  tscHz: number,
  profile: readonly CpuidEntry[] = cpuidEntries(),
): { entries: CpuidEntry[]; missing: MissingFeature[] } {
  const offered = new Map(supported.map((entry) => [key(entry.leaf, entry.subleaf ?? 0), entry]));
  const missing: MissingFeature[] = [];
  const entries = profile.map((entry) => {
    const changed = { ...entry };
    for (const [leaf, subleaf, register, own] of FEATURE_WORDS) {
      if (entry.leaf !== leaf || (entry.subleaf ?? 0) !== subleaf) continue;
      const possible = ((offered.get(key(leaf, subleaf))?.[register] ?? 0) | own) >>> 0;
      const bits = (entry[register] & ~possible) >>> 0;
      if (bits !== 0) missing.push({ leaf, subleaf, register, bits });
      changed[register] = (entry[register] & possible) >>> 0;
    }
    if (entry.leaf === 0x15) Object.assign(changed, tscRatio(tscHz));
    if (entry.leaf === 0x16) Object.assign(changed, { eax: Math.round(tscHz / 1e6), ebx: Math.round(tscHz / 1e6) });
    return changed;
  });
  return { entries, missing };
}

/** Leaf 15H: TSC = crystal * EBX / EAX. In units of 1 kHz, so that every frequency KVM tells can be written. */
function tscRatio(tscHz: number): { eax: number; ebx: number; ecx: number } {
  return { eax: CRYSTAL_HZ / 1000, ebx: Math.round(tscHz / 1000), ecx: CRYSTAL_HZ };
}
