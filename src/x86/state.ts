/**
 * Where everything lives in a VM's linear memory, and the layout of one vCPU's state.
 *
 * This file is read by two compilers (TypeScript and AssemblyScript): only `export const` of integer literals and
 * sums of them, no imports, no types.
 *
 *   0x0000_0000  64 KiB   never used: a null pointer faults a test, not a guest
 *   0x0001_0000  64 KiB   vCPU 0 state (this layout)
 *   0x0002_0000  ...      TLBs of vCPU 0
 *   0x0009_0000  ...      TLB bookkeeping of vCPU 0
 *   0x0020_0000  ...      jump cache of vCPU 0
 *   0x0010_0000  1 MiB    static data of the runtime (AssemblyScript's memoryBase)
 *   0x0030_0000  1 MiB    page attributes, one byte per guest page frame
 *   0x0040_0000  52 MiB   decoded blocks (records of the interpreter)
 *   0x0380_0000  8 MiB    code bitmap: u64 per guest page frame, bit n = 64-byte chunk n holds translated code
 *   0x0400_0000  ...      guest RAM, GPA 0 first; behind it the firmware's ROM
 */

export const CPU_BASE = 0x10000;

// ---- general state, offsets from CPU_BASE ----
/** 16 GPRs of 8 bytes in encoding order: RAX RCX RDX RBX RSP RBP RSI RDI R8-R15. */
export const GPR = 0;
/** A u64 that is always zero: what an absent base or index register points at. */
export const ZERO = 128;
/** u64, architectural RIP; exact whenever engine code is not running (after an exit, inside a runtime routine). */
export const RIP = 136;
/** u64, RIP minus the offset of the current instruction in its linear page: rip = RIP_BASE + record offset. */
export const RIP_BASE = 144;
/** Lazy status flags: i32 operation (see CC_*), u64 result, u64 source, u64 second source. */
export const CC_OP = 152;
export const CC_DST = 160;
export const CC_SRC = 168;
export const CC_SRC2 = 176;
/** u64, RFLAGS without the six status flags (they live in CC_*): bit 1 always set, TF IF DF IOPL NT RF VM AC VIF VIP ID. */
export const RFLAGS = 184;
/** i32, the block key: every mode that changes decoding, addressing or privilege (KEY_*). Kept by `updateKey`. */
export const BLOCK_KEY = 192;
/** i32, instructions left until the engine must return to the run loop. */
export const BUDGET = 196;
/** i32, why compiled code stopped: STATUS_*. Zero while running. */
export const STATUS = 200;
/** i32 vector, i32 error code, i32 1 if there is an error code: the exception pending when STATUS is STATUS_FAULT. */
export const EXCEPTION_VECTOR = 204;
export const EXCEPTION_ERROR = 208;
export const EXCEPTION_HAS_ERROR = 212;
/** i32, current privilege level. */
export const CPL = 216;
/** i32, not 0 while maskable interrupts are held off for one instruction (after STI, MOV SS, POP SS). */
export const INTERRUPT_SHADOW = 220;
/** Value of INTERRUPT_SHADOW after MOV SS and POP SS, which hold back debug exceptions as well; after STI it is 1. */
export const SHADOW_OF_SS = 2;
/** i32, nonzero when the machine wants the vCPU back at once (interrupt to inject, timer, kick); any thread may set it. */
export const EXIT_REQUEST = 224;
/** What is put there: above any budget, so that `BUDGET < EXIT_REQUEST` asks for both. */
export const EXIT_REQUESTED = 0x7fffffff;
/** i32, 1 when the vCPU waits in HLT. */
export const HALTED = 228;
/** i32, pointer to the block header that became hot (STATUS_HOT) or the link record to resolve (STATUS_LINK). */
export const RECORD = 232;
/** u64 guest physical address and i32 size of the store that hit translated code (STATUS_CODE_WRITE). */
export const CODE_WRITE_GPA = 240;
export const CODE_WRITE_SIZE = 248;
/** i32, NMI blocked until IRET. */
export const NMI_BLOCKED = 252;

