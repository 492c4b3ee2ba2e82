// The little world in which the instruction judge runs single instructions, the same for a process of the host (native.c)
// and for our processor (machine.mjs): addresses, segments and the record that holds a state before or after.
//
//   CODE  64 KiB of INT3, readable and executable; the instruction lies anywhere in it, or runs over its end
//   DATA  two pages with a window (LOW) across their border and one (HIGH) at their end; behind it nothing is mapped
//   READ_ONLY  a page that may not be written

export const CODE = 0x24000000;
export const CODE_SIZE = 0x10000;
export const DATA = 0x10000000;
export const DATA_SIZE = 0x2000;
export const LOW = DATA + 0xf80;
export const HIGH = DATA + 0x1f00;
export const WINDOW_SIZE = 256;
export const READ_ONLY = 0x10004000;
export const UNMAPPED = 0x10006000;
export const NOT_CANONICAL = 0x8000_0000_0000n;
export const FS_BASE = 0x10000040n;
export const GS_BASE = 0x0ffff000n;

/** Offsets in a record. */
export const RECORD = {
  GPR: 0,
  FLAGS: 128,
  RIP: 136,
  /** ES CS SS DS FS GS, 16 bits each. */
  SELECTOR: 144,
  TRAP: 160,
  ERROR: 164,
  CR2: 168,
  FS_BASE: 176,
  GS_BASE: 184,
  FX: 192,
  CODE: 704,
  LOW: 736,
  HIGH: 992,
  /** Of the data pages, afterwards. */
  SUM: 1248,
  /** Linear address of the instruction. */
  PLACE: 1252,
  SIZE: 1280,
};
export const CODE_BYTES = 32;
/** Offsets in a 512-byte FXSAVE image. SDM Vol. 1, "FXSAVE Area". */
export const FX = { FCW: 0, FSW: 2, FTW: 4, FOP: 6, FIP: 8, FCS: 12, FDP: 16, FDS: 20, MXCSR: 24, ST: 32, XMM: 160 };

export const USER_CS64 = 0x33;
export const USER_CS32 = 0x23;
export const USER_DS = 0x2b;
const KIND = { data: 0, expandDown: 1, code: 2, conforming: 3 };

/** The local descriptor table: [kind, base, limit, bits, flags]; `limit` in bytes, or in pages with G. All have DPL 3. */
const LDT_ROWS = {
  code16: ['code', CODE, 0xffff, 16, ''],
  data16: ['data', DATA, 0xffff, 16, ''],
  code32: ['code', CODE, 0xffff, 32, ''],
  /** Ends in the middle of a word. */
  limited: ['data', DATA, 0x1ffd, 32, ''],
  expand32: ['expandDown', DATA, 0x7ff, 32, ''],
  expand16: ['expandDown', DATA, 0x7ff, 16, ''],
  readOnly: ['data', DATA, 0x1fff, 32, 'R'],
  executeOnly: ['code', CODE, 0xffff, 32, 'R'],
  absent: ['data', DATA, 0xffff, 32, 'A'],
  /** Linux takes conforming segments only when they are not present. */
  conforming: ['conforming', CODE, 0xffff, 32, 'A'],
  pages: ['data', DATA, 1, 32, 'G'],
  absentCode: ['code', CODE, 0xffff, 32, 'A'],
};

/** { name, selector, base, limit, attributes (as in src/x86/state.ts), raw (8 bytes as a BigInt), desc (of modify_ldt) } */
export const LDT = Object.entries(LDT_ROWS).map(([name, [kind, base, limit, bits, flags]], index) => {
  const has = (letter) => (flags.includes(letter) ? 1 : 0);
  const type = ((has('R') ^ 1) << 1) | (KIND[kind] << 2) | 1;
  const high = (has('A') ^ 1) << 7;
  const attributes = type | 0x70 | high | ((bits === 32 ? 1 : 0) << 14) | (has('G') << 15);
  const [b, l, a] = [BigInt(base), BigInt(limit), BigInt(attributes)];
  return {
    name,
    index,
    selector: index * 8 + 7,
    base: b,
    limit: has('G') ? limit * 4096 + 4095 : limit,
    attributes,
    raw:
      (l & 0xffffn) |
      ((b & 0xffffffn) << 16n) |
      ((a & 0xffn) << 40n) |
      ((l >> 16n) << 48n) |
      (((a >> 12n) & 15n) << 52n) |
      ((b >> 24n) << 56n),
    desc: [
      index,
      base,
      limit,
      (bits === 32 ? 1 : 0) | (KIND[kind] << 1) | (has('R') << 3) | (has('G') << 4) | (has('A') << 5),
    ],
  };
});
/** Selectors of the local descriptor table by name. */
export const SEL = Object.fromEntries(LDT.map(({ name, selector }) => [name, selector]));

const flat = (selector, attributes, raw) => ({ selector, base: 0n, limit: 0xffffffff, attributes, raw });
/** What user code can load from the host's GDT. */
export const GDT = [
  flat(USER_CS32, 0xc0fb, 0x00cffb000000ffffn),
  flat(USER_DS, 0xc0f3, 0x00cff3000000ffffn),
  flat(USER_CS64, 0xa0fb, 0x00affb000000ffffn),
];
const NULL = { base: 0n, limit: 0, attributes: 0x10000 };

/** Descriptor of a selector; null ones are unusable. */
export function descriptorOf(selector) {
  if (selector < 4) return { ...NULL, selector };
  const found = [...GDT, ...LDT].find((d) => d.selector === (selector | 3));
  if (found === undefined) throw new Error(`there is no segment ${selector.toString(16)}`);
  return { ...found, selector };
}

/** Modes by code size; `program` is the width of the host's process. */
export const MODES = {
  long: { key: 64, name: '64-bit', bits: 64, program: 64, cs: USER_CS64 },
  protected32: { key: 32, name: '32-bit', bits: 32, program: 32, cs: USER_CS32 },
  protected16: { key: 16, name: '16-bit', bits: 16, program: 32, cs: SEL.code16 },
};
/** Judged by what the processor answered to 16-bit code (virtual-machine.mjs, real-machine.mjs). */
export const VIRTUAL = { key: 'virtual', name: 'virtual-8086', bits: 16 };
export const REAL = { key: 'real', name: 'real', bits: 16 };
