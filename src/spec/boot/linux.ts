/**
 * The Linux/x86 boot protocol: offsets into the bzImage's setup header and into boot_params (the "zero page").
 * Linux documentation, "The Linux/x86 Boot Protocol" and "Zero Page".
 */

export const BOOT_SECTOR_SIZE = 512;
export const BOOT_FLAG_OFFSET = 0x1fe;
export const BOOT_FLAG = 0xaa55;
export const HEADER_MAGIC_OFFSET = 0x202;
/** "HdrS". */
export const HEADER_MAGIC = 0x53726448;

/** Setup header fields; the same offsets in the file and in boot_params. */
export const SETUP = {
  SETUP_SECTS: 0x1f1,
  SYSSIZE: 0x1f4,
  VID_MODE: 0x1fa,
  /** One byte: the header ends at 0x202 plus this value. */
  HEADER_END: 0x201,
  VERSION: 0x206,
  TYPE_OF_LOADER: 0x210,
  LOADFLAGS: 0x211,
  CODE32_START: 0x214,
  RAMDISK_IMAGE: 0x218,
  RAMDISK_SIZE: 0x21c,
  HEAP_END_PTR: 0x224,
  CMD_LINE_PTR: 0x228,
  INITRD_ADDR_MAX: 0x22c,
  KERNEL_ALIGNMENT: 0x230,
  RELOCATABLE_KERNEL: 0x234,
  XLOADFLAGS: 0x236,
  CMDLINE_SIZE: 0x238,
  PAYLOAD_OFFSET: 0x248,
  PAYLOAD_LENGTH: 0x24c,
  PREF_ADDRESS: 0x258,
  INIT_SIZE: 0x260,
} as const;

/** boot_params fields outside the setup header. */
export const ZERO_PAGE = {
  SIZE: 0x1000,
  EXT_MEM_K: 0x002,
  ACPI_RSDP_ADDR: 0x070,
  ALT_MEM_K: 0x1e0,
  E820_ENTRIES: 0x1e8,
  SETUP_HEADER: 0x1f1,
  /** First byte that is no longer the setup header. */
  SETUP_HEADER_LIMIT: 0x290,
  E820_TABLE: 0x2d0,
} as const;

export const E820_ENTRY_SIZE = 20;
export const E820_MAX_ENTRIES = 128;

export const LOADFLAGS_LOADED_HIGH = 0x01;
export const LOADFLAGS_CAN_USE_HEAP = 0x80;
export const XLF_KERNEL_64 = 0x0001;
/** No registered boot loader. */
export const LOADER_UNDEFINED = 0xff;
export const VID_MODE_NORMAL = 0xffff;
/** The 64-bit entry point lies this far behind the start of the protected-mode code. */
export const ENTRY_64_OFFSET = 0x200;
/** Where a kernel that is not relocatable goes. */
export const DEFAULT_LOAD_ADDRESS = 0x100000;
/** What an old kernel takes when it does not say: "255 characters", initrd below 0x38000000. */
export const DEFAULT_CMDLINE_SIZE = 255;
export const DEFAULT_INITRD_ADDR_MAX = 0x37ffffff;

/** Selectors the entry points expect: __BOOT_CS and __BOOT_DS. */
export const BOOT_CS = 0x10;
export const BOOT_DS = 0x18;
