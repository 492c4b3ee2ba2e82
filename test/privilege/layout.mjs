// Where everything is in the guests that judge privilege, and the descriptors that every case starts with.
//
//   0x100000 monitor   0x120000 a copy of the tables   0x200000 tables, as the running case has them
//   0x210000 code of CPL 3   0x211000 code of CPL 0-2   0x218000 what far transfers land on   0x220000 stacks by ring
//   0x230000 page tables   0x250000 the page under test   0x400000 cases
export const IMAGE = 0x100000;
export const TEMPLATE = 0x120000;
export const TABLES = 0x200000;
export const TABLES_SIZE = 0x3000;
export const IDT = TABLES;
export const GDT = TABLES + 0x1000;
export const LDT = TABLES + 0x1800;
export const TSS = TABLES + 0x2000;
/** Another task. */
export const OTHER_TSS = TABLES + 0x2800;
export const CODE = 0x210000;
export const SYSTEM_CODE = 0x211000;
export const LANDING = 0x218000;
export const STACKS = 0x220000;
export const STACK_SIZE = 0x1000;
export const PAGE_TABLES = 0x230000;
export const PAGE = 0x250000;
export const CASES = 0x400000;
export const MEMORY_BYTES = 64 << 20;

/** Top of a ring's stack, with room above it for what the monitor reads. */
export const stackOf = (ring) => STACKS + (ring + 1) * STACK_SIZE - 0x200;
/** The stack that the monitor enters a case from, and the one of TSS.ESP0. */
export const ENTRY_STACK = STACKS + 5 * STACK_SIZE - 0x200;
export const INNER_STACK = STACKS + 6 * STACK_SIZE - 0x200;
/** The first of the interrupt stack table. */
export const IST_STACK = STACKS + 7 * STACK_SIZE - 0x200;
export const MONITOR_STACK = STACKS + 8 * STACK_SIZE - 0x200;

export const GDT_LIMIT = 0x3ff;
export const LDT_LIMIT = 0x7f;
/** Selectors by ring, RPL included. */
export const CS = [0x08, 0x19, 0x2a, 0x3b];
export const DS = [0x10, 0x21, 0x32, 0x43];
export const TSS_SELECTOR = 0x48;
export const LDT_SELECTOR = 0x50;
export const OTHER_TSS_SELECTOR = 0x58;
/** Free for cases. */
export const TEST = [0x60, 0x68, 0x70, 0x78];
/** Of IA-32e mode, where system descriptors have 16 bytes. */
export const CS64 = [0x88, 0x91, 0x9a, 0xa3];
export const TSS64_SELECTOR = 0xb0;
export const LDT64_SELECTOR = 0xc0;
export const TEST64 = [0xd0, 0xe0, 0xf0, 0x100];
export const PML4 = PAGE_TABLES;

/** The gate of any ring that says "this is how far it got". */
export const DONE = 0x80;

/** Descriptor as two dwords; attributes as in its second dword shifted right by 8. */
export function descriptor(base, limit, attributes) {
  const raw = attributes & 0x8000 ? limit >>> 12 : limit;
  const high = (base & 0xff000000) | ((base >>> 16) & 0xff) | (raw & 0xf0000) | (attributes << 8);
  return [((base << 16) | (raw & 0xffff)) >>> 0, high >>> 0];
}

/** Call, interrupt, trap or task gate as two dwords. `access`: type, DPL and P. */
export function gate(selector, offset, access, parameters = 0) {
  return [((selector << 16) | (offset & 0xffff)) >>> 0, ((offset & 0xffff0000) | (access << 8) | parameters) >>> 0];
}

const flat = (attributes) => descriptor(0, 0xffffffff, attributes);

/** GDT, LDT, IDT and task state of 32-bit protected mode, as bytes of TABLES. `stub(vector)` is a handler's address. */
export function tables(stub) {
  const bytes = new Uint8Array(TABLES_SIZE);
  const view = new DataView(bytes.buffer);
  const put = (at, ...values) => {
    values.forEach((value, n) => {
      view.setUint32(at - TABLES + n * 4, value >>> 0, true);
    });
  };
  for (let ring = 0; ring < 4; ring++) {
    put(GDT + (CS[ring] & ~7), ...flat(0xc09b | (ring << 5)));
    put(GDT + (DS[ring] & ~7), ...flat(0xc093 | (ring << 5)));
  }
  put(GDT + TSS_SELECTOR, ...descriptor(TSS, 0x4ff, 0x89));
  put(GDT + LDT_SELECTOR, ...descriptor(LDT, LDT_LIMIT, 0x82));
  put(GDT + OTHER_TSS_SELECTOR, ...descriptor(OTHER_TSS, 0x67, 0x89));
  for (let vector = 0; vector < 256; vector++) {
    put(IDT + vector * 8, ...gate(CS[0], stub(vector), vector === DONE ? 0xee : 0x8e));
  }
  for (let ring = 0; ring < 3; ring++) put(TSS + 4 + ring * 8, ring === 0 ? INNER_STACK : stackOf(ring), DS[ring]);
  // No I/O permission map: its base lies behind the limit.
  put(TSS + 100, 0x500 << 16);
  return bytes;
}

/** A gate of IA-32e mode as four dwords. */
export function gate64(selector, offset, access, ist = 0) {
  const [low, high] = gate(selector, offset, access, ist);
  return [low, high, Number((BigInt(offset) >> 32n) & 0xffffffffn), 0];
}

/** The same for IA-32e mode. */
export function longTables(stub) {
  const bytes = new Uint8Array(TABLES_SIZE);
  const view = new DataView(bytes.buffer);
  const put = (at, ...values) => {
    values.forEach((value, n) => {
      view.setUint32(at - TABLES + n * 4, value >>> 0, true);
    });
  };
  for (let ring = 0; ring < 4; ring++) {
    put(GDT + (CS[ring] & ~7), ...flat(0xc09b | (ring << 5)));
    put(GDT + (DS[ring] & ~7), ...flat(0xc093 | (ring << 5)));
    put(GDT + (CS64[ring] & ~7), ...flat(0xa09b | (ring << 5)));
  }
  put(GDT + TSS64_SELECTOR, ...descriptor(TSS, 0x4ff, 0x89), 0, 0);
  put(GDT + LDT64_SELECTOR, ...descriptor(LDT, LDT_LIMIT, 0x82), 0, 0);
  for (let vector = 0; vector < 256; vector++) {
    put(IDT + vector * 16, ...gate64(CS64[0], stub(vector), vector === DONE ? 0xee : 0x8e));
  }
  for (let ring = 0; ring < 3; ring++) put(TSS + 4 + ring * 8, ring === 0 ? INNER_STACK : stackOf(ring), 0);
  put(TSS + 36, IST_STACK, 0);
  put(TSS + 100, 0x500 << 16);
  return bytes;
}
