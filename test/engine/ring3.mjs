// A guest that runs single instructions in ring 3, one after another and many per VM entry: for each it takes code, registers,
// FPU state and two windows of memory from a record, and writes a record of what became of them, of the exception included.
// The same guest runs on every engine, so that one's records can be compared with another's.
//
//   VARIABLES  where the driver is in the records, and the state just taken   DRIVER  its code, and the handlers'
//   CODE       filled with INT3, the instruction at START                     IN, OUT  the records
import { Code, R8, R9, R15, RAX, RBX, RCX, RDI, RSI, RSP } from './code.mjs';
import { makeEngine } from './engines.mjs';

export const BATCH = 1000;
export const RECORD = {
  GPR: 0,
  FLAGS: 128,
  CODE: 136,
  RIP: 136,
  TRAP: 144,
  ERROR: 152,
  CR2: 160,
  FX: 192,
  WINDOW: 704,
  MEMORY: 960,
  SIZE: 1280,
};
export const CODE_SLOT = 32;
/** No exception: the instruction behind it was reached. */
export const NO_TRAP = 256;
/** As in test/isa/machine.mjs and test/simd/state.mjs. */
export const START = 0x24000400;
const WINDOW = 0x10000f80;
const MEMORY_AT = 0x10010f00;
const WINDOW_SIZE = 256;
/** Pages that user code may only read, and not touch at all. */
export const READ_ONLY = 0x10020000;
export const SUPERVISOR = 0x10021000;
export const UNMAPPED = 0x10022000;

const RAM_BYTES = 8 << 20;
const [PML4, PDPT, PD, PT_LOW, PT_CODE, PT_DATA] = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000];
const [GDT, IDT, TSS, STUBS, HANDLER] = [0x7000, 0x8000, 0x9000, 0xa000, 0xb000];
const KERNEL_STACK = 0xf000;
const DRIVER = 0x10000;
const VARIABLES = 0x12000;
const [IN_AT, OUT_AT, COUNT, TAKEN] = [VARIABLES, VARIABLES + 8, VARIABLES + 16, VARIABLES + 0x100];
const DRIVER_STACK = 0x13ff0;
const CODE_FRAMES = 0x20000;
const DATA_FRAMES = 0x30000;
const IN = 0x200000;
const OUT = 0x400000;
/** IF. */
const DRIVER_FLAGS = 0x202;
/** Of the TSS with its I/O permission map, which allows port 0x80. */
const TSS_LIMIT = 0x68 + 0x11;
const USER_CS = 0x2b;
const USER_DS = 0x23;
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

const imm32 = (value) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);
const rexw = (reg, rm = 0) => 0x48 | ((reg >> 3) << 2) | (rm >> 3);
/** mov [address], reg and back. */
const put = (reg, at) => [rexw(reg), 0x89, 0x04 | ((reg & 7) << 3), 0x25, ...imm32(at)];
const get = (reg, at) => [rexw(reg), 0x8b, 0x04 | ((reg & 7) << 3), 0x25, ...imm32(at)];
/** mov reg, [rbx + offset] */
const load = (reg, offset) => [rexw(reg), 0x8b, 0x83 | ((reg & 7) << 3), ...imm32(offset)];

function copy(code, toRecord, offset, at, bytes) {
  // lea rsi or rdi, [rbx + offset]
  code.b(0x48, 0x8d, toRecord ? 0xbb : 0xb3, imm(offset)).mov(toRecord ? RSI : RDI, BigInt(at));
  code.mov32(RCX, bytes / 8).b('f348a5');
}
const imm = (value) => Buffer.from(imm32(value)).toString('hex');

