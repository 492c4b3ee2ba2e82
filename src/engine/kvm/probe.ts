/**
 * What a host's /dev/kvm really does. Some hosts are guests themselves and emulate part of the processor, more or less well:
 * only running code tells.
 */
import { TrapezeError } from '../../base/errors.js';
import { type CpuidEntry, cpuidEntries } from '../../x86/system/cpuid-profile.js';
import { openKvm } from './engine.js';
import { missingFor } from './lapic.js';
import { CODE, type ProbeMode, RESULTS, runProbe, TWO_LEVEL_TABLES } from './probe-guest.js';
import type { System } from './system.js';

/** Nanoseconds per instruction up to which a loop counts as native: an emulator takes a hundred times as long. */
const NATIVE_NS = 20;
const FEW_LOOPS = 2000;
const MANY_LOOPS = 1_000_000;
const SURELY_EMULATED_NS = 150;

export interface KvmCapabilities {
  /** Nanoseconds per instruction of a short loop. */
  readonly ring0Ns: number;
  readonly ring3Ns: number;
  readonly compatibilityNs: number;
  /** Kernel code runs on the processor itself. */
  readonly ring0Native: boolean;
  /** Every instruction of our profile runs in ring 0; otherwise our interpreter steps what KVM refuses. */
  readonly ring0Complete: boolean;
  /** SYSCALL arrives in ring 0. */
  readonly syscall: boolean;
  /** INT n arrives at its gate. */
  readonly softwareInterrupts: boolean;
  /** The guest's CPUID says what it was told to say. */
  readonly cpuidMasking: boolean;
  /** Paging outside IA-32e mode. */
  readonly paging32: boolean;
  /** Breakpoints of debug registers stop ring 3, where SYSCALL needs the engine's help beside that. */
  readonly debugRegisters: boolean;
  /** The kernel can be the local APIC alone, with a timer of our frequency. */
  readonly splitIrqchip: boolean;
  /** It can have the other interrupt controllers and the 8254 as well. */
  readonly kernelIrqchip: boolean;
}

export type KvmProbe =
  | { readonly usable: false; readonly problem: string }
  | {
      readonly usable: true;
      readonly capabilities: KvmCapabilities;
      /** Features as a guest with our profile reads them. */
      readonly cpuid: readonly CpuidEntry[];
    };

/** What each capability is called where its lack is told. */
export const CAPABILITY_NAMES: Readonly<Record<Exclude<keyof KvmCapabilities, `${string}Ns`>, string>> = {
  ring0Native: 'ring 0 runs natively',
  ring0Complete: 'ring 0 runs every instruction',
  syscall: 'SYSCALL enters ring 0',
  softwareInterrupts: 'INT n from ring 3',
  cpuidMasking: 'CPUID can be masked',
  paging32: '32-bit paging',
  debugRegisters: 'breakpoints stop ring 3',
  splitIrqchip: 'local APIC in the kernel',
  kernelIrqchip: 'all interrupt controllers in the kernel',
};

const dword = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);

/** mov ecx, times; dec ecx; jnz -4 */
const loop = (times: number): number[] => [0xb9, ...dword(times), 0xff, 0xc9, 0x75, 0xfc];
/** out 0x80, al */
const OUT = [0xe6, 0x80];
const HLT = 0xf4;
/** mov dword [RESULTS], 1 with a 32-bit address in 32-bit code, RIP-free in 64-bit code (SIB without base). */
const MARK = [0xc7, 0x04, 0x25, ...dword(RESULTS), ...dword(1)];

/** Tries everything; takes some ten milliseconds. */
export function probeKvm(openSystem: () => System, now: () => number, lease?: SharedArrayBuffer): KvmProbe {
  try {
    const system = openSystem();
    const kvm = openKvm(system);
    const splitIrqchip = missingFor('split', system, kvm) === undefined;
    const kernelIrqchip = missingFor('kernel', system, kvm) === undefined;
    system.close(kvm);
    const capabilities = { ...measure(system, now, lease), splitIrqchip, kernelIrqchip };
    return { usable: true, capabilities, cpuid: visibleCpuid(system, now, lease) };
  } catch (error) {
    if (error instanceof TrapezeError) return { usable: false, problem: error.message };
    throw error;
  }
}

