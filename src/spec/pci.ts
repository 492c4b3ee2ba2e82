/** PCI Local Bus Specification 3.0, chapter 6 "Configuration Space"; identities and registers of the i440FX chipset. */
export const PCI_CONFIG_ADDRESS_PORT = 0xcf8;
export const PCI_CONFIG_DATA_PORT = 0xcfc;
export const PCI_CONFIG_SIZE = 256;
export const PCI_ADDRESS_ENABLE = 0x80000000;
export const PCI_SLOTS = 32;

export const PCI_VENDOR_ID = 0x00;
export const PCI_DEVICE_ID = 0x02;
export const PCI_COMMAND = 0x04;
export const PCI_STATUS = 0x06;
export const PCI_REVISION = 0x08;
export const PCI_CLASS = 0x09;
export const PCI_CACHE_LINE = 0x0c;
export const PCI_LATENCY = 0x0d;
export const PCI_HEADER_TYPE = 0x0e;
export const PCI_BAR0 = 0x10;
export const PCI_BARS = 6;
export const PCI_SUBSYSTEM_VENDOR = 0x2c;
export const PCI_SUBSYSTEM = 0x2e;
export const PCI_ROM_BAR = 0x30;
export const PCI_CAPABILITIES = 0x34;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;

export const COMMAND_IO = 0x0001;
export const COMMAND_MEMORY = 0x0002;
export const COMMAND_MASTER = 0x0004;
export const COMMAND_PARITY = 0x0040;
export const COMMAND_SERR = 0x0100;
export const COMMAND_INTX_DISABLE = 0x0400;
export const COMMAND_WRITABLE =
  COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_PARITY | COMMAND_SERR | COMMAND_INTX_DISABLE;
export const STATUS_INTERRUPT = 0x0008;
export const STATUS_CAPABILITIES = 0x0010;
export const STATUS_FAST_BACK_TO_BACK = 0x0080;
export const STATUS_DEVSEL_MEDIUM = 0x0200;
/** Write one to clear. */
export const STATUS_ERRORS = 0xf900;
export const HEADER_MULTIFUNCTION = 0x80;

export const BAR_IO = 1;
export const BAR_64BIT = 4;
export const BAR_PREFETCHABLE = 8;

export const VENDOR_INTEL = 0x8086;
export const DEVICE_I440FX = 0x1237;
export const DEVICE_PIIX3_ISA = 0x7000;
export const DEVICE_PIIX4_PM = 0x7113;
/** Subsystem vendor and device that virtual machines of this kind carry. */
export const SUBSYSTEM_VENDOR = 0x1af4;
export const SUBSYSTEM_DEVICE = 0x1100;

/** Base class, subclass, programming interface as one number. */
export const CLASS_HOST_BRIDGE = 0x060000;
export const CLASS_ISA_BRIDGE = 0x060100;
export const CLASS_OTHER_BRIDGE = 0x068000;

/** Intel 82441FX data sheet: programmable attribute map, 0x59-0x5f, and SMRAM control. */
export const PAM_FIRST = 0x59;
export const PAM_COUNT = 7;
export const SMRAM_CONTROL = 0x72;

/** Intel 82371SB (PIIX3) data sheet, "PIRQx Route Control Registers": bit 7 disables, 3:0 the IRQ. */
export const PIRQ_ROUTE = 0x60;
export const PIRQ_COUNT = 4;
export const PIRQ_DISABLED = 0x80;
/** IRQs 3-7, 9-12, 14, 15. */
export const PIRQ_VALID_IRQS = 0xdef8;

/**
 * Other registers of the PIIX3 that do not start as zero: I/O recovery, X-bus chip select, top of memory, motherboard
 * IRQ and DMA routing, chip select control, SMI control, fast-off timer.
 */
export const PIIX3_DEFAULTS: readonly (readonly [number, number])[] = [
  [0x4c, 0x4d],
  [0x4e, 0x03],
  [0x69, 0x02],
  [0x70, 0x80],
  [0x76, 0x0c],
  [0x77, 0x0c],
  [0x78, 0x02],
  [0xa0, 0x08],
  [0xa8, 0x0f],
];

/** Intel 82371AB (PIIX4) data sheet, function 3: PMBASE and "Miscellaneous Power Management". */
export const PIIX4_PMBASE = 0x40;
export const PIIX4_PMREGMISC = 0x80;
export const PMREGMISC_IO_ENABLE = 0x01;
/** "Device Activity B": writes to the APMC port raise SMIs. */
export const PIIX4_DEVACTB = 0x58;
export const DEVACTB_APMC_ENABLE = 1 << 25;
/** PIIX4 function 3: SMBus base and host configuration. */
export const PIIX4_SMBBASE = 0x90;
export const PIIX4_SMBHSTCFG = 0xd2;
export const SMBHSTCFG_ENABLE = 0x01;
/** Where it sits without firmware. */
export const SMBUS_PORT = 0x700;
export const SMBUS_SIZE = 16;
