/** The PVH boot ABI. Xen documentation, "x86/HVM direct boot ABI"; public/arch-x86/hvm/start_info.h, layout version 1. */

export const XEN_NOTE_NAME = 'Xen\0';
export const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** "xEn3" with bit 7 of the first byte set. */
export const START_MAGIC = 0x336ec578;
export const START_VERSION = 1;

/** struct hvm_start_info. */
export const START_INFO = {
  MAGIC: 0,
  VERSION: 4,
  FLAGS: 8,
  NR_MODULES: 12,
  MODLIST_PADDR: 16,
  CMDLINE_PADDR: 24,
  RSDP_PADDR: 32,
  MEMMAP_PADDR: 40,
  MEMMAP_ENTRIES: 48,
  SIZE: 56,
} as const;

/** struct hvm_modlist_entry. */
export const MODLIST_ENTRY = {
  PADDR: 0,
  SIZE: 8,
  CMDLINE_PADDR: 16,
  ENTRY_SIZE: 32,
} as const;

/** struct hvm_memmap_table_entry. */
export const MEMMAP_ENTRY = {
  ADDR: 0,
  SIZE: 8,
  TYPE: 16,
  ENTRY_SIZE: 24,
} as const;