// ---- segment registers: ES CS SS DS FS GS LDTR TR, 24 bytes each ----
/** base u64 +0, limit u32 +8 (bytes, granularity applied), attributes u32 +12, selector u32 +16. */
export const SEGMENT = 256;
export const SEGMENT_STRIDE = 24;
export const SEGMENT_BASE = 0;
export const SEGMENT_LIMIT = 8;
/** As in the descriptor's second dword shifted right by 8: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15; 16 = unusable. */
export const SEGMENT_ATTRIBUTES = 12;
export const SEGMENT_SELECTOR = 16;
export const SEG_ES = 0;
export const SEG_CS = 1;
export const SEG_SS = 2;
export const SEG_DS = 3;
export const SEG_FS = 4;
export const SEG_GS = 5;
export const SEG_LDTR = 6;
export const SEG_TR = 7;
export const GDTR_BASE = 448;
export const GDTR_LIMIT = 456;
export const IDTR_BASE = 464;
export const IDTR_LIMIT = 472;

// ---- control, debug and model-specific registers (u64 each unless said) ----
export const CR0 = 480;
export const CR2 = 488;
export const CR3 = 496;
export const CR4 = 504;
export const CR8 = 512;
export const XCR0 = 520;
export const EFER = 528;
export const STAR = 536;
export const LSTAR = 544;
export const CSTAR = 552;
export const FMASK = 560;
export const KERNEL_GS_BASE = 568;
export const TSC_AUX = 576;
export const SYSENTER_CS = 584;
export const SYSENTER_ESP = 592;
export const SYSENTER_EIP = 600;
export const PAT = 608;
export const MISC_ENABLE = 616;
/** i64 added to the clock import to give the TSC. */
export const TSC_OFFSET = 624;
/** DR0-DR7, u64 each. */
export const DR = 640;
/** Four PDPTE registers of PAE paging, u64 each. */
export const PDPTE = 704;
/** MTRR and other MSRs that only store: MTRR_DEF_TYPE, 11 fixed, 8 variable pairs (u64 each). */
export const MTRR_DEF_TYPE = 736;
export const MTRR_FIXED = 744;
export const MTRR_VARIABLE = 832;
export const DEBUGCTL = 960;
export const SPEC_CTRL = 968;
export const UCODE_REV = 976;
export const MCG_STATUS = 992;
/** u32: DR6 bits of the data and I/O breakpoints the current instruction met; #DB follows when it has retired. */
export const PENDING_DEBUG = 1000;
/** u64, IA32_TSC_ADJUST. */
export const TSC_ADJUST = 1008;
/** u64: the address that raised #GP(0) because it is not canonical, 0: none. The engine makes #SS(0) of it where it was the stack's. */
export const NOT_CANONICAL = 1016;

// ---- floating point ----
/** Eight 16-byte slots indexed by PHYSICAL register: mantissa u64 +0, sign and exponent u16 +8. MMX n is the mantissa of physical n. */
export const FPR = 1024;
/** u16 control word, u16 status word (TOP kept in FPU_TOP; bits 13:11 of the stored word are stale), u8 tags: bit n = physical register n is EMPTY. */
export const FPU_CONTROL = 1152;
export const FPU_STATUS = 1154;
export const FPU_EMPTY = 1156;
/** u8, 0-7. */
export const FPU_TOP = 1157;
/** u16 last opcode, u64 last instruction pointer, u64 last data pointer, u16 selectors of both. */
export const FPU_OPCODE = 1158;
export const FPU_IP = 1160;
export const FPU_DP = 1168;
export const FPU_CS = 1176;
export const FPU_DS = 1178;
/** u32, exception flags that the current x87 instruction found unmasked. */
export const FPU_UNMASKED = 1180;
/** u32. */
export const MXCSR = 1184;
/** XMM0-XMM15, 16 bytes each. */
export const XMM = 1280;
/** Room for the upper halves of YMM0-YMM15. */
export const YMM_HIGH = 1536;
/** 64 bytes for values that cross the runtime boundary (128-bit slow loads and stores). */
export const SCRATCH = 1792;