function measure(
  system: System,
  now: () => number,
  lease: SharedArrayBuffer | undefined,
): Omit<KvmCapabilities, 'splitIrqchip' | 'kernelIrqchip'> {
  const run = (mode: ProbeMode, code: readonly number[], options: Parameters<typeof runProbe>[4] = {}) =>
    runProbe(system, now, mode, code, { ...options, lease });
  const nsPerInstruction = (mode: 'long0' | 'long3' | 'compatibility3'): number => {
    // The first loop and OUT warm everything up.
    const time = (loops: number): number =>
      run(mode, [...loop(10), ...OUT, ...loop(loops), ...OUT, HLT]).ns / (2 * loops);
    const first = time(FEW_LOOPS);
    // Where it is fast, a short run tells of the way in and out only.
    return first < SURELY_EMULATED_NS ? time(MANY_LOOPS) : first;
  };
  const ring0Ns = nsPerInstruction('long0');
  // popcnt eax, ecx; movaps xmm0, xmm1; addps xmm0, xmm1; int3
  const wide = run('long0', [0xf3, 0x0f, 0xb8, 0xc1, 0x0f, 0x28, 0xc1, 0x0f, 0x58, 0xc1, 0xcc]);
  // syscall, and there: mov eax, cs; mov [RESULTS], eax; hlt
  const entered = run('long3', [0x0f, 0x05], { syscall: [0x8c, 0xc8, 0x89, 0x04, 0x25, ...dword(RESULTS), HLT] });
  const hasSyscall = (entered.results.getUint32(0, true) & 3) === 0 && entered.results.getUint32(0, true) !== 0;
  // Two NOPs, a breakpoint at the second, and HLT, which ring 3 may not do.
  const stopped = run('long3', [0x90, 0x90, HLT], { breakpoint: CODE + 1, repairSyscall: !hasSyscall });
  // int 0x80
  const interrupted = run('long3', [0xcd, 0x80]);
  // mov eax, TABLES; mov cr3, eax; mov eax, cr0; or eax, 0x80000000; mov cr0, eax; mark; hlt
  const paged = run('protected0', [
    ...[0xb8, ...dword(TWO_LEVEL_TABLES), 0x0f, 0x22, 0xd8],
    ...[0x0f, 0x20, 0xc0, 0x0d, ...dword(0x80000000), 0x0f, 0x22, 0xc0],
    ...[...MARK, HLT],
  ]);
  // mov eax, 7; xor ecx, ecx; cpuid; mov [RESULTS], ebx; hlt
  const masked = run('long0', [0xb8, ...dword(7), 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0x1c, 0x25, ...dword(RESULTS), HLT], {
    profile: cpuidEntries().map((entry) => (entry.leaf === 7 ? { ...entry, ebx: 0 } : entry)),
  });
  return {
    ring0Ns,
    ring3Ns: nsPerInstruction('long3'),
    compatibilityNs: nsPerInstruction('compatibility3'),
    ring0Native: ring0Ns < NATIVE_NS,
    ring0Complete: !wide.refused && wide.vector === 3,
    syscall: hasSyscall,
    softwareInterrupts: interrupted.vector === 0x80,
    cpuidMasking: masked.vector === -1 && masked.results.getUint32(0, true) === 0,
    debugRegisters: stopped.vector === 1,
    paging32: paged.vector === -1 && paged.results.getUint32(0, true) === 1,
  };
}

/** The leaves that hold features, as a guest with our profile reads them. */
function visibleCpuid(system: System, now: () => number, lease: SharedArrayBuffer | undefined): CpuidEntry[] {
  const leaves = cpuidEntries().filter(({ leaf }) =>
    [0, 1, 6, 7, 0xd, 0x80000001, 0x80000007, 0x80000008].includes(leaf),
  );
  const code = leaves.flatMap(({ leaf, subleaf }, n) => {
    const at = RESULTS + 16 * n;
    // mov eax, leaf; mov ecx, subleaf; cpuid; mov [at], eax; mov [at + 4], ebx; mov [at + 8], ecx; mov [at + 12], edx
    return [
      ...[0xb8, ...dword(leaf), 0xb9, ...dword(subleaf ?? 0), 0x0f, 0xa2],
      ...[0x89, 0x04, 0x25, ...dword(at), 0x89, 0x1c, 0x25, ...dword(at + 4)],
      ...[0x89, 0x0c, 0x25, ...dword(at + 8), 0x89, 0x14, 0x25, ...dword(at + 12)],
    ];
  });
  if (code.length + 1 > RESULTS - CODE) throw new RangeError('the CPUID probe does not fit');
  const { results } = runProbe(system, now, 'long0', [...code, HLT], { lease });
  return leaves.map(({ leaf, subleaf }, n) => {
    const word = (k: number): number => results.getUint32(16 * n + 4 * k, true);
    return { leaf, subleaf, eax: word(0), ebx: word(1), ecx: word(2), edx: word(3) };
  });
}

export interface EngineChoice {
  readonly engine: 'dbt' | 'kvm';
  readonly reason: string;
}

/** The faster engine of those that run guests correctly here. */
export function chooseEngine(probe: KvmProbe): EngineChoice {
  if (!probe.usable) return { engine: 'dbt', reason: probe.problem.replace(/; use --engine dbt$/, '') };
  const { capabilities } = probe;
  const lacking = (['syscall', 'softwareInterrupts', 'paging32', 'cpuidMasking', 'debugRegisters'] as const).filter(
    (name) => !capabilities[name],
  );
  if (lacking.length > 0) {
    const names = lacking.map((name) => CAPABILITY_NAMES[name]).join(', ');
    return { engine: 'dbt', reason: `/dev/kvm of this host is not correct: no "${names}"` };
  }
  if (!capabilities.ring0Native) {
    const ns = capabilities.ring0Ns.toFixed(0);
    return { engine: 'dbt', reason: `kernel code is emulated by this host (${ns} ns per instruction)` };
  }
  return { engine: 'kvm', reason: 'guest code runs on the processor itself' };
}
