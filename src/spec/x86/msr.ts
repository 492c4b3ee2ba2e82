/** Model-specific registers by number. Intel SDM Vol. 4, "Architectural MSRs". The generated reference prints it. */

export interface MsrName {
  readonly first: number;
  readonly last: number;
  readonly name: string;
  readonly title: string;
}

type Row = readonly [first: number, last: number, name: string, title: string];

const ROWS: readonly Row[] = [
  [0x00, 0x01, 'IA32_P5_MC_ADDR, IA32_P5_MC_TYPE', 'machine checks as the Pentium told them'],
  [0x10, 0x10, 'IA32_TIME_STAMP_COUNTER', 'time-stamp counter'],
  [0x17, 0x17, 'IA32_PLATFORM_ID', 'platform'],
  [0x1b, 0x1b, 'IA32_APIC_BASE', 'place and state of the local APIC'],
  [0x3b, 0x3b, 'IA32_TSC_ADJUST', 'what was added to the time-stamp counter'],
  [0x48, 0x48, 'IA32_SPEC_CTRL', 'speculation control'],
  [0x49, 0x49, 'IA32_PRED_CMD', 'prediction barrier'],
  [0x79, 0x79, 'IA32_BIOS_UPDT_TRIG', 'microcode update'],
  [0x8b, 0x8b, 'IA32_BIOS_SIGN_ID', 'microcode revision'],
  [0xfe, 0xfe, 'IA32_MTRRCAP', 'memory type ranges there are'],
  [0x10a, 0x10a, 'IA32_ARCH_CAPABILITIES', 'leaks that this processor does not have'],
  [0x174, 0x174, 'IA32_SYSENTER_CS', 'code segment of SYSENTER'],
  [0x175, 0x175, 'IA32_SYSENTER_ESP', 'stack of SYSENTER'],
  [0x176, 0x176, 'IA32_SYSENTER_EIP', 'target of SYSENTER'],
  [0x179, 0x179, 'IA32_MCG_CAP', 'machine-check banks'],
  [0x17a, 0x17a, 'IA32_MCG_STATUS', 'machine-check state'],
  [0x1a0, 0x1a0, 'IA32_MISC_ENABLE', 'features that can be switched'],
  [0x1d9, 0x1d9, 'IA32_DEBUGCTL', 'debug and trace control'],
  [0x1db, 0x1dc, 'MSR_LASTBRANCHFROMIP, MSR_LASTBRANCHTOIP', 'last branch'],
  [0x1dd, 0x1de, 'MSR_LER_FROM_LIP, MSR_LER_TO_LIP', 'last branch before an exception'],
  [0x200, 0x20f, 'IA32_MTRR_PHYSBASE0-7, IA32_MTRR_PHYSMASK0-7', 'variable memory type ranges'],
  [0x250, 0x250, 'IA32_MTRR_FIX64K_00000', 'fixed memory types'],
  [0x258, 0x259, 'IA32_MTRR_FIX16K_80000, _A0000', 'fixed memory types'],
  [0x268, 0x26f, 'IA32_MTRR_FIX4K_C0000 to _F8000', 'fixed memory types'],
  [0x277, 0x277, 'IA32_PAT', 'page attribute table'],
  [0x2ff, 0x2ff, 'IA32_MTRR_DEF_TYPE', 'memory type elsewhere'],
  [0x6e0, 0x6e0, 'IA32_TSC_DEADLINE', "the local APIC timer's deadline"],
  [0x800, 0x8ff, 'x2APIC registers', 'the local APIC in x2APIC mode'],
  [0xc0000080, 0xc0000080, 'IA32_EFER', 'extended features'],
  [0xc0000081, 0xc0000081, 'IA32_STAR', 'segments of SYSCALL and SYSRET'],
  [0xc0000082, 0xc0000082, 'IA32_LSTAR', 'target of SYSCALL in 64-bit code'],
  [0xc0000083, 0xc0000083, 'IA32_CSTAR', 'target of SYSCALL in compatibility mode'],
  [0xc0000084, 0xc0000084, 'IA32_FMASK', 'flags that SYSCALL clears'],
  [0xc0000100, 0xc0000100, 'IA32_FS_BASE', 'base of FS'],
  [0xc0000101, 0xc0000101, 'IA32_GS_BASE', 'base of GS'],
  [0xc0000102, 0xc0000102, 'IA32_KERNEL_GS_BASE', 'what SWAPGS swaps in'],
  [0xc0000103, 0xc0000103, 'IA32_TSC_AUX', 'what RDTSCP tells besides'],
];

export const MSRS: readonly MsrName[] = ROWS.map(([first, last, name, title]) => ({ first, last, name, title }));