// ---- exits that need the machine: the request, and the replay log of its answers ----
/** i32 EXIT_*; u64 address or port or MSR or leaf; i32 size in bytes; u64 value. Valid when STATUS is STATUS_EXIT. */
export const EXIT_KIND = 1856;
export const EXIT_SIZE = 1860;
export const EXIT_ADDRESS = 1864;
export const EXIT_VALUE = 1872;
/** i32 answers in the log, i32 answers consumed by the instruction now re-run; then 16 u64 answers. */
export const LOG_COUNT = 1880;
export const LOG_CURSOR = 1884;
export const LOG = 1888;
export const LOG_CAPACITY = 16;

// ---- counters (u64 each), for --stats ----
export const COUNT_INTERPRETED = 2048;
export const COUNT_TLB_MISS = 2064;
export const COUNT_PAGE_WALK = 2072;
export const COUNT_TLB_FLUSH = 2080;
export const COUNT_SLOW_ACCESS = 2088;
/** 32 u64: exceptions by vector; then 256 u64: interrupts by vector. */
export const COUNT_EXCEPTION = 2112;
export const COUNT_INTERRUPT = 2368;

// ---- machine parameters the runtime reads (set once by the engine) ----
/** u32, bytes of guest RAM from GPA 0 (at most 3 GiB). */
export const RAM_SIZE = 4480;
/** i32, physical address bits. */
export const PHYSICAL_BITS = 4484;
/** CPUID table: i32 count, then entries at CPUID_TABLE: leaf, subleaf (0xffffffff: any), eax, ebx, ecx, edx (u32 each). */
export const CPUID_COUNT = 4488;
export const CPUID_TABLE = 4608;
export const CPUID_ENTRY_SIZE = 24;
export const CPUID_CAPACITY = 128;
/** u32, bytes of the firmware's ROM; it ends at 4 GiB and lies behind guest RAM in linear memory. Whole pages. */
export const ROM_SIZE = 7680;
/** u64, address bits that are held at zero: bit 20 while the A20 gate is closed. */
export const ADDRESS_CLOSED = 7688;
/** i32, a non-maskable interrupt waits: IRET, which lets the next one in, asks for the run loop (EXIT_REQUEST). */
export const NMI_WANTED = 7696;
/** i32, an interrupt waits for CR8 to get below this: MOV to CR8 then asks for the run loop (EXIT_REQUEST); 0: none waits. */
export const TPR_THRESHOLD = 7700;
/** i32, 1 while the machine answers accesses at once (env.portRead and its kin); what it declines becomes an exit. */
export const DIRECT = 7704;
/** i32, wraps: instructions that take as long as a hundred others add that. */
export const LONG_WORK = 7712;
/** u32, what IN has read; bits above its size are zero. */
export const LAST_IN = 7708;
/** One byte per page of 0xc0000-0xfffff, for those whose attributes say PAGE_DEVICE: SHADOW_*. */
export const SHADOW = 7744;
export const SHADOW_BASE = 0xc0000;
export const SHADOW_END = 0x100000;
/** From here on the ROM's last 128 KiB answer where RAM does not. */
export const SHADOW_ROM_BASE = 0xe0000;
/** Reads go to the ROM or to nowhere, writes to RAM. */
export const SHADOW_WRITE_RAM = 1;

/** i32, an interrupt waits for IF: instructions that may set IF return to the run loop (STATUS_BUDGET). Set by the vCPU's own run loop. */
export const INTERRUPT_WANTED = 4496;
/** i32, 1 while the engine steps one instruction: the next block lookup answers STATUS_STEPPED. */
export const STEP = 4500;
/** i32, entries after which a block is hot. */
export const HOT_THRESHOLD = 4504;
/** u64, dispatches through the jump cache, and those that missed. */
export const COUNT_LOOKUP = 4512;
export const COUNT_LOOKUP_MISS = 4520;

/**
 * u32 generations of links between pages, for supervisor and user code: a link made under another generation is stale.
 * They change when a mapping that a link relied on may have gone. Then u32: a supervisor link relied on a mapping that is not global.
 */
