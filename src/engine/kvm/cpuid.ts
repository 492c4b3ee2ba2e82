/** The CPUID table of a vCPU under KVM: the same profile as the translating engine's, as far as this host can do it. */
import { type CpuidEntry, commonFeatures } from '../../x86/system/cpuid-profile.js';
import { CPUID_SIGNIFICANT_INDEX } from './abi.js';
import * as L from './layout.js';

/** Bits that the machine provides whatever KVM says: TSC deadline and hypervisor; APIC; invariant TSC. */
const MACHINE_BITS: readonly (readonly [number, keyof CpuidEntry, number])[] = [
  [1, 'ecx', 0x81000000],
  [1, 'edx', 0x00000200],
  [0x80000007, 'edx', 0x100],
];

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

/** A profile without what KVM cannot do. */
export function kvmCpuid(supported: readonly CpuidEntry[], profile: readonly CpuidEntry[]): CpuidEntry[] {
  const possible = supported.map((entry) => {
    const added = MACHINE_BITS.filter(([leaf]) => leaf === entry.leaf).map(([, register, bits]) => {
      return [register, (Number(entry[register]) | bits) >>> 0] as const;
    });
    return { ...entry, ...Object.fromEntries(added) };
  });
  return commonFeatures(profile, possible);
}
