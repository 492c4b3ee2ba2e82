/** Motorola MC146818A data sheet; CMOS cells beyond it as the PC's firmware uses them. */
export const RTC_PORT = 0x70;
export const RTC_IRQ = 8;
export const NMI_DISABLE = 0x80;
export const CMOS_SIZE = 128;

export const RTC_SECONDS = 0x00;
export const RTC_SECONDS_ALARM = 0x01;
export const RTC_MINUTES = 0x02;
export const RTC_MINUTES_ALARM = 0x03;
export const RTC_HOURS = 0x04;
export const RTC_HOURS_ALARM = 0x05;
export const RTC_DAY_OF_WEEK = 0x06;
export const RTC_DAY = 0x07;
export const RTC_MONTH = 0x08;
export const RTC_YEAR = 0x09;
export const RTC_A = 0x0a;
export const RTC_B = 0x0b;
export const RTC_C = 0x0c;
export const RTC_D = 0x0d;
export const CMOS_CENTURY = 0x32;

export const A_UIP = 0x80;
export const A_DIVIDER = 0x70;
/** 32.768 kHz time base. */
export const A_DIVIDER_RUN = 0x20;
export const A_RATE = 0x0f;
export const B_SET = 0x80;
export const B_PIE = 0x40;
export const B_AIE = 0x20;
export const B_UIE = 0x10;
export const B_BINARY = 0x04;
export const B_24_HOUR = 0x02;
export const C_IRQF = 0x80;
export const C_PF = 0x40;
export const C_AF = 0x20;
export const C_UF = 0x10;
export const D_VALID = 0x80;
export const HOUR_PM = 0x80;
/** An alarm byte with both top bits set matches everything. */
export const ALARM_ANY = 0xc0;
/** UIP goes up this long before the update ("Update Cycle"). */
export const UIP_NS = 244_000;

/** Firmware's memory sizes. */
export const CMOS_BASE_MEMORY_KIB = 0x15;
export const CMOS_EXTENDED_MEMORY_KIB = 0x17;
export const CMOS_EXTENDED_MEMORY_KIB_2 = 0x30;
/** In 64 KiB above 16 MiB. */
export const CMOS_MEMORY_ABOVE_16M = 0x34;
/** In 64 KiB above 4 GiB, three bytes. */
export const CMOS_MEMORY_ABOVE_4G = 0x5b;
export const CMOS_EQUIPMENT = 0x14;
export const EQUIPMENT_FPU = 0x02;
export const EQUIPMENT_MOUSE = 0x04;
