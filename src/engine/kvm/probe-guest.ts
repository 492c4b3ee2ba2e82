/**
 * Guests of a few bytes that ask a host's KVM what it really does. Each gets 512 KiB of RAM, an identity map that ring 3
 * may use, descriptor tables, and a HLT behind every vector, so that the place of the HLT tells what happened.
 *
 *   0x1000 page tables (4-level, large page)  0x4000 page tables (two-level)  0x6000 GDT  0x7000 IDT  0x8000 TSS
 *   0x9000 stubs  0xa000 code  0xb000 system call entry  0xc000 results  0xe000 stack of ring 0  0xf000 of ring 3
 */
import type { CpuidEntry } from '../../x86/system/cpuid-profile.js';
import type { CpuState, SegmentState } from '../engine.js';
import { KvmEngine } from './engine.js';
import type { System } from './system.js';

export const CODE = 0xa000;
export const SYSCALL_ENTRY = 0xb000;
export const RESULTS = 0xc000;
const RAM_BYTES = 512 << 10;
const WASM_PAGE = 65536;
const [PML4, PDPT, PD, PAGE_DIRECTORY, PAGE_TABLE] = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000];
const [GDT, IDT, TSS, STUBS] = [0x6000, 0x7000, 0x8000, 0x9000];
const KERNEL_STACK = 0xf000;
const USER_STACK = 0x10000;
const STUB_SIZE = 4;
const VECTORS = 256;
const HLT = 0xf4;
const SLICE_NS = 2e6;
/** Longer is not waited for a guest. */
const BUDGET_NS = 1e8;

/** Selectors in the order that SYSCALL and SYSRET want. */
const [CS64, DS, CS32_USER, DS_USER, CS64_USER, TR, CS32] = [0x08, 0x10, 0x1b, 0x23, 0x2b, 0x30, 0x40];
const DR6_RESET = 0xffff0ff0n;
/** Breakpoint 0, local, at instructions. */
const DR7_FIRST = 0x401n;
const STAR = 0xc0000081;
const LSTAR = 0xc0000082;
const FMASK = 0xc0000084;

export type ProbeMode = 'long0' | 'long3' | 'compatibility3' | 'protected0';

export interface ProbeOutcome {
  /** The vector behind which the guest halted; -1: in its own code. Undefined: it did not get that far. */
  readonly vector: number | undefined;
  /** KVM refused an instruction. */
  readonly refused: boolean;
  /** Between the first and the last OUT. */
  readonly ns: number;
  readonly results: DataView;
}

/** Runs `code` until it halts. Throws TrapezeError where KVM cannot be used at all. */
export function runProbe(
  system: System,
  now: () => number,
  mode: ProbeMode,
  code: readonly number[],
  options: {
    readonly syscall?: readonly number[];
    readonly profile?: readonly CpuidEntry[];
    /** A breakpoint of the guest's debug registers. */
    readonly breakpoint?: number;
    /** With the engine's help for SYSCALL. */
    readonly repairSyscall?: boolean;
    /** Where to note what is taken, as for an engine: a thread may be ended in the middle of a probe. */
    readonly lease?: SharedArrayBuffer | undefined;
  } = {},
): ProbeOutcome {
  const memory = new WebAssembly.Memory({
    initial: RAM_BYTES / WASM_PAGE,
    maximum: RAM_BYTES / WASM_PAGE,
    shared: true,
  });
  const ram = new Uint8Array(memory.buffer);
  prepare(ram);
  ram.set(code, CODE);
  ram.set(options.syscall ?? [HLT], SYSCALL_ENTRY);
  const { profile, breakpoint, repairSyscall, lease } = options;
  const engine = new KvmEngine(memory, 0, RAM_BYTES, {
    system,
    now,
    repairSyscall,
    lease,
    ...(profile === undefined ? {} : { profile }),
  });
  try {
    const vcpu = engine.createVcpu(0);
    const state = stateOf(mode);
    if (breakpoint !== undefined) state.dr = [BigInt(breakpoint), 0n, 0n, 0n, 0n, 0n, DR6_RESET, DR7_FIRST];
    vcpu.load(state);
    const entry = { answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: SLICE_NS };
    vcpu.run({ ...entry, settle: true });
    const started = now();
    const marks: number[] = [];
    let exit = vcpu.run(entry);
    while (exit.kind === 'preempted' || exit.kind === 'pio-out') {
      const time = now();
      if (exit.kind === 'pio-out') marks.push(time);
      else if (time - started > BUDGET_NS) break;
      exit = vcpu.run(entry);
    }
    const ns = marks.length > 1 ? marks[marks.length - 1] - marks[0] : 0;
    const refused = (vcpu.statistics()['KVM exits']?.['INTERNAL_ERROR'] ?? 0) > 0;
    const vector = exit.kind === 'hlt' ? vectorAt(Number(vcpu.save().rip)) : undefined;
    return { vector, refused, ns, results: new DataView(memory.buffer, RESULTS, 0x1000) };
  } finally {
    engine.close();
  }
}

