// The modes in which the evaluators are compared, and a little world for each: 2 MiB of RAM with code, data, tables and
// handlers that halt. Linear addresses are the same in every mode; offsets are not.
//
//   0x00000 interrupt vectors of real mode   0x01000 page tables   0x06000 GDT   0x07000 IDT   0x08000 TSS
//   0x09000 a HLT per vector   0x0b000 top of the kernel's stack   0x20000 code   0x30000 data

export const RAM_BYTES = 2 << 20;
export const CODE = 0x20000;
export const DATA = 0x30000;
/** Code and data that a guest may reach. */
export const AREA = { first: CODE, end: DATA + 0x10000 };
export const ENTRY = CODE + 0x400;
export const WINDOW = DATA + 0x800;
export const STUBS = 0x9000;
/** More than one for functions that lie elsewhere; `CODE_BYTES` of them. */
const CODE_PAGES = 3;
export const CODE_BYTES = 4096 * CODE_PAGES;
const DATA_PAGES = 2;
const [PML4, PDPT, PD, PT] = [0x1000, 0x2000, 0x3000, 0x4000];
const [GDT, IDT, TSS] = [0x6000, 0x7000, 0x8000];
const STACK_TOP = 0xb000;
const HLT = 0xf4;
const IOPL3 = 0x3000n;
const VM = 0x20000n;

/** bits: code size; long, paged, segmented; flags that are always set. */
export const WORLDS = {
  '64-bit': { bits: 64, long: true, paged: true, flags: 0n },
  compatibility: { bits: 32, long: true, paged: true, flags: 0n },
  '32-bit': { bits: 32, long: false, paged: true, flags: 0n },
  '32-bit segments': { bits: 32, long: false, paged: true, segmented: true, flags: 0n },
  '16-bit': { bits: 16, long: false, paged: true, segmented: true, flags: 0n },
  'virtual-8086': { bits: 16, long: false, paged: true, segmented: true, virtual: true, flags: VM | IOPL3 },
  real: { bits: 16, long: false, paged: false, segmented: true, real: true, flags: 0n },
};

/** Offset of a linear address in the world's code or data segment. */
export const codeOffset = (world, linear) => (world.segmented ? linear - CODE : linear);
export const dataOffset = (world, linear) => (world.segmented ? linear - DATA : linear);

function pageTables(view, world) {
  const entry = (at, value, nx) => {
    if (world.long) view.setBigUint64(PT + 8 * at, BigInt(value) | (nx ? 1n << 63n : 0n), true);
    else view.setUint32(PT + 4 * at, value, true);
  };
  if (world.long) {
    view.setBigUint64(PML4, BigInt(PDPT | 7), true);
    view.setBigUint64(PDPT, BigInt(PD | 7), true);
    view.setBigUint64(PD, BigInt(PT | 7), true);
  } else view.setUint32(PML4, PT | 7, true);
  for (let page = 0; page < 16; page++) entry(page, (page << 12) | 3, false);
  for (let n = 0; n < CODE_PAGES; n++) entry((CODE >> 12) + n, (CODE + 4096 * n) | 5, false);
  for (let n = 0; n < DATA_PAGES; n++) entry((DATA >> 12) + n, (DATA + 4096 * n) | 7, true);
}

/** Fills RAM with what the world needs beside code and data. */
export function buildWorld(ram, world) {
  const view = new DataView(ram.buffer, ram.byteOffset, ram.length);
  ram.fill(0);
  pageTables(view, world);
  view.setBigUint64(GDT + 8, world.long ? 0x00af9b000000ffffn : 0x00cf9b000000ffffn, true);
  view.setBigUint64(GDT + 16, 0x00cf93000000ffffn, true);
  for (let n = 0; n < 32; n++) {
    const stub = STUBS + 16 * n;
    ram[stub] = HLT;
    view.setUint32(4 * n, stub, true);
    if (world.long) view.setBigUint64(IDT + 16 * n, BigInt(stub) | (8n << 16n) | (0xee01n << 32n), true);
    else view.setBigUint64(IDT + 8 * n, BigInt(stub) | (8n << 16n) | (0xee00n << 32n), true);
  }
  if (world.long) view.setUint32(TSS + 36, STACK_TOP, true);
  else {
    view.setUint32(TSS + 4, STACK_TOP, true);
    view.setUint32(TSS + 8, 0x10, true);
  }
  view.setUint16(TSS + 0x66, 0x68, true);
}

function segments(world) {
  const none = { base: 0n, limit: 0, attributes: 0x10000, selector: 0 };
  const make = (base, selector, attributes) => ({
    base: BigInt(world.segmented ? base : 0),
    limit: world.segmented ? 0xffff : 0xffffffff,
    attributes,
    selector,
  });
  let [code, data] = [make(CODE, 0x23, 0xc0fb), make(DATA, 0x2b, 0xc0f3)];
  if (world.bits === 64) code = make(CODE, 0x33, 0xa0fb);
  if (world.segmented) [code, data] = [make(CODE, 0x23, 0x40fb), make(DATA, 0x2b, 0x40f3)];
  if (world.bits === 16) [code, data] = [make(CODE, 0x23, 0xfb), make(DATA, 0x2b, 0xf3)];
  if (world.virtual) [code, data] = [make(CODE, CODE >> 4, 0xf3), make(DATA, DATA >> 4, 0xf3)];
  if (world.real) [code, data] = [make(CODE, CODE >> 4, 0x9b), make(DATA, DATA >> 4, 0x93)];
  const task = { base: BigInt(TSS), limit: 0x67, attributes: 0x8b, selector: 0x40 };
  const other = world.long ? none : data;
  return [data, code, data, data, other, other, none, task];
}

/** The processor's state at the entry of a program. */
export function stateOf(world, { gpr, flags, fxsave }) {
  return {
    gpr,
    rip: BigInt(codeOffset(world, ENTRY)),
    rflags: flags | world.flags | 2n,
    segments: segments(world),
    gdtr: { base: BigInt(GDT), limit: 0x1f },
    idtr: world.real ? { base: 0n, limit: 0x7f } : { base: BigInt(IDT), limit: 0x1ff },
    cr0: world.real ? 0x30n : world.paged ? 0x80050033n : 0x50033n,
    cr2: 0n,
    cr3: BigInt(PML4),
    // OSFXSR, OSXMMEXCPT, and PAE in long mode.
    cr4: world.long ? 0x620n : 0x600n,
    cr8: 0n,
    efer: world.long ? 0xd00n : 0n,
    xcr0: 3n,
    dr: [0n, 0n, 0n, 0n, 0n, 0n, 0xffff0ff0n, 0x400n],
    msrs: new Map(),
    fxsave,
    halted: false,
    interruptShadow: false,
    nmiBlocked: false,
  };
}
