/** Multiboot Specification 0.6.96 and Multiboot2 Specification 2.0: headers in the image, information for the image. */

export const MULTIBOOT1 = {
  HEADER_MAGIC: 0x1badb002,
  /** In EAX at the entry. */
  LOADER_MAGIC: 0x2badb002,
  SEARCH_LIMIT: 8192,
  HEADER_ALIGN: 4,
  /** Bits 0-15 are demands; an unknown one must be refused. */
  FLAG_PAGE_ALIGN: 0x1,
  FLAG_MEMORY_INFO: 0x2,
  FLAG_VIDEO_MODE: 0x4,
  DEMAND_MASK: 0xffff,
  FLAG_ADDRESSES: 0x10000,
  HEADER_SIZE: 12,
  HEADER_SIZE_WITH_ADDRESSES: 32,
} as const;

/** The Multiboot 1 information structure. */
export const MBI = {
  FLAGS: 0,
  MEM_LOWER: 4,
  MEM_UPPER: 8,
  CMDLINE: 16,
  MODS_COUNT: 20,
  MODS_ADDR: 24,
  SYMS: 28,
  MMAP_LENGTH: 44,
  MMAP_ADDR: 48,
  BOOT_LOADER_NAME: 64,
  SIZE: 120,
  MODULE_SIZE: 16,
  MMAP_ENTRY_SIZE: 24,
  HAS_MEMORY: 0x1,
  HAS_CMDLINE: 0x4,
  HAS_MODULES: 0x8,
  HAS_ELF_SECTIONS: 0x20,
  HAS_MMAP: 0x40,
  HAS_LOADER_NAME: 0x200,
} as const;

export const MULTIBOOT2 = {
  HEADER_MAGIC: 0xe85250d6,
  LOADER_MAGIC: 0x36d76289,
  SEARCH_LIMIT: 32768,
  HEADER_ALIGN: 8,
  HEADER_SIZE: 16,
  ARCHITECTURE_I386: 0,
  TAG_OPTIONAL: 1,
} as const;

/** Tags in the image's header. */
export const HEADER_TAG = {
  END: 0,
  INFORMATION_REQUEST: 1,
  ADDRESS: 2,
  ENTRY_ADDRESS: 3,
  CONSOLE_FLAGS: 4,
  FRAMEBUFFER: 5,
  MODULE_ALIGN: 6,
  EFI_BOOT_SERVICES: 7,
  ENTRY_ADDRESS_EFI32: 8,
  ENTRY_ADDRESS_EFI64: 9,
  RELOCATABLE: 10,
} as const;

export const CONSOLE_REQUIRED = 1;
export const RELOCATE_PREFER_HIGH = 2;

/** Tags in the information for the image. */
export const INFO_TAG = {
  END: 0,
  CMDLINE: 1,
  BOOT_LOADER_NAME: 2,
  MODULE: 3,
  BASIC_MEMINFO: 4,
  MMAP: 6,
  ELF_SECTIONS: 9,
  ACPI_OLD: 14,
  ACPI_NEW: 15,
  LOAD_BASE_ADDR: 21,
} as const;

/** Memory map types; 1 to 4 as E820. */
export const MEMORY_AVAILABLE = 1;
