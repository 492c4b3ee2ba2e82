/** Intel 8259A Programmable Interrupt Controller, data sheet 231468; ELCR as in the 82371 (PIIX) data sheet. */
export const PIC_MASTER_PORT = 0x20;
export const PIC_SLAVE_PORT = 0xa0;
export const ELCR_PORT = 0x4d0;

/** Offset 0, "Initialization Command Word 1" and "Operation Command Words 2 and 3" are told apart by bits 4:3. */
export const ICW1_SELECT = 0x10;
export const ICW1_IC4 = 0x01;
export const ICW1_SNGL = 0x02;
export const OCW3_SELECT = 0x08;

export const ICW4_AEOI = 0x02;
export const ICW4_SFNM = 0x10;

/** OCW2 bits 7:5: R, SL, EOI. */
export const OCW2_ROTATE_AEOI_CLEAR = 0;
export const OCW2_NON_SPECIFIC_EOI = 1;
export const OCW2_SPECIFIC_EOI = 3;
export const OCW2_ROTATE_AEOI_SET = 4;
export const OCW2_ROTATE_NON_SPECIFIC_EOI = 5;
export const OCW2_SET_PRIORITY = 6;
export const OCW2_ROTATE_SPECIFIC_EOI = 7;

export const OCW3_RIS = 0x01;
export const OCW3_RR = 0x02;
export const OCW3_POLL = 0x04;
export const OCW3_SMM = 0x20;
export const OCW3_ESMM = 0x40;

export const CASCADE_IRQ = 2;
/** IRQs 0, 1, 2, 8 and 13 are always edge triggered. */
export const ELCR_MASTER_MASK = 0xf8;
export const ELCR_SLAVE_MASK = 0xde;