function driver() {
  const code = new Code(DRIVER);
  code
    .label('next')
    .b(...get(RAX, COUNT))
    .b('4885c0')
    .jcc(4, 'done')
    .b('48ffc8', ...put(RAX, COUNT));
  code.b(...get(RBX, IN_AT), 'fc');
  copy(code, false, RECORD.CODE, START, CODE_SLOT);
  copy(code, false, RECORD.WINDOW, WINDOW, WINDOW_SIZE);
  copy(code, false, RECORD.MEMORY, MEMORY_AT, WINDOW_SIZE);
  code.b('480fae8b', imm(RECORD.FX)); // fxrstor64 [rbx + FX]
  code.mov(RSP, BigInt(DRIVER_STACK)).b('ffb3', imm(RECORD.FLAGS)); // push [rbx + FLAGS]
  for (let n = 0; n < 16; n++) if (n !== RBX && n !== RSP) code.b(...load(n, 8 * n));
  code.b('9d', ...load(RSP, 8 * RSP), ...load(RBX, 8 * RBX));
  code.b(0xe9).number(START - (code.here + 4), 4);
  code.label('epilogue');
  for (let n = 0; n < 16; n++) code.b(...put(n, TAKEN + 8 * n));
  code.mov(RSP, BigInt(DRIVER_STACK)).b('9c 58', ...put(RAX, TAKEN + RECORD.FLAGS));
  code.b('31c0', ...put(RAX, TAKEN + RECORD.RIP), ...put(RAX, TAKEN + RECORD.ERROR), ...put(RAX, TAKEN + RECORD.CR2));
  code.mov32(RAX, NO_TRAP).b(...put(RAX, TAKEN + RECORD.TRAP));
  code
    .label('tail')
    .b(0x68, ...imm32(DRIVER_FLAGS), 0x9d)
    .b(...get(RBX, OUT_AT), '480fae83', imm(RECORD.FX)); // fxsave64 [rbx + FX]
  copy(code, true, 0, TAKEN, RECORD.FX);
  copy(code, true, RECORD.WINDOW, WINDOW, WINDOW_SIZE);
  copy(code, true, RECORD.MEMORY, MEMORY_AT, WINDOW_SIZE);
  for (const at of [IN_AT, OUT_AT]) code.b('48810425', imm(at), imm(RECORD.SIZE)); // add qword [at], SIZE
  code.jmp('next');
  code.label('done').b('e680').jmp('next');
  return code;
}

/** Vector and error code are on the stack, the processor's frame above them. */
function handler(tail) {
  const code = new Code(HANDLER);
  for (let n = 0; n < 16; n++) if (n !== RSP) code.b(...put(n, TAKEN + 8 * n));
  for (const [offset, at] of [
    [0, RECORD.TRAP],
    [8, RECORD.ERROR],
    [16, RECORD.RIP],
    [32, RECORD.FLAGS],
    [40, 8 * RSP],
  ]) {
    code.b(0x48, 0x8b, 0x44, 0x24, offset, ...put(RAX, TAKEN + at));
  }
  code.b('0f20d0', ...put(RAX, TAKEN + RECORD.CR2));
  code
    .mov(RAX, BigInt(tail))
    .b('4889442410')
    .mov(RAX, BigInt(DRIVER_STACK))
    .b('4889442428 48c7442420', imm(DRIVER_FLAGS));
  return code.b('4883c410 48cf').finish();
}

export class Ring3Runner {
  constructor(engine) {
    Object.assign(this, makeEngine(engine, RAM_BYTES, { hotThreshold: 0 }));
    const program = driver();
    this.ram.set(program.finish(), DRIVER);
    this.epilogue = program.address('epilogue');
    this.ram.set(handler(program.address('tail')), HANDLER);
    this.tables();
    this.loaded = false;
  }

  tables() {
    const u64 = (at, value) => this.view.setBigUint64(at, BigInt(value), true);
    u64(PML4, PDPT | 7);
    u64(PDPT, PD | 7);
    u64(PD, PT_LOW | 7);
    for (let n = 1; n < RAM_BYTES >> 21; n++) u64(PD + 8 * n, (n << 21) | 0x87);
    u64(PD + 8 * (START >> 21), PT_CODE | 7);
    u64(PD + 8 * (WINDOW >> 21), PT_DATA | 7);
    // Ring 3 has the driver's pages and nothing else of the low ones.
    for (let n = 1; n < 512; n++) u64(PT_LOW + 8 * n, (n << 12) | (n >= 0x10 && n < 0x14 ? 7 : 3));
    u64(PT_CODE + 8 * ((START >> 12) & 511), CODE_FRAMES | 7);
    // Not executable: a jump into random bytes might never come back.
    const data = (at, frame, rights) =>
      u64(PT_DATA + 8 * ((at >> 12) & 511), BigInt((DATA_FRAMES + frame * 4096) | rights) | (1n << 63n));
    data(WINDOW, 0, 7);
    data(WINDOW + 4096, 1, 7);
    data(MEMORY_AT, 2, 7);
    data(READ_ONLY, 3, 5);
    data(SUPERVISOR, 4, 3);
    for (const [selector, descriptor] of [
      [0x08, 0x00af9b000000ffffn],
      [0x10, 0x00cf93000000ffffn],
      [USER_DS & ~3, 0x00cff3000000ffffn],
      [USER_CS & ~3, 0x00affb000000ffffn],
      [0x30, 0x00008b0000000000n | BigInt(TSS_LIMIT) | (BigInt(TSS) << 16n)],
    ]) {
      u64(GDT + selector, descriptor);
    }
    u64(TSS + 4, KERNEL_STACK);
    this.view.setUint16(TSS + 0x66, 0x68, true);
    this.ram.fill(0xff, TSS + 0x68, TSS + TSS_LIMIT + 1);
    this.ram[TSS + 0x68 + 0x10] = 0xfe;
    for (let vector = 0; vector < 32; vector++) {
      const stub = new Code(STUBS + 16 * vector);
      if (!WITH_ERROR.has(vector)) stub.b('6a00');
      stub.b(0x6a, vector, 0xe9).number(HANDLER - (stub.here + 4), 4);
      this.ram.set(stub.finish(), STUBS + 16 * vector);
      // INT3 may come from ring 3.
      u64(IDT + 16 * vector, BigInt(STUBS + 16 * vector) | (8n << 16n) | ((vector === 3 ? 0xee00n : 0x8e00n) << 32n));
    }
    this.ram.fill(0xcc, CODE_FRAMES, CODE_FRAMES + 4096);
  }

