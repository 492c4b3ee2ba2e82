/**
 * CPUID feature bits by name. Intel SDM Vol. 2A, "CPUID—CPU Identification".
 * Names are the manual's, in lower case where Linux shows them in /proc/cpuinfo under the same word.
 */

export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

export interface CpuidFeature {
  readonly name: string;
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: CpuidRegister;
  readonly bit: number;
  readonly title: string;
}

type Row = readonly [bit: number, name: string, title: string];

function register(leaf: number, subleaf: number, name: CpuidRegister, rows: readonly Row[]): CpuidFeature[] {
  return rows.map(([bit, feature, title]) => ({ name: feature, leaf, subleaf, register: name, bit, title }));
}

export const CPUID_FEATURES: readonly CpuidFeature[] = [
  ...register(1, 0, 'edx', [
    [0, 'fpu', 'x87 floating-point unit'],
    [1, 'vme', 'virtual-8086 mode extensions'],
    [2, 'de', 'debugging extensions, I/O breakpoints'],
    [3, 'pse', '4 MiB pages'],
    [4, 'tsc', 'time-stamp counter'],
    [5, 'msr', 'RDMSR and WRMSR'],
    [6, 'pae', 'physical address extension'],
    [7, 'mce', 'machine-check exception'],
    [8, 'cx8', 'CMPXCHG8B'],
    [9, 'apic', 'local APIC'],
    [11, 'sep', 'SYSENTER and SYSEXIT'],
    [12, 'mtrr', 'memory type range registers'],
    [13, 'pge', 'global pages'],
    [14, 'mca', 'machine-check architecture'],
    [15, 'cmov', 'conditional moves'],
    [16, 'pat', 'page attribute table'],
    [17, 'pse36', '36-bit addresses of 4 MiB pages'],
    [18, 'pn', 'processor serial number'],
    [19, 'clflush', 'CLFLUSH'],
    [21, 'dts', 'debug store'],
    [22, 'acpi', 'thermal monitor and clock control MSRs'],
    [23, 'mmx', 'MMX'],
    [24, 'fxsr', 'FXSAVE and FXRSTOR'],
    [25, 'sse', 'SSE'],
    [26, 'sse2', 'SSE2'],
    [27, 'ss', 'self-snoop'],
    [28, 'ht', 'several logical processors'],
    [29, 'tm', 'thermal monitor'],
    [31, 'pbe', 'pending break enable'],
  ]),
  ...register(1, 0, 'ecx', [
    [0, 'sse3', 'SSE3'],
    [1, 'pclmulqdq', 'PCLMULQDQ'],
    [2, 'dtes64', '64-bit debug store'],
    [3, 'monitor', 'MONITOR and MWAIT'],
    [5, 'vmx', 'virtual machine extensions'],
    [6, 'smx', 'safer mode extensions'],
    [7, 'est', 'SpeedStep'],
    [9, 'ssse3', 'SSSE3'],
    [12, 'fma', 'fused multiply-add'],
    [13, 'cx16', 'CMPXCHG16B'],
    [15, 'pdcm', 'performance capabilities MSR'],
    [17, 'pcid', 'process-context identifiers'],
    [19, 'sse4_1', 'SSE4.1'],
    [20, 'sse4_2', 'SSE4.2'],
    [21, 'x2apic', 'x2APIC'],
    [22, 'movbe', 'MOVBE'],
    [23, 'popcnt', 'POPCNT'],
    [24, 'tsc_deadline_timer', 'TSC deadline of the local APIC timer'],
    [25, 'aes', 'AES instructions'],
    [26, 'xsave', 'XSAVE, XRSTOR, XSETBV, XGETBV'],
    [28, 'avx', 'AVX'],
    [29, 'f16c', '16-bit floating-point conversion'],
    [30, 'rdrand', 'RDRAND'],
    [31, 'hypervisor', 'runs under a hypervisor'],
  ]),
  ...register(6, 0, 'eax', [[2, 'arat', 'local APIC timer runs always']]),
  ...register(7, 0, 'ebx', [
    [0, 'fsgsbase', 'RDFSBASE and its kin'],
    [1, 'tsc_adjust', 'IA32_TSC_ADJUST'],
    [2, 'sgx', 'software guard extensions'],
    [3, 'bmi1', 'bit manipulation, first group'],
    [4, 'hle', 'hardware lock elision'],
    [5, 'avx2', 'AVX2'],
    [7, 'smep', 'supervisor-mode execution prevention'],
    [8, 'bmi2', 'bit manipulation, second group'],
    [9, 'erms', 'fast REP MOVSB and STOSB'],
    [10, 'invpcid', 'INVPCID'],
    [11, 'rtm', 'restricted transactional memory'],
    [14, 'mpx', 'memory protection extensions'],
    [16, 'avx512f', 'AVX-512 foundation'],
    [18, 'rdseed', 'RDSEED'],
    [19, 'adx', 'ADCX and ADOX'],
    [20, 'smap', 'supervisor-mode access prevention'],
    [23, 'clflushopt', 'CLFLUSHOPT'],
    [24, 'clwb', 'CLWB'],
    [29, 'sha_ni', 'SHA instructions'],
  ]),
  ...register(7, 0, 'ecx', [
    [2, 'umip', 'user-mode instruction prevention'],
    [3, 'pku', 'protection keys of user pages'],
    [5, 'waitpkg', 'UMONITOR, UMWAIT, TPAUSE'],
    [7, 'shstk', 'shadow stacks'],
    [8, 'gfni', 'Galois field instructions'],
    [9, 'vaes', 'vector AES'],
    [10, 'vpclmulqdq', 'vector PCLMULQDQ'],
    [16, 'la57', '5-level paging'],
    [22, 'rdpid', 'RDPID'],
    [25, 'cldemote', 'CLDEMOTE'],
    [27, 'movdiri', 'MOVDIRI'],
    [28, 'movdir64b', 'MOVDIR64B'],
  ]),
  ...register(7, 0, 'edx', [
    [4, 'fsrm', 'fast short REP MOVSB'],
    [14, 'serialize', 'SERIALIZE'],
    [20, 'ibt', 'indirect branch tracking'],
    [26, 'spec_ctrl', 'IBRS and IBPB'],
    [27, 'stibp', 'single thread indirect branch predictors'],
    [29, 'arch_capabilities', 'IA32_ARCH_CAPABILITIES'],
    [31, 'ssbd', 'speculative store bypass disable'],
  ]),
  ...register(7, 2, 'edx', [[4, 'bhi_ctrl', 'BHI_DIS_S in IA32_SPEC_CTRL']]),
  ...register(0xd, 1, 'eax', [
    [0, 'xsaveopt', 'XSAVEOPT'],
    [1, 'xsavec', 'XSAVEC and compacted XRSTOR'],
    [2, 'xgetbv1', 'XGETBV with ECX = 1'],
    [3, 'xsaves', 'XSAVES, XRSTORS and IA32_XSS'],
  ]),
  ...register(0x80000001, 0, 'ecx', [
    [0, 'lahf_lm', 'LAHF and SAHF in 64-bit code'],
    [5, 'abm', 'LZCNT'],
    [8, '3dnowprefetch', 'PREFETCHW'],
  ]),
  ...register(0x80000001, 0, 'edx', [
    [11, 'syscall', 'SYSCALL and SYSRET in 64-bit code'],
    [20, 'nx', 'execute disable'],
    [26, 'pdpe1gb', '1 GiB pages'],
    [27, 'rdtscp', 'RDTSCP'],
    [29, 'lm', '64-bit mode'],
  ]),
  ...register(0x80000007, 0, 'edx', [[8, 'nonstop_tsc', 'TSC of constant rate']]),
];