export const LINK_GENERATION_SUPERVISOR = 4528;
export const LINK_GENERATION_USER = 4532;
export const LINKED_NOT_GLOBAL = 4536;
/** u32, offset of the newest entry in RETURN_RING. */
export const RETURN_TOP = 4540;
/** i32, BUDGET when the host's clock was last read; CLOCK_UNREAD, far above any, before it was in this slice. */
export const CLOCK_BUDGET = 4544;
export const CLOCK_UNREAD = 0x7fffffff;
/** u32, address of the tally of the region that compiled code was left from with a status; 0: it was left from elsewhere. */
export const LEFT_TALLY = 4568;
/**
 * What a region and the slow path of its memory accesses tell each other: u64, the place (SITE_*) that an access failed at; u64,
 * how far behind the host address that the slow path answers the bytes are; a cell for the bytes of an access that
 * compiled code could not make itself.
 */
export const ACCESS_SITE = 4552;
export const ACCESS_DELTA = 4560;
export const ACCESS_CELL = 4576;
/** ACCESS_DELTA for bytes in the cell: the low 32 bits are 0, and nothing else is near. */
export const DELTA_OF_CELL = 0x100000000;
// A site, from bit 0: size minus 1; whether a read is to be followed by a write; what is in locals, as bits of registers and above
// them of the flags; how many instructions to count down; signed, the instruction's offset from RIP_BASE.
export const SITE_SIZE_MASK = 15;
export const SITE_MODIFY = 16;
export const SITE_LOCALS_SHIFT = 5;
export const SITE_PENDING_SHIFT = 22;
export const SITE_PENDING_MASK = 0x1fff;
export const SITE_OFFSET_SHIFT = 35;

// ---- TLBs ----
// An entry is 16 bytes: tag i64 (page base of the GVA), host i32 (linear-memory address of the page), flags i32.
// Hit: (gva - tag) <u 4097 - size; then the host address is host + (gva - tag).
// An empty entry of slot i holds the tag of a page that lives neither in slot i nor beside it (page 0, or page 512 near
// slot 0), so it never hits, for addresses less than a page away either.
export const TLB_ENTRIES = 4096;
export const TLB_ENTRY_SIZE = 16;
export const TLB_SIZE = 65536;
/** Read view of MMU index m at TLB + m * 2 * TLB_SIZE; its write view TLB_SIZE further. */
export const TLB = 0x20000;
export const MMU_INDEXES = 3;
/** Fetch view, by CPL class (0 supervisor, 1 user): tag i64, host i32 of the page, flags. */
export const FETCH_TLB = 0x80000;
/** Entry flag: the mapping is global. */
export const TLB_FLAG_GLOBAL = 1;
/** Access kinds of a page walk. */
export const ACCESS_READ = 0;
export const ACCESS_WRITE = 1;
export const ACCESS_FETCH = 2;
/** A read whose fault must report a write (read-modify-write). */
export const ACCESS_MODIFY = 3;

// ---- jump cache: linear RIP -> block header, sets of two entries of 16 bytes: rip i64, header i32, unused i32 ----
export const JUMP_CACHE = 0x200000;
export const JUMP_CACHE_ENTRIES = 65536;

/** Non-global TLB entries filled since the last flush: u32 count, then linear-memory addresses of entries (u32). */
export const FILL_LIST = 0xa0000;
export const FILL_LIST_CAPACITY = 4095;
/**
 * Which regions of 2 MiB (4 MiB under 32-bit paging) have entries of a large page, a u32 per hash, lower half of the address
 * space first: 0 none, LARGE_MANY several, else the one region's number plus 1. INVLPG sweeps there.
 */
export const LARGE_MAP = 0xa8000;
export const LARGE_MAP_ENTRIES = 2048;
export const LARGE_MANY = 0xffffffff;
/** 1-GiB pages that entries were filled from: u32 count (more than HUGE_CAPACITY: not all are noted), then their numbers, u64. */
export const HUGE_LIST = 0xa4000;
export const HUGE_CAPACITY = 15;

/**
 * One byte per hash of pages that a link between pages leads into: dropping such a page's mapping makes links stale.
 * Links of supervisor code first, then as many of user code.
 */