  state() {
    const data = { base: 0n, limit: 0xffffffff, attributes: 0xc0f3, selector: USER_DS };
    const fxsave = new Uint8Array(512);
    new DataView(fxsave.buffer).setUint16(0, 0x37f, true);
    new DataView(fxsave.buffer).setUint32(24, 0x1f80, true);
    return {
      gpr: Array(16).fill(0n),
      rip: BigInt(DRIVER),
      rflags: BigInt(DRIVER_FLAGS),
      segments: [
        data,
        { ...data, attributes: 0xa0fb, selector: USER_CS },
        data,
        data,
        data,
        data,
        { base: 0n, limit: 0, attributes: 0x10082, selector: 0 },
        { base: BigInt(TSS), limit: TSS_LIMIT, attributes: 0x8b, selector: 0x30 },
      ],
      gdtr: { base: BigInt(GDT), limit: 0x3f },
      idtr: { base: BigInt(IDT), limit: 0x1ff },
      // AM, WP, NE, MP, ET, PE, PG
      cr0: 0x80050033n,
      cr2: 0n,
      cr3: BigInt(PML4),
      // PAE, OSFXSR, OSXMMEXCPT
      cr4: 0x620n,
      cr8: 0n,
      efer: 0xd00n,
      xcr0: 1n,
      dr: [0n, 0n, 0n, 0n, 0n, 0n, 0xffff0ff0n, 0x400n],
      msrs: new Map(),
      fxsave,
      halted: false,
      interruptShadow: false,
      nmiBlocked: false,
    };
  }

  /** Runs the records in `input`, at most BATCH; gives as many records of answers. */
  run(input, count) {
    this.ram.set(input, IN);
    this.ram.fill(0, OUT, OUT + count * RECORD.SIZE);
    this.ram.fill(0, DATA_FRAMES, DATA_FRAMES + 5 * 4096);
    this.view.setBigUint64(IN_AT, BigInt(IN), true);
    this.view.setBigUint64(OUT_AT, BigInt(OUT), true);
    this.view.setBigUint64(COUNT, BigInt(count), true);
    this.vcpu.load(this.state());
    if (this.name === 'dbt') this.vcpu.forget();
    const entry = { answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 1e7 };
    const until = performance.now() + 60_000;
    for (;;) {
      const exit = this.vcpu.run(entry);
      if (exit.kind === 'pio-out') break;
      if (exit.kind !== 'preempted') throw new Error(`the driver ended with ${exit.kind}`);
      if (performance.now() > until) throw new Error('the driver does not come to an end');
    }
    return {
      records: this.ram.slice(OUT, OUT + count * RECORD.SIZE),
      pages: this.ram.slice(DATA_FRAMES, DATA_FRAMES + 5 * 4096),
    };
  }

  /** The code of a record: the instruction, and behind it the way back, or INT3 where it may jump there. */
  slot(code, jumps) {
    const bytes = new Uint8Array(CODE_SLOT).fill(0xcc);
    bytes.set(code);
    if (!jumps) {
      bytes[code.length] = 0xe9;
      new DataView(bytes.buffer).setInt32(code.length + 1, this.epilogue - (START + code.length + 5), true);
    }
    return bytes;
  }
}
void [R8, R9, R15];
