/** ACPI Specification 6.x, "ACPI Hardware Specification" and "ACPI Software Programming Model". */
export const PM_TIMER_HZ = 3_579_545;
export const PM_TIMER_BITS = 24;
export const SCI_IRQ = 9;

/** "PM1 Status Registers" and "PM1 Enable Registers". */
export const PM1_TMR = 0x0001;
export const PM1_BM = 0x0010;
export const PM1_GBL = 0x0020;
export const PM1_PWRBTN = 0x0100;
export const PM1_SLPBTN = 0x0200;
export const PM1_RTC = 0x0400;
export const PM1_WAK = 0x8000;
export const PM1_STATUS_MASK = PM1_TMR | PM1_BM | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC | PM1_WAK;
export const PM1_ENABLE_MASK = PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC;

/** "PM1 Control Registers". */
export const PM1_SCI_EN = 0x0001;
export const PM1_BM_RLD = 0x0002;
export const PM1_SLP_TYP_SHIFT = 10;
export const PM1_SLP_EN = 0x2000;
export const PM1_CONTROL_WRITABLE = PM1_SCI_EN | PM1_BM_RLD | (7 << PM1_SLP_TYP_SHIFT);

/** Intel 82371AB (PIIX4) data sheet, "Power Management I/O Space Registers": offsets from PMBASE. */
export const PM1_STATUS_OFFSET = 0x00;
export const PM1_ENABLE_OFFSET = 0x02;
export const PM1_CONTROL_OFFSET = 0x04;
export const PM_TIMER_OFFSET = 0x08;
export const PM_IO_SIZE = 0x40;
/** SLP_TYP 000: soft off. */
export const SLP_TYP_S5 = 0;

/** Where this machine puts them without firmware; published in the FADT. */
export const PM_BASE = 0x600;
export const GPE0_PORT = 0xafe0;
export const GPE0_SIZE = 4;
export const SMI_COMMAND_PORT = 0xb2;
export const SMI_ACPI_ENABLE = 0xf1;
export const SMI_ACPI_DISABLE = 0xf0;
export const RESET_PORT = 0xcf9;
/** RCPU and SRST: a hard reset. */
export const RESET_VALUE = 0x06;
export const RESET_RCPU = 0x04;
