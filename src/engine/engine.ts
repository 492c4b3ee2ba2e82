/**
 * The narrow waist: an engine makes vCPUs, a vCPU runs until the machine must act.
 *
 *   VmEntry (what the machine answers)  ->  Vcpu.run  ->  VmExit (what the guest asks)
 *
 * Engines know nothing of devices, devices nothing of engines. The dialogue is by value: an exit that asks for data
 * (`pio-in`, `mmio-read`, `rdmsr`) is answered by `VmEntry.answer` of the next call, and only then does the guest's
 * instruction retire. Modelled on the hardware's VM exits, SDM Vol. 3C, "VM Exits".
 */

import type { ChipRegisters } from '../base/chip-registers.js';

export type AccessSize = 1 | 2 | 4 | 8;

export type VmExit =
  /** The guest reads an I/O port; answer with `value`. */
  | { readonly kind: 'pio-in'; readonly port: number; readonly size: 1 | 2 | 4 }
  | { readonly kind: 'pio-out'; readonly port: number; readonly size: 1 | 2 | 4; readonly value: number }
  /** The guest reads a guest-physical address that is not RAM; answer with `value`. */
  | { readonly kind: 'mmio-read'; readonly gpa: number; readonly size: AccessSize }
  | { readonly kind: 'mmio-write'; readonly gpa: number; readonly size: AccessSize; readonly value: bigint }
  /** An MSR that the processor itself does not own (APIC base, TSC deadline, x2APIC, paravirtual). Answer or refuse. */
  | { readonly kind: 'rdmsr'; readonly msr: number }
  | { readonly kind: 'wrmsr'; readonly msr: number; readonly value: bigint }
  | { readonly kind: 'hypercall' }
  /** HLT retired; enter again when an interrupt is there. */
  | { readonly kind: 'hlt' }
  /** The guest can take the interrupt that `requestInterruptWindow` asked about. */
  | { readonly kind: 'interrupt-window' }
  /** The engine's own local APIC has seen the end of a level-triggered interrupt. */
  | { readonly kind: 'eoi'; readonly vector: number }
  /** Slice used up or `kick` called; nothing is owed. */
  | { readonly kind: 'preempted' }
  /** Triple fault. */
  | { readonly kind: 'shutdown' };

export type VmExitKind = VmExit['kind'];

/**
 * Questions that the machine answers while the guest runs, without an exit and an entry: what takes no look at anything but
 * the device. Whatever needs more is declined, without any effect; which accesses are declined follows from their address
 * and size alone. Where an answer makes work for the vCPU loop (an interrupt, a deadline) the machine kicks the vCPU.
 */
export interface DirectAccess {
  /** The value read, or a negative number: declined. */
  readPort(port: number, size: 1 | 2 | 4): number;
  /** False: declined. */
  writePort(port: number, size: 1 | 2 | 4, value: number): boolean;
  readMemory(gpa: number, size: 1 | 2 | 4): number;
  writeMemory(gpa: number, size: 1 | 2 | 4, value: number): boolean;
  writeMsr(msr: number, value: bigint): boolean;
}

export interface VmEntry {
  /** Answer to the last exit's question: the value read, or 'refused' (#GP) for an MSR; ignored where nothing was asked. */
  readonly answer: bigint | 'refused';
  /** External interrupt to inject now; only when `vcpu.interruptible`. */
  readonly vector: number | undefined;
  /** Leave with `interrupt-window` as soon as RFLAGS.IF and the interrupt shadow allow an interrupt. */
  readonly requestInterruptWindow: boolean;
  /** Nanoseconds the guest may run before `preempted`. */
  readonly sliceNs: number;
  /** Inject a non-maskable interrupt now; only when `vcpu.nmiInterruptible`, and never with a `vector`. */
  readonly nmi?: boolean;
  /** Leave with `interrupt-window` as soon as a non-maskable interrupt can be taken. */
  readonly requestNmiWindow?: boolean;
  /**
   * Leave with `preempted` when CR8 falls below this: an interrupt of that priority class waits. Absent: whenever it falls.
   * SDM Vol. 3C, "TPR Shadow".
   */
  readonly tprThreshold?: number;
  /**
   * Only finish the instruction that waits for `answer` and leave, with `preempted` or its next question: after
   * `preempted` nothing is owed and `Vcpu.save` tells everything.
   */
  readonly settle?: boolean;
}

/** Engine-neutral processor state. 64-bit values are bigint: this is an edge, never a hot path. */
export interface SegmentState {
  base: bigint;
  limit: number;
  /** As SEGMENT_ATTRIBUTES in x86/state.ts. */
  attributes: number;
  selector: number;
}

export interface CpuState {
  gpr: bigint[];
  rip: bigint;
  rflags: bigint;
  /** ES CS SS DS FS GS LDTR TR. */
  segments: SegmentState[];
  gdtr: { base: bigint; limit: number };
  idtr: { base: bigint; limit: number };
  cr0: bigint;
  cr2: bigint;
  cr3: bigint;
  cr4: bigint;
  cr8: bigint;
  efer: bigint;
  xcr0: bigint;
  dr: bigint[];
  /** The four PDPTE registers of PAE paging; absent: as in memory. SDM Vol. 3A, "PDPTE Registers". */
  pdptes?: bigint[];
  /**
   * MSR number -> value, of the MSRs the processor owns. IA32_TIME_STAMP_COUNTER is the guest's reading: a load lets the
   * counter go on from there. Absent ones stay as they are.
   */
  msrs: Map<number, bigint>;
  /** FXSAVE64 image, 512 bytes. */
  fxsave: Uint8Array;
  /** What that form leaves out: the selectors of the last x87 instruction and operand. */
  fpuCs?: number;
  fpuDs?: number;
  /** XSTATE_BV of the XSAVE header; absent: x87 and SSE are in use. */
  xstateBv?: bigint;
  /** DR6 bits of breakpoints met whose #DB is still to come; absent: none. */
  pendingDebug?: number;
  halted: boolean;
  interruptShadow: boolean;
  nmiBlocked: boolean;
}