export const LINKED_MAP = 0xa5000;
export const LINKED_MAP_SIZE = 8192;
/** Where the latest calls of translated code return to: entries of 16 bytes, RIP i64, address of the caller's link i32. */
export const RETURN_RING = 0xa7000;
export const RETURN_RING_SIZE = 512;
export const RETURN_ENTRY_SIZE = 16;
/**
 * What other pages pushed out of a read or write view since the last flush of any kind: a few entries for each view, in the views'
 * order. A free one has the tag VICTIM_FREE, which is no page's. Behind them where the next one goes, a u32 for each view.
 */
export const VICTIMS = 0xac000;
export const VICTIMS_OF_VIEW = 8;
export const VICTIMS_SIZE = 128;
export const VICTIM_FREE = 1;
export const VICTIM_NEXT = 0xac400;
/** u32, nonzero: some entry is not free. */
export const VICTIMS_USED = 0xac420;
/** u32, nonzero: a link of supervisor code leads into the lower half of the address space, or one of user code into the upper. */
export const LINKED_ASTRAY = 0xac424;

export const RUNTIME_DATA = 0x100000;

/** One byte per guest page frame (3 GiB / 4 KiB). */
export const PAGE_ATTRIBUTES = 0x300000;
/** The page holds translated code: its write view must never be filled. */
export const PAGE_HAS_CODE = 1;
/** Stores go to nowhere (ROM). */
export const PAGE_READ_ONLY = 2;
/** Not RAM: a bus access (VGA hole 0xa0000-0xbffff). */
export const PAGE_DEVICE = 4;
/** Written since the dirty log was last read. */
export const PAGE_DIRTY = 8;
/** Stores beside its code that a code page has seen, bits 6:4: at the last one its code is thrown away. */
export const PAGE_WRITES_ONE = 0x10;
export const PAGE_WRITES_MASK = 0x70;
/** Code and data live side by side here: its code stays however often it is written. */
export const PAGE_MIXED = 0x80;

export const BLOCKS = 0x400000;
export const BLOCKS_END = 0x3800000;
/** Eight bytes per guest page frame: its 64-byte chunks that hold code. */
export const CODE_BITMAP = 0x3800000;
/** i32 each, the first header of the blocks whose start has that hash. */
export const BLOCK_STARTS = 0x3e00000;
export const BLOCK_START_LISTS = 0x10000;

export const RAM = 0x4000000;

// ---- STATUS_*: what a handler, region or routine returns and leaves in STATUS ----
export const STATUS_OK = 0;
/** Back to the run loop: budget used up or EXIT_REQUEST set; RIP is exact. */
export const STATUS_BUDGET = 1;
/** An exception is pending in EXCEPTION_*; RIP is the faulting instruction (traps: the next one). */
export const STATUS_FAULT = 2;
/** No block known at RIP (or mode changed): look it up. */
export const STATUS_MISS = 3;
/** The machine must act: EXIT_*; the instruction at RIP has not retired and will be re-run with the answer in the log. */
export const STATUS_EXIT = 4;
/** The store at RIP would hit translated code; nothing was written. */
export const STATUS_CODE_WRITE = 5;
/** The block in RECORD crossed the threshold. */
export const STATUS_HOT = 6;
/** RECORD's successor is not resolved yet. */
export const STATUS_LINK = 7;
/** HLT retired: RIP is the next instruction, HALTED is set. */
export const STATUS_HALT = 8;
/** Triple fault: the vCPU is shut down. */
export const STATUS_SHUTDOWN = 9;
/** One instruction was asked for and has retired (single step). */
export const STATUS_STEPPED = 10;

// ---- EXIT_*: kinds of request ----
export const EXIT_PIO_IN = 1;
export const EXIT_PIO_OUT = 2;
export const EXIT_MMIO_READ = 3;
export const EXIT_MMIO_WRITE = 4;
/** EXIT_ADDRESS is the MSR; the answer is its value, or EXIT_VALUE the value to write. An answer may be refused: LOG_REFUSED. */
export const EXIT_RDMSR = 5;
export const EXIT_WRMSR = 6;
export const EXIT_HYPERCALL = 7;
/** i32 set by the engine with an answer: the machine refused the MSR, raise #GP(0). */
export const LOG_REFUSED = 4492;

