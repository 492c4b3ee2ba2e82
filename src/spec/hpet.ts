/** IA-PC HPET (High Precision Event Timers) Specification 1.0a. */
export const HPET_BASE = 0xfed00000;
export const HPET_SIZE = 0x400;
export const HPET_TIMERS = 3;
/** 10 ns, in femtoseconds. */
export const HPET_PERIOD_FS = 10_000_000;
export const HPET_PERIOD_NS = 10;
/** Vendor 8086, legacy replacement, 64-bit counter, three timers, revision 1. */
export const HPET_ID = 0x8086a201;

export const HPET_CAPABILITIES = 0x000;
export const HPET_CONFIG = 0x010;
export const HPET_STATUS = 0x020;
export const HPET_COUNTER = 0x0f0;
export const HPET_TIMER0 = 0x100;
export const HPET_TIMER_STRIDE = 0x20;
/** Within a timer's block. */
export const TIMER_CONFIG = 0x00;
export const TIMER_COMPARATOR = 0x08;

export const CONFIG_ENABLE = 0x1;
export const CONFIG_LEGACY = 0x2;

export const TN_LEVEL = 0x0002;
export const TN_ENABLE = 0x0004;
export const TN_PERIODIC = 0x0008;
export const TN_PERIODIC_CAPABLE = 0x0010;
export const TN_64BIT_CAPABLE = 0x0020;
export const TN_SET_VALUE = 0x0040;
export const TN_32BIT = 0x0100;
export const TN_ROUTE_SHIFT = 9;
export const TN_ROUTE_MASK = 0x3e00;
export const TN_WRITABLE = TN_LEVEL | TN_ENABLE | TN_PERIODIC | TN_32BIT | TN_ROUTE_MASK;
/** Interrupts a timer may use outside legacy replacement: the I/O APIC's PCI-only pins 20-23. */
export const TN_ROUTES = 0x00f00000;
