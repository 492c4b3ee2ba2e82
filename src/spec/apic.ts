/**
 * Local APIC: Intel SDM Vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
 * I/O APIC: Intel 82093AA data sheet.
 */
export const APIC_DEFAULT_BASE = 0xfee00000;
export const APIC_PAGE_SIZE = 0x1000;
/** 82489DX is 0x, integrated ones 1x; maximum LVT entry 5 in bits 23:16. */
export const APIC_VERSION = 0x00050014;

/** "Local APIC Register Address Map", offset / 16 (which is also the x2APIC MSR minus 0x800). */
export const APIC_ID = 0x02;
export const APIC_VER = 0x03;
export const APIC_TPR = 0x08;
export const APIC_APR = 0x09;
export const APIC_PPR = 0x0a;
export const APIC_EOI = 0x0b;
export const APIC_RRD = 0x0c;
export const APIC_LDR = 0x0d;
export const APIC_DFR = 0x0e;
export const APIC_SVR = 0x0f;
export const APIC_ISR = 0x10;
export const APIC_TMR = 0x18;
export const APIC_IRR = 0x20;
export const APIC_ESR = 0x28;
export const APIC_ICR_LOW = 0x30;
export const APIC_ICR_HIGH = 0x31;
export const APIC_LVT_TIMER = 0x32;
export const APIC_LVT_THERMAL = 0x33;
export const APIC_LVT_PERFORMANCE = 0x34;
export const APIC_LVT_LINT0 = 0x35;
export const APIC_LVT_LINT1 = 0x36;
export const APIC_LVT_ERROR = 0x37;
export const APIC_TIMER_INITIAL = 0x38;
export const APIC_TIMER_CURRENT = 0x39;
export const APIC_TIMER_DIVIDE = 0x3e;
/** x2APIC only. */
export const APIC_SELF_IPI = 0x3f;

export const SVR_ENABLE = 0x100;
/** Vector, enable, focus check; no EOI-broadcast suppression. */
export const SVR_MASK = 0x3ff;

export const LVT_MASKED = 0x10000;
export const LVT_LEVEL = 0x8000;
export const LVT_REMOTE_IRR = 0x4000;
export const LVT_DELIVERY_SHIFT = 8;
/** Writable bits of LVT timer, thermal, performance, LINT0, LINT1, error. */
export const LVT_WRITABLE: readonly number[] = [0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff];
export const LVT_TIMER_MODE = 0x60000;
export const LVT_TIMER_ONE_SHOT = 0x00000;
export const LVT_TIMER_PERIODIC = 0x20000;
export const LVT_TIMER_TSC_DEADLINE = 0x40000;

/** "Delivery Mode" of ICR, LVT, redirection entries and MSI. */
export const DELIVERY_FIXED = 0;
export const DELIVERY_LOWEST = 1;
export const DELIVERY_SMI = 2;
export const DELIVERY_NMI = 4;
export const DELIVERY_INIT = 5;
export const DELIVERY_STARTUP = 6;
export const DELIVERY_EXTINT = 7;

export const ICR_LOGICAL = 0x800;
export const ICR_ASSERT = 0x4000;
export const ICR_LEVEL = 0x8000;
/** Destination shorthand, bits 19:18. */
export const ICR_SHORTHAND_SHIFT = 18;
export const SHORTHAND_SELF = 1;
export const SHORTHAND_ALL = 2;
export const SHORTHAND_OTHERS = 3;
/** Vector, mode, destination mode, level, trigger, shorthand. */
export const ICR_LOW_MASK = 0xccfff;

/** "Error Status Register". */
export const ESR_SEND_ILLEGAL_VECTOR = 0x20;
export const ESR_RECEIVE_ILLEGAL_VECTOR = 0x40;
export const ESR_ILLEGAL_REGISTER = 0x80;

/** Vectors 0-15 are reserved. */
export const FIRST_VECTOR = 16;

/** IA32_APIC_BASE MSR. */
export const MSR_APIC_BASE = 0x1b;
export const APIC_BASE_BSP = 0x100;
export const APIC_BASE_EXTD = 0x400;
export const APIC_BASE_ENABLE = 0x800;
export const MSR_TSC_DEADLINE = 0x6e0;
export const MSR_X2APIC_FIRST = 0x800;
export const MSR_X2APIC_LAST = 0x8ff;

/** CPUID leaf 0x15 says so; the timer counts at this rate divided by the divide configuration. */
export const APIC_TIMER_HZ = 25_000_000;

export const IOAPIC_BASE = 0xfec00000;
export const IOAPIC_PINS = 24;
export const IOAPIC_VERSION = 0x11;
export const IOAPIC_REGSEL = 0x00;
export const IOAPIC_WINDOW = 0x10;
export const IOAPIC_REG_ID = 0;
export const IOAPIC_REG_VERSION = 1;
export const IOAPIC_REG_ARBITRATION = 2;
export const IOAPIC_REG_TABLE = 0x10;
/** Redirection entry, low half. */
export const RTE_LOGICAL = 0x800;
export const RTE_STATUS = 0x1000;
export const RTE_REMOTE_IRR = 0x4000;
export const RTE_LEVEL = 0x8000;
export const RTE_MASKED = 0x10000;
export const RTE_LOW_WRITABLE = 0x1afff;