// ---- BLOCK_KEY bits ----
/** 64-bit code: CS.L in long mode. */
export const KEY_CODE64 = 1;
/** CS.D: 32-bit default operand and address size (never with KEY_CODE64). */
export const KEY_CODE32 = 2;
/** MMU index, bits 3:2. */
export const KEY_MMU_SHIFT = 2;
export const KEY_MMU_MASK = 12;
/** Data accesses at CPL 3. */
export const MMU_USER = 0;
/** Supervisor, user pages forbidden (SMAP and not AC). */
export const MMU_SUPERVISOR_SMAP = 1;
/** Supervisor, user pages allowed. */
export const MMU_SUPERVISOR = 2;
/** CPL, bits 5:4. */
export const KEY_CPL_SHIFT = 4;
export const KEY_CPL_MASK = 48;
/** CR0.PE. */
export const KEY_PROTECTED = 64;
export const KEY_VM86 = 128;
/** SS.B: pushes and pops use ESP (never with KEY_CODE64). */
export const KEY_STACK32 = 256;
/** ES CS SS DS have base 0, limit 4 GiB and are usable: no segment arithmetic for them (always with KEY_CODE64). */
export const KEY_FLAT = 512;
/** RFLAGS.TF: one instruction per block, #DB after it. */
export const KEY_TRAP = 1024;
/** CR0.EM or CR0.TS: x87, MMX and SSE instructions raise #NM or #UD. Routines decide which. */
export const KEY_FPU_TRAP = 2048;
/** CR4.OSFXSR clear: SSE raises #UD. */
export const KEY_NO_SSE = 4096;
/** Some MXCSR exception is unmasked: SSE arithmetic must look for #XM after each operation. */
export const KEY_SSE_UNMASKED = 8192;
/** CR0.AM, RFLAGS.AC and CPL 3: alignment is checked. */
export const KEY_ALIGN = 16384;
/** IA-32e mode is active (EFER.LMA): compatibility mode where KEY_CODE64 is clear. */
export const KEY_LONG = 32768;
/** A data breakpoint or I/O breakpoint is armed in DR7: slow paths only. */
export const KEY_DATA_BREAKPOINT = 65536;
/** An instruction breakpoint is armed in DR7: one instruction per block, checked before it. */
export const KEY_CODE_BREAKPOINT = 131072;
/** The engine asks for a block of one instruction that is not cached under the normal key. */
export const KEY_SINGLE = 262144;

// ---- CC_OP: kind * 4 + log2(size in bytes) ----
/** CC_SRC holds CF PF AF ZF SF OF in their RFLAGS places. The only kind whose size bits are zero by rule. */
export const CC_FLAGS = 0;
/** dst = x + y, src = y. */
export const CC_ADD = 1;
/** dst = x + y + c, src = y, src2 = c (0 or 1). */
export const CC_ADC = 2;
/** dst = x - y, src = y. Also CMP, NEG (x = 0). */
export const CC_SUB = 3;
/** dst = x - y - c, src = y, src2 = c. */
export const CC_SBB = 4;
/** dst = result; CF = OF = AF = 0. */
export const CC_LOGIC = 5;
/** dst = x + 1, src = CF before (0 or 1). */
export const CC_INC = 6;
/** dst = x - 1, src = CF before. */
export const CC_DEC = 7;
/** dst = x << n, src = x << (n - 1): CF is its top bit, OF = CF xor top bit of dst, AF = 0. n >= 1 after masking. */
export const CC_SHL = 8;
/** dst = x >> n, src = x >> (n - 1): CF is its low bit, OF = top bit of (dst xor src), AF = 0. Logical and arithmetic. */
export const CC_SHR = 9;
/** dst = low half, src nonzero when CF and OF are set; SF ZF PF from dst, AF = 0. IMUL and MUL. */
export const CC_MUL = 10;
