/** QEMU's firmware configuration device, docs/specs/fw_cfg: selector, data and DMA ports, well-known keys. */
export const FW_CFG_PORT = 0x510;
export const FW_CFG_DATA_OFFSET = 1;
export const FW_CFG_DMA_PORT = 0x514;

export const FW_CFG_SIGNATURE = 0x0000;
export const FW_CFG_ID = 0x0001;
export const FW_CFG_UUID = 0x0002;
export const FW_CFG_RAM_SIZE = 0x0003;
export const FW_CFG_NO_GRAPHIC = 0x0004;
export const FW_CFG_NB_CPUS = 0x0005;
export const FW_CFG_BOOT_MENU = 0x000e;
export const FW_CFG_MAX_CPUS = 0x000f;
/** A kernel to start: for each part where it goes, how long it is, and its bytes. */
export const FW_CFG_KERNEL = { ADDRESS: 0x07, SIZE: 0x08, DATA: 0x11 } as const;
export const FW_CFG_INITRD = { ADDRESS: 0x0a, SIZE: 0x0b, DATA: 0x12 } as const;
export const FW_CFG_COMMAND_LINE = { ADDRESS: 0x13, SIZE: 0x14, DATA: 0x15 } as const;
export const FW_CFG_SETUP = { ADDRESS: 0x16, SIZE: 0x17, DATA: 0x18 } as const;
export const FW_CFG_FILE_DIR = 0x0019;
export const FW_CFG_FILE_FIRST = 0x0020;
/** Bit 14 asked for write access once, bit 15 selects architecture-specific items. */
export const FW_CFG_KEY_MASK = 0xbfff;

export const FW_CFG_FILE_ENTRY_SIZE = 64;
export const FW_CFG_FILE_NAME_SIZE = 56;

export const FW_CFG_ID_TRADITIONAL = 0x01;
export const FW_CFG_ID_DMA = 0x02;
/** What the DMA address register reads: "QEMU CFG". */
export const FW_CFG_DMA_SIGNATURE_HIGH = 0x51454d55;
export const FW_CFG_DMA_SIGNATURE_LOW = 0x20434647;

export const DMA_ERROR = 0x01;
export const DMA_READ = 0x02;
export const DMA_SKIP = 0x04;
export const DMA_SELECT = 0x08;
export const DMA_WRITE = 0x10;
/** Control, length and address, big-endian. */
export const DMA_DESCRIPTOR_SIZE = 16;

/** Names of files that firmware looks for. SeaBIOS documentation, "Runtime configuration". */
export const FILE_E820 = 'etc/e820';
export const FILE_ACPI_TABLES = 'etc/acpi/tables';
export const FILE_ACPI_RSDP = 'etc/acpi/rsdp';
export const FILE_TABLE_LOADER = 'etc/table-loader';
export const FILE_SMBIOS_ANCHOR = 'etc/smbios/smbios-anchor';
export const FILE_SMBIOS_TABLES = 'etc/smbios/smbios-tables';
export const FILE_BOOT_ORDER = 'bootorder';
/** u32, milliseconds until the next try after nothing could be booted; all ones: never. */
export const FILE_BOOT_FAIL_WAIT = 'etc/boot-fail-wait';
/** u16 port: text output and keyboard on a serial port, for machines without a display. */
export const FILE_SERCON_PORT = 'etc/sercon-port';
export const FOLDER_OPTION_ROMS = 'genroms/';
/** The prefix of an option ROM's file in the boot order. */
export const BOOT_ORDER_ROM = '/rom@';

/** QEMU, docs/specs and the loader's interface: entries of 128 bytes in etc/table-loader. */
export const LOADER_ENTRY_SIZE = 128;
export const LOADER_ALLOCATE = 1;
export const LOADER_ADD_POINTER = 2;
export const LOADER_ADD_CHECKSUM = 3;
/** Where LOADER_ALLOCATE puts a file: anywhere high, or where the RSDP is looked for. */
export const LOADER_ZONE_HIGH = 1;
export const LOADER_ZONE_FSEG = 2;