/**
 * A local APIC that is the engine's. HLT then waits inside of `run` (slices still end it), interrupts go through `send`,
 * and `entry.vector` is only for those of the 8259As.
 */
export interface VcpuLapic {
  /** An interrupt message as a device writes it; false if no processor took it. */
  send(address: number, data: number): boolean;
  /** By pin of the I/O APIC: what it sends; the end of a level-triggered one is told by `eoi`. */
  route(messages: readonly ({ readonly address: number; readonly data: number } | undefined)[]): void;
  /** The register page, one word each 16 bytes, and the two MSRs. Exact while nothing is owed. */
  save(): { readonly page: Uint32Array; readonly apicBase: number; readonly tscDeadline: bigint };
  load(registers: { readonly page: Uint32Array; readonly apicBase: number; readonly tscDeadline: bigint }): void;
  /** Absent: the other interrupt controllers and the 8254 are the machine's models. */
  readonly chips?: VcpuChips | undefined;
}

/** 8259As, I/O APIC and 8254 with port 0x61 that are the engine's. They answer their ports and addresses; nothing of them is an exit. */
export interface VcpuChips {
  /** Level of an interrupt line: 0 is ISA IRQ 0 (pin 2 of the I/O APIC), 16 to 23 are pins of their own. */
  line(gsi: number, level: boolean): void;
  /** HPET legacy replacement cuts counter 0 of the 8254 off from IRQ 0, or connects it again. */
  cutPit(isCut: boolean): void;
  /** Exact while nothing is owed and the machine's clock runs. The 8254 stands still until the next `load`. Before the local APIC's. */
  save(): ChipRegisters;
  /**
   * Lines and 8254 as they were; the 8254 counts on from the machine's clock, which stands still: that takes up to a tenth of
   * a second. Returns when it was right, in nanoseconds of the engine's `now`. Nothing interrupts until `start`, which follows
   * when the local APIC has been loaded.
   */
  load(registers: ChipRegisters): number;
  start(): void;
}

export interface Vcpu {
  /** True when an external interrupt can be injected by the next entry. */
  readonly interruptible: boolean;
  /** The same for a non-maskable interrupt: none is being handled. Absent: the engine cannot inject them. */
  readonly nmiInterruptible?: boolean;
  /** The guest's TSC minus the virtual clock's, in ticks: what the guest or a loaded state has set. Absent: zero. */
  readonly tscOffset?: number;
  /** Absent: the machine's model is the local APIC, and HLT is an exit. */
  readonly lapic?: VcpuLapic | undefined;
  /** Task priority, bits 7:4 of the local APIC's TPR (CR8 is the same register). */
  tpr: number;
  run(entry: VmEntry): VmExit;
  /** From now on `run` asks here first. Absent: the engine knows exits only. */
  answerBy?(direct: DirectAccess): void;
  /**
   * For `DirectAccess`, while a port is read: grows with what the guest does, by one with each instruction and by more with
   * those that take longer. It starts anew with each `run`.
   */
  readonly progress?: number;
  /** Asks the vCPU to leave with `preempted` soon; with nothing owed. */
  kick?(): void;
  /** Exact while no exit's answer is owed. The DPL in SS's attributes is the CPL. */
  save(): CpuState;
  load(state: CpuState): void;
  /** Counters by group and name, for --stats. */
  statistics(): Record<string, Record<string, number>>;
}

/** A vCPU that runs single instructions: it takes over where another engine's vCPU cannot go on. */
export interface SteppingVcpu extends Vcpu {
  /**
   * The instruction at RIP, or the rest of the one that waits for `answer`; a fault is delivered. Exits as those of
   * `run`, `preempted` when it has retired. Whatever ran in between may have changed memory.
   */
  stepOne(entry: VmEntry): VmExit;
}

/** What the chipset decides about guest-physical memory. A change takes effect behind the instruction that made it. */
export interface PhysicalMap {
  /** A part of 0xc0000-0xfffff, whole 16 KiB: what reads and writes reach. At the start everything is RAM. */
  shadow(base: number, sizeBytes: number, access: ShadowAccess): void;
  /** The A20 gate: closed, address bit 20 is zero. */
  a20(isOpen: boolean): void;
}

/** Where RAM does not answer, reads see the end of the firmware's ROM (or the bus below it) and writes go nowhere. */
export interface ShadowAccess {
  readonly readsRam: boolean;
  readonly writesRam: boolean;
}

export interface Engine {
  readonly name: 'dbt' | 'kvm';
  createVcpu(index: number): Vcpu;
  /** Begins to note which pages of RAM the guest writes. What the machine writes itself is not noted. */
  startDirtyLog(): void;
  /** The pages written since the start or the last call: one bit per page, that of the lowest address first. */
  takeDirtyLog(): Uint8Array;
  close(): void;
}