function vectorAt(rip: number): number {
  const vector = Math.floor((rip - STUBS) / STUB_SIZE);
  return vector >= 0 && vector < VECTORS ? vector : -1;
}

function prepare(ram: Uint8Array): void {
  const view = new DataView(ram.buffer);
  const u64 = (at: number, value: bigint | number): void => view.setBigUint64(at, BigInt(value), true);
  u64(PML4, PDPT | 7);
  u64(PDPT, PD | 7);
  u64(PD, 0x87);
  view.setUint32(PAGE_DIRECTORY, PAGE_TABLE | 7, true);
  for (let n = 0; n < 1024; n++) view.setUint32(PAGE_TABLE + 4 * n, (n << 12) | 7, true);
  const descriptors: readonly (readonly [number, bigint])[] = [
    [CS64, 0x00af9b000000ffffn],
    [DS, 0x00cf93000000ffffn],
    [CS32_USER & ~3, 0x00cffb000000ffffn],
    [DS_USER & ~3, 0x00cff3000000ffffn],
    [CS64_USER & ~3, 0x00affb000000ffffn],
    [TR, 0x00008b0000000067n | (BigInt(TSS) << 16n)],
    [CS32, 0x00cf9b000000ffffn],
  ];
  for (const [selector, descriptor] of descriptors) u64(GDT + selector, descriptor);
  for (let vector = 0; vector < VECTORS; vector++) {
    const stub = STUBS + STUB_SIZE * vector;
    ram.set([HLT, 0xeb, 0xfd], stub);
    // Present, DPL 3, 64-bit interrupt gate.
    u64(IDT + 16 * vector, BigInt(stub) | (BigInt(CS64) << 16n) | (0xee00n << 32n));
  }
  // RSP0.
  u64(TSS + 4, KERNEL_STACK);
}

function stateOf(mode: ProbeMode): CpuState {
  const isLong = mode !== 'protected0';
  const isUser = mode.endsWith('3');
  const segment = (selector: number, attributes: number): SegmentState => ({
    base: 0n,
    limit: 0xffffffff,
    attributes,
    selector,
  });
  const data = isUser ? segment(DS_USER, 0xc0f3) : segment(DS, 0xc093);
  const code = {
    long0: segment(CS64, 0xa09b),
    long3: segment(CS64_USER, 0xa0fb),
    compatibility3: segment(CS32_USER, 0xc0fb),
    protected0: segment(CS32, 0xc09b),
  }[mode];
  const fxsave = new Uint8Array(512);
  const fpu = new DataView(fxsave.buffer);
  fpu.setUint16(0, 0x37f, true);
  fpu.setUint32(24, 0x1f80, true);
  const gpr = new Array<bigint>(16).fill(0n);
  gpr[4] = BigInt(isUser ? USER_STACK : KERNEL_STACK);
  return {
    gpr,
    rip: BigInt(CODE),
    // IOPL 3.
    rflags: 0x3002n,
    segments: [
      data,
      code,
      data,
      data,
      data,
      data,
      { base: 0n, limit: 0, attributes: 0x10082, selector: 0 },
      { base: BigInt(TSS), limit: 0x67, attributes: 0x8b, selector: TR },
    ],
    gdtr: { base: BigInt(GDT), limit: 0x4f },
    idtr: { base: BigInt(IDT), limit: 16 * VECTORS - 1 },
    cr0: isLong ? 0x80000033n : 0x33n,
    cr2: 0n,
    cr3: isLong ? BigInt(PML4) : 0n,
    cr4: isLong ? 0x620n : 0x600n,
    cr8: 0n,
    efer: isLong ? 0x501n : 0n,
    xcr0: 1n,
    dr: [0n, 0n, 0n, 0n, 0n, 0n, DR6_RESET, 0x400n],
    msrs: new Map([
      [STAR, (BigInt(CS64) << 32n) | (BigInt(CS32_USER) << 48n)],
      [LSTAR, BigInt(SYSCALL_ENTRY)],
      [FMASK, 0x200n],
    ]),
    fxsave,
    halted: false,
    interruptShadow: false,
    nmiBlocked: false,
  };
}

/** CR3 for two-level paging. */
export const TWO_LEVEL_TABLES = PAGE_DIRECTORY;
