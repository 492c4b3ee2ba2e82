/** ELF, as far as boot loaders need it. System V ABI, chapters "ELF Header" and "Program Header". */

export const ELF_MAGIC = 0x464c457f;
export const EI_CLASS = 4;
export const EI_DATA = 5;
export const ELFCLASS32 = 1;
export const ELFCLASS64 = 2;
export const ELFDATA2LSB = 1;
export const ET_EXEC = 2;
export const ET_DYN = 3;
export const EM_386 = 3;
export const EM_X86_64 = 62;
export const PT_LOAD = 1;
export const PT_NOTE = 4;
export const SHT_NULL = 0;
export const SHT_NOBITS = 8;
export const SHF_ALLOC = 2;

/** Offsets and sizes that differ between the classes. */
export interface ElfLayout {
  readonly word: 4 | 8;
  readonly headerSize: number;
  readonly entry: number;
  readonly phoff: number;
  readonly shoff: number;
  readonly phentsize: number;
  readonly phnum: number;
  readonly shentsize: number;
  readonly shnum: number;
  readonly shstrndx: number;
  readonly programHeaderSize: number;
  readonly pOffset: number;
  readonly pVaddr: number;
  readonly pPaddr: number;
  readonly pFilesz: number;
  readonly pMemsz: number;
  readonly pAlign: number;
  readonly sectionHeaderSize: number;
  readonly shFlags: number;
  readonly shAddr: number;
  readonly shOffset: number;
  readonly shSize: number;
}

export const ELF32_LAYOUT: ElfLayout = {
  word: 4,
  headerSize: 52,
  entry: 24,
  phoff: 28,
  shoff: 32,
  phentsize: 42,
  phnum: 44,
  shentsize: 46,
  shnum: 48,
  shstrndx: 50,
  programHeaderSize: 32,
  pOffset: 4,
  pVaddr: 8,
  pPaddr: 12,
  pFilesz: 16,
  pMemsz: 20,
  pAlign: 28,
  sectionHeaderSize: 40,
  shFlags: 8,
  shAddr: 12,
  shOffset: 16,
  shSize: 20,
};

export const ELF64_LAYOUT: ElfLayout = {
  word: 8,
  headerSize: 64,
  entry: 24,
  phoff: 32,
  shoff: 40,
  phentsize: 54,
  phnum: 56,
  shentsize: 58,
  shnum: 60,
  shstrndx: 62,
  programHeaderSize: 56,
  pOffset: 8,
  pVaddr: 16,
  pPaddr: 24,
  pFilesz: 32,
  pMemsz: 40,
  pAlign: 48,
  sectionHeaderSize: 64,
  shFlags: 8,
  shAddr: 16,
  shOffset: 24,
  shSize: 32,
};
