/**
 * Where the fields of KVM's structures are, in bytes, on x86-64. No behaviour.
 * Linux documentation, "The Definitive KVM API Documentation"; `<linux/kvm.h>`, `<asm/kvm.h>`.
 */

/** struct kvm_run, the part that is the same for every exit; then one union for what the exit says. */
export const RUN = {
  REQUEST_INTERRUPT_WINDOW: 0,
  IMMEDIATE_EXIT: 1,
  EXIT_REASON: 8,
  READY_FOR_INTERRUPT: 12,
  IF_FLAG: 13,
  CR8: 16,
  // EXIT.IO
  IO_DIRECTION: 32,
  IO_SIZE: 33,
  IO_PORT: 34,
  IO_COUNT: 36,
  IO_DATA_OFFSET: 40,
  // EXIT.MMIO
  MMIO_GPA: 32,
  MMIO_DATA: 40,
  MMIO_LENGTH: 48,
  MMIO_IS_WRITE: 52,
  // EXIT.X86_RDMSR, EXIT.X86_WRMSR
  MSR_ERROR: 32,
  MSR_INDEX: 44,
  MSR_DATA: 48,
  // EXIT.IOAPIC_EOI
  EOI_VECTOR: 32,
  // EXIT.INTERNAL_ERROR
  SUBERROR: 32,
  // EXIT.FAIL_ENTRY
  HARDWARE_REASON: 32,
  // KVM_CAP_SYNC_REGS
  VALID_REGS: 288,
  DIRTY_REGS: 296,
  REGS: 304,
  SREGS: 448,
  EVENTS: 760,
} as const;

/** struct kvm_regs: 16 registers, RIP, RFLAGS, u64 each. Place of a register by its number in instructions. */
export const REGS_ORDER: readonly number[] = [0, 2, 3, 1, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
export const REGS_RIP = 128;
export const REGS_RFLAGS = 136;
export const REGS_SIZE = 144;

/** struct kvm_sregs: CS DS ES FS GS SS TR LDT of 24 bytes. Place of a segment by our order, ES CS SS DS FS GS LDTR TR. */
export const SREGS_SEGMENT_ORDER: readonly number[] = [2, 0, 5, 1, 3, 4, 7, 6];
export const SREGS_SEGMENT_SIZE = 24;
/** struct kvm_segment; one byte each from TYPE on. */
export const SEGMENT = {
  BASE: 0,
  LIMIT: 8,
  SELECTOR: 12,
  TYPE: 14,
  PRESENT: 15,
  DPL: 16,
  DB: 17,
  S: 18,
  L: 19,
  G: 20,
  AVL: 21,
  UNUSABLE: 22,
} as const;
export const SREGS = {
  GDT: 192,
  IDT: 208,
  /** Of struct kvm_dtable. */
  DTABLE_LIMIT: 8,
  CR0: 224,
  CR2: 232,
  CR3: 240,
  CR4: 248,
  CR8: 256,
  EFER: 264,
  APIC_BASE: 272,
  INTERRUPT_BITMAP: 280,
} as const;
export const SREGS_SIZE = 312;

/** struct kvm_vcpu_events. */
export const EVENTS = {
  EXCEPTION_INJECTED: 0,
  EXCEPTION_PENDING: 3,
  INTERRUPT_INJECTED: 8,
  INTERRUPT_NUMBER: 9,
  INTERRUPT_SOFT: 10,
  INTERRUPT_SHADOW: 11,
  NMI_INJECTED: 12,
  NMI_PENDING: 13,
  NMI_MASKED: 14,
  FLAGS: 20,
} as const;
export const EVENTS_SIZE = 64;
/** interrupt.shadow: after MOV SS, after STI. */
export const SHADOW_ANY = 3;

/** struct kvm_debugregs: DR0-DR3, DR6, DR7, flags. */
export const DEBUGREGS_SIZE = 128;
/** Our DR numbers in the structure's order. */
export const DEBUGREGS_ORDER: readonly number[] = [0, 1, 2, 3, 6, 7];

/** struct kvm_xcrs: count, flags, then {number u32, reserved u32, value u64}. */
export const XCRS_SIZE = 392;
export const XCRS_FIRST = 8;

/** struct kvm_xsave: an XSAVE area in the standard format. SDM Vol. 1, "XSAVE Area". */
export const XSAVE_SIZE = 4096;
export const XSAVE_LEGACY_SIZE = 512;
export const XSAVE_XSTATE_BV = 512;

/** struct kvm_msrs: count, padding, then {index u32, reserved u32, data u64}. */
export const MSRS_FIRST = 8;
export const MSR_ENTRY_SIZE = 16;

/** struct kvm_cpuid2: count, padding, then {function, index, flags, eax, ebx, ecx, edx, padding[3]} of u32. */
export const CPUID_FIRST = 8;
export const CPUID_ENTRY_SIZE = 40;

/** struct kvm_userspace_memory_region. */
export const MEMORY_REGION_SIZE = 32;
/** struct kvm_dirty_log: slot u32, padding, address of the bitmap u64. */
export const DIRTY_LOG_SIZE = 16;
/** struct kvm_enable_cap: number u32, flags u32, four arguments u64. */
export const ENABLE_CAP_SIZE = 104;
/** struct kvm_msr_filter: flags u32, padding, then 16 ranges {flags u32, count u32, first u32, padding, address of bitmap u64}. */
export const MSR_FILTER_SIZE = 392;
export const MSR_FILTER_FIRST = 8;
export const MSR_FILTER_RANGE_SIZE = 24;
/** struct kvm_lapic_state: the register page, 16 bytes for each. */
export const LAPIC_SIZE = 1024;
/** struct kvm_msi: address u64, data u32, and what is zero here. */
export const MSI_SIZE = 32;
/** struct kvm_irq_routing: count, flags, then {gsi, type, flags, padding, address low, address high, data, ...} of u32. */
export const ROUTING_FIRST = 8;
export const ROUTING_ENTRY_SIZE = 48;
/** struct kvm_guest_debug: control u32, padding, DR0 to DR7 u64. */
export const GUEST_DEBUG_SIZE = 72;
export const GUEST_DEBUG_REGISTERS = 8;
