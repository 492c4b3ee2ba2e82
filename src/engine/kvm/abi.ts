/**
 * The numbers of Linux's /dev/kvm on x86-64, as `<linux/kvm.h>` and `<asm/kvm.h>` give them. No behaviour.
 * Names and meanings: Linux documentation, "The Definitive KVM (Kernel-based Virtual Machine) API Documentation".
 */

export const KVM_API_VERSION = 12;

/** ioctl requests: direction and size of the argument in the upper half, 0xAE and a number in the lower. "API description". */
export const IOCTL = {
  // on /dev/kvm
  GET_API_VERSION: 0xae00,
  CREATE_VM: 0xae01,
  GET_MSR_INDEX_LIST: 0xc004ae02,
  CHECK_EXTENSION: 0xae03,
  GET_VCPU_MMAP_SIZE: 0xae04,
  GET_SUPPORTED_CPUID: 0xc008ae05,
  // on a VM
  CREATE_VCPU: 0xae41,
  GET_DIRTY_LOG: 0x4010ae42,
  SET_USER_MEMORY_REGION: 0x4020ae46,
  SET_TSS_ADDR: 0xae47,
  SET_IDENTITY_MAP_ADDR: 0x4008ae48,
  ENABLE_CAP: 0x4068aea3,
  CREATE_IRQCHIP: 0xae60,
  IRQ_LINE: 0x4008ae61,
  GET_IRQCHIP: 0xc208ae62,
  SET_IRQCHIP: 0x8208ae63,
  SET_GSI_ROUTING: 0x4008ae6a,
  REINJECT_CONTROL: 0xae71,
  CREATE_PIT2: 0x4040ae77,
  GET_PIT2: 0x8070ae9f,
  SET_PIT2: 0x4070aea0,
  SIGNAL_MSI: 0x4020aea5,
  X86_SET_MSR_FILTER: 0x4188aec6,
  // on a vCPU
  RUN: 0xae80,
  GET_REGS: 0x8090ae81,
  SET_REGS: 0x4090ae82,
  GET_SREGS: 0x8138ae83,
  SET_SREGS: 0x4138ae84,
  INTERRUPT: 0x4004ae86,
  GET_MSRS: 0xc008ae88,
  SET_MSRS: 0x4008ae89,
  NMI: 0xae9a,
  SET_GUEST_DEBUG: 0x4048ae9b,
  GET_LAPIC: 0x8400ae8e,
  SET_LAPIC: 0x4400ae8f,
  GET_MP_STATE: 0x8004ae98,
  SET_MP_STATE: 0x4004ae99,
  SET_CPUID2: 0x4008ae90,
  GET_VCPU_EVENTS: 0x8040ae9f,
  SET_VCPU_EVENTS: 0x4040aea0,
  GET_DEBUGREGS: 0x8080aea1,
  SET_DEBUGREGS: 0x4080aea2,
  SET_TSC_KHZ: 0xaea2,
  GET_TSC_KHZ: 0xaea3,
  GET_XSAVE: 0x9000aea4,
  SET_XSAVE: 0x5000aea5,
  GET_XCRS: 0x8188aea6,
  SET_XCRS: 0x4188aea7,
} as const;

/** "KVM_CHECK_EXTENSION". */
export const CAP = {
  IRQCHIP: 0,
  USER_MEMORY: 3,
  REINJECT_CONTROL: 24,
  IRQ_ROUTING: 25,
  PIT2: 33,
  PIT_STATE2: 35,
  SIGNAL_MSI: 77,
  TSC_CONTROL: 60,
  READONLY_MEM: 81,
  SYNC_REGS: 74,
  SPLIT_IRQCHIP: 121,
  IMMEDIATE_EXIT: 136,
  X86_USER_SPACE_MSR: 188,
  X86_MSR_FILTER: 189,
  X86_APIC_BUS_CYCLES_NS: 237,
} as const;
export type CapabilityName = keyof typeof CAP;

/** kvm_run.exit_reason: "The kvm_run structure". */
export const EXIT = {
  IO: 2,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  IRQ_WINDOW_OPEN: 7,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  SET_TPR: 11,
  INTERNAL_ERROR: 17,
  SYSTEM_EVENT: 24,
  IOAPIC_EOI: 26,
  X86_RDMSR: 29,
  X86_WRMSR: 30,
} as const;
export const INTERNAL_ERROR_EMULATION = 1;
export const IO_OUT = 1;

/** KVM_SYNC_REGS: what of the state kvm_run carries. "KVM_CAP_SYNC_REGS". */
export const SYNC_REGS = 1;
export const SYNC_SREGS = 2;
export const SYNC_EVENTS = 4;
export const SYNC_ALL = 7;

/** kvm_userspace_memory_region.flags. */
export const MEM_LOG_DIRTY_PAGES = 1;
export const MEM_READONLY = 2;
/** kvm_cpuid_entry2.flags: the entry answers for its index only. */
export const CPUID_SIGNIFICANT_INDEX = 1;
/** kvm_vcpu_events.flags: interrupt.shadow is to be taken. */
export const EVENTS_VALID_SHADOW = 4;
/** KVM_CAP_X86_USER_SPACE_MSR: which accesses leave to user space: those of unknown numbers, and filtered ones. */
export const MSR_EXIT_UNKNOWN_FILTERED = 6;
/** kvm_msr_filter_range.flags: both directions. */
export const MSR_FILTER_READ_WRITE = 3;
export const MSR_FILTER_WRITE = 2;

/** Three pages for KVM's own use on processors that need them for real mode: "KVM_SET_TSS_ADDR". Above every device of ours, below
 *  every ROM. */
export const TSS_ADDRESS = 0xfeffd000;
export const IDENTITY_MAP_ADDRESS = 0xfeffc000;

/** kvm_irq_routing_entry.type. */
export const ROUTING_MSI = 2;
/** kvm_mp_state. */
export const MP_RUNNABLE = 0;
export const MP_HALTED = 3;

/** MSRs by number. SDM Vol. 4. */
export const MSR_TSC = 0x10;
export const MSR_APIC_BASE = 0x1b;
export const MSR_TSC_DEADLINE = 0x6e0;
const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, n) => first + n);
/** The MSRs of the processor's saved state: speculation control, SYSENTER, debugging, memory types, system calls. */
export const STATE_MSRS: readonly number[] = [
  ...[MSR_TSC, 0x3b, 0x48, 0x8b, 0x174, 0x175, 0x176, 0x17a, 0x1a0, 0x1d9, 0x277],
  ...[...range(0x200, 16), 0x250, 0x258, 0x259, ...range(0x268, 8), 0x2ff],
  ...[0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103],
];
/** First number and count of the MSRs that the machine answers for; KVM keeps the x2APIC's range to itself. */
export const MACHINE_MSRS: readonly (readonly [number, number])[] = [
  [MSR_APIC_BASE, 1],
  [MSR_TSC_DEADLINE, 1],
];
export const APIC_BASE_RESET = 0xfee00900n;
