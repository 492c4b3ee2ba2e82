/** Intel 8254 Programmable Interval Timer, data sheet 231164; the PC's wiring of it. */
export const PIT_PORT = 0x40;
/** 14.31818 MHz / 12. */
export const PIT_HZ = 1_193_182;
export const PIT_CONTROL = 3;

/** Control word: counter 7:6, access 5:4, mode 3:1, BCD 0. */
export const ACCESS_LATCH = 0;
export const ACCESS_LSB = 1;
export const ACCESS_MSB = 2;
export const ACCESS_BOTH = 3;
export const SELECT_READ_BACK = 3;
/** Read-back command: 0 means do it. */
export const READ_BACK_NO_COUNT = 0x20;
export const READ_BACK_NO_STATUS = 0x10;

/** "System Control Port B" of the PC/AT. */
export const SYSTEM_CONTROL_B_PORT = 0x61;
export const PORT_B_GATE2 = 0x01;
export const PORT_B_SPEAKER = 0x02;
export const PORT_B_WRITABLE = 0x0f;
export const PORT_B_REFRESH = 0x10;
export const PORT_B_OUT2 = 0x20;
/** The refresh request toggles every 15.085 us. */
export const REFRESH_NS = 15_085;
