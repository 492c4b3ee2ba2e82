/** National Semiconductor PC16550D data sheet, "Registers". */
export const UART_CLOCK_HZ = 1_843_200;
export const UART_FIFO_SIZE = 16;
/** COM1-COM4: port and ISA IRQ. */
export const COM_PORTS: readonly { readonly port: number; readonly irq: number }[] = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
];

/** Register offsets; 0 and 1 are the divisor latch while LCR.DLAB is set. */
export const UART_DATA = 0;
export const UART_IER = 1;
/** Read IIR, write FCR. */
export const UART_IIR_FCR = 2;
export const UART_LCR = 3;
export const UART_MCR = 4;
export const UART_LSR = 5;
export const UART_MSR = 6;
export const UART_SCR = 7;

export const IER_RDA = 0x01;
export const IER_THRE = 0x02;
export const IER_LINE_STATUS = 0x04;
export const IER_MODEM_STATUS = 0x08;

/** "Interrupt Identification Register", highest priority first. */
export const IIR_LINE_STATUS = 0x06;
export const IIR_RDA = 0x04;
export const IIR_TIMEOUT = 0x0c;
export const IIR_THRE = 0x02;
export const IIR_MODEM_STATUS = 0x00;
export const IIR_NONE = 0x01;
export const IIR_FIFOS_ENABLED = 0xc0;

export const FCR_ENABLE = 0x01;
export const FCR_CLEAR_RX = 0x02;
export const FCR_CLEAR_TX = 0x04;
/** Receiver trigger level by FCR bits 7:6. */
export const FCR_TRIGGER_LEVELS: readonly number[] = [1, 4, 8, 14];

export const LCR_BREAK = 0x40;
export const LCR_DLAB = 0x80;

export const MCR_DTR = 0x01;
export const MCR_RTS = 0x02;
export const MCR_OUT1 = 0x04;
/** On a PC this gates the interrupt line. */
export const MCR_OUT2 = 0x08;
export const MCR_LOOP = 0x10;

export const LSR_DR = 0x01;
export const LSR_OE = 0x02;
export const LSR_BI = 0x10;
export const LSR_ERRORS = 0x1e;
export const LSR_THRE = 0x20;
export const LSR_TEMT = 0x40;

export const MSR_DELTA = 0x0f;
export const MSR_TERI = 0x04;
export const MSR_CTS = 0x10;
export const MSR_DSR = 0x20;
export const MSR_RI = 0x40;
export const MSR_DCD = 0x80;
