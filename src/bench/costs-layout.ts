/** Where the guest of the nanobenchmarks has what; addresses are physical and, below 8 MiB, linear. */

export const LAYOUT = {
  /** Multiboot header, 32-bit entry, the program. */
  IMAGE: 0x100000,
  /** The measured loops, on pages of their own. */
  LOOPS: 0x102000,
  /** Handlers of faults and of SYSCALL stand on another page than what calls them, as in every kernel. */
  HANDLERS: 0x104000,
  GDT: 0x105000,
  TSS: 0x105800,
  IDT: 0x106000,
  PML4: 0x107000,
  PDPT: 0x108000,
  PD: 0x109000,
  PT: 0x10a000,
  FRAME_A: 0x10b000,
  FRAME_B: 0x10c000,
  /** Turns of each loop, found by the warm-up. */
  TURNS: 0x10d000,
  LOOP_TICKS: 0x10d800,
  WARM_UP_TICKS: 0x10d808,
  CALIBRATION_TICKS: 0x10d810,
  STACK_BOTTOM: 0x10e000,
  /** For interrupts from privilege level 3. */
  INTERRUPT_STACK_TOP: 0x10f000,
  STACK_TOP: 0x110000,
  /** Linear: the first 2 MiB once more, for privilege level 3. Far from `TURN_PAGE`, as programs' pages are from large ones. */
  USER_ALIAS: 0x100_0000,
  /** Linear: mapped by `TURN_PTE` to one frame or the other. */
  TURN_PAGE: 0x80_0000,
  /** Linear: never mapped. */
  ABSENT_PAGE: 0x80_1000,
  TURN_PTE: 0x10a000,
} as const;

/** SDM Vol. 3A, "Format of a Page-Table Entry that Maps a 4-KByte Page". */
export const PTE = {
  PRESENT_WRITABLE: 3,
  PRESENT_WRITABLE_USER: 7,
  /** A 2-MiB page. */
  LARGE: 0x80,
  /** Bit 9 is the software's. */
  AVAILABLE: 0x200,
} as const;

/** SYSRET takes its selectors from one base: 32-bit code (not here), data, 64-bit code. SDM Vol. 2B, "SYSRET". */
export const SELECTOR = { CODE: 0x08, DATA: 0x10, SYSRET_BASE: 0x18, TSS: 0x30 } as const;

/** What the guest writes, as little-endian words of 64 bits, to the debug port. */
export const DEBUG_PORT = 0xe9;
export const EXIT_PORT = 0xf4;
/** Written to `EXIT_PORT`; the machine's exit codes are (value << 1) | 1. */
export const EXIT = { DONE: 0x31, FAULT: 0x32 } as const;
export const STREAM = {
  /** Begins the stream; the calibrations follow, each of two words, then records until `END`. */
  BEGIN: 0x7472_6170_6f6e_6561n,
  END: 0x656e_6465_6e64_6564n,
  /** A fault that no loop means to have: the vector and the top of the stack follow, error code or RIP first. */
  FAULT: 0x6661_756c_7466_6175n,
  FAULT_WORDS: 3,
  CALIBRATIONS: 5,
  CALIBRATION_WORDS: 2,
  /** Index, turns, ticks of the empty loop, ticks of the measured one, R15. */
  RECORD_WORDS: 5,
} as const;
