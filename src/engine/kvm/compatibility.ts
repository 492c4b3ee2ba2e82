/**
 * Whether a guest that runs can go on under the other engine. Everything that it may rely on must be there: features it has
 * seen, modes it is in or has prepared. What is missing is named.
 */
import { type CpuidEntry, featuresBeyond } from '../../x86/system/cpuid-profile.js';
import type { CpuState } from '../engine.js';
import { CAPABILITY_NAMES, type KvmCapabilities } from './probe.js';

const CR0_PG = 1n << 31n;
const CR4_PCIDE = 1n << 17n;
/** DR7: a breakpoint is enabled. */
const DR7_ENABLED = 0xffn;
const EFER_SCE = 1n;
const EFER_LMA = 1n << 10n;
/** Gates that INT3, INTO and INT1 need are open to ring 3 in every system. */
const USUAL_USER_VECTORS: readonly number[] = [1, 3, 4];

export interface GuestView {
  readonly state: CpuState;
  /** CPUID as the guest has seen it so far. */
  readonly seen: readonly CpuidEntry[];
  /** Guest memory at a linear address; short where it is not mapped. */
  peek(linear: bigint, length: number): Uint8Array;
}

/** What a guest under the translating engine would miss under KVM. */
export function missingUnderKvm(
  guest: GuestView,
  capabilities: KvmCapabilities,
  visible: readonly CpuidEntry[],
): string[] {
  const { state, seen } = guest;
  const missing = featuresBeyond(seen, visible).map((name) => `CPU feature ${name}`);
  const isLong = (state.efer & EFER_LMA) !== 0n;
  const needs: readonly (readonly [keyof typeof CAPABILITY_NAMES, boolean])[] = [
    ['syscall', (state.efer & EFER_SCE) !== 0n],
    ['paging32', (state.cr0 & CR0_PG) !== 0n && !isLong],
    ['debugRegisters', ((state.dr[7] ?? 0n) & DR7_ENABLED) !== 0n],
    ['softwareInterrupts', hasUserGates(guest, isLong ? 16 : 8)],
  ];
  for (const [name, isNeeded] of needs) if (isNeeded && !capabilities[name]) missing.push(CAPABILITY_NAMES[name]);
  return missing;
}

/** What a guest under KVM would miss under the translating engine, whose features are `offered`. */
export function missingUnderDbt(guest: GuestView, offered: readonly CpuidEntry[]): string[] {
  const missing = featuresBeyond(guest.seen, offered).map((name) => `CPU feature ${name}`);
  const hasPcid = offered.some(({ leaf, ecx }) => leaf === 1 && (ecx & (1 << 17)) !== 0);
  if ((guest.state.cr4 & CR4_PCIDE) !== 0n && !hasPcid) missing.push('CPU feature pcid');
  if (guest.state.xcr0 > 3n) missing.push(`extended state 0x${guest.state.xcr0.toString(16)}`);
  return missing;
}

/** INT n from ring 3 leads somewhere, as i386 system calls do. */
function hasUserGates({ state, peek }: GuestView, size: number): boolean {
  if ((state.cr0 & 1n) === 0n) return false;
  const table = peek(state.idtr.base, state.idtr.limit + 1);
  for (let vector = 0; (vector + 1) * size <= table.length; vector++) {
    // Present, DPL 3.
    const isOpen = ((table[vector * size + 5] as number) & 0xe0) === 0xe0;
    if (isOpen && !USUAL_USER_VECTORS.includes(vector)) return true;
  }
  return false;
}
