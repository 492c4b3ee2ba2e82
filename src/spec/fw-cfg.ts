/** QEMU's firmware configuration device, docs/specs/fw_cfg: selector, data and DMA ports, well-known keys. */
export const FW_CFG_PORT = 0x510;
export const FW_CFG_DATA_OFFSET = 1;
export const FW_CFG_DMA_PORT = 0x514;

export const FW_CFG_SIGNATURE = 0x0000;
export const FW_CFG_ID = 0x0001;
export const FW_CFG_UUID = 0x0002;
export const FW_CFG_RAM_SIZE = 0x0003;
export const FW_CFG_NB_CPUS = 0x0005;
export const FW_CFG_MAX_CPUS = 0x000f;
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
