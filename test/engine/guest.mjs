// A processor and two megabytes for small guests: states of every mode, page tables, descriptor tables, and a handler behind
// every vector that writes down what happened and goes on where R15 says.
//
//    0x1000 page tables   0x6000 GDT   0x7000 IDT   0x8000 TSS with an I/O permission map   0xb000 stubs
//   0x10000 code   0x20000 results   0x22000 log of exceptions   0x28000 free pages   below 0x40000 and 0x41000 stacks
import { Code } from './code.mjs';
import { makeEngine } from './engines.mjs';

export const RAM_BYTES = 2 << 20;
export const CODE = 0x10000;
export const RESULTS = 0x20000;
export const LOG = 0x22000;
export const FREE = 0x28000;
export const KERNEL_STACK = 0x40000;
export const USER_STACK = 0x41000;
/** Where no RAM is; mapped for everyone in long mode. */
export const DEVICE = 0xd0000000;
const [PML4, PDPT, PD, PT, PD3] = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000];
export const PAGE_TABLE = PT;
export const TABLES = PML4;
export const GDT = 0x6000;
export const IDT = 0x7000;
export const TSS = 0x8000;
export const IO_MAP = TSS + 0x68;
const STUBS = 0xb000;
const COMMON = 0xaf00;
const STUB_SIZE = 16;
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

export const SEL = {
  cs64: 0x08,
  ds: 0x10,
  cs32user: 0x1b,
  dsUser: 0x23,
  cs64user: 0x2b,
  tss: 0x30,
  cs32: 0x40,
  cs16: 0x48,
  ds16: 0x50,
};
const DESCRIPTORS = [
  [SEL.cs64, 0x00af9b000000ffffn],
  [SEL.ds, 0x00cf93000000ffffn],
  [SEL.cs32user & ~3, 0x00cffb000000ffffn],
  [SEL.dsUser & ~3, 0x00cff3000000ffffn],
  [SEL.cs64user & ~3, 0x00affb000000ffffn],
  [SEL.cs32, 0x00cf9b000000ffffn],
  [SEL.cs16, 0x00009b000000ffffn],
  [SEL.ds16, 0x000093000000ffffn],
  [SEL.tss, 0x00008b0000002068n | (BigInt(TSS) << 16n)],
];
const MODES = {
  real: { code: [CODE >> 4, 0x9b, BigInt(CODE), 0xffff], data: [0, 0x93, 0n, 0xffff], cr0: 0x10n },
  protected: { code: [SEL.cs32, 0xc09b], data: [SEL.ds, 0xc093], cr0: 0x11n },
  long0: { code: [SEL.cs64, 0xa09b], data: [SEL.ds, 0xc093], long: true },
  long3: { code: [SEL.cs64user, 0xa0fb], data: [SEL.dsUser, 0xc0f3], long: true },
};

export function initialState(mode) {
  const { code, data, cr0 = 0x80010033n, long = false } = MODES[mode];
  const segment = ([selector, attributes, base = 0n, limit = 0xffffffff]) => ({ base, limit, attributes, selector });
  const fxsave = new Uint8Array(512);
  const fpu = new DataView(fxsave.buffer);
  fpu.setUint16(0, 0x37f, true);
  fpu.setUint32(24, 0x1f80, true);
  const gpr = Array(16).fill(0n);
  gpr[4] = mode === 'real' ? 0x7000n : BigInt(mode === 'long3' ? USER_STACK : KERNEL_STACK);
  gpr[14] = BigInt(LOG);
  const isReal = mode === 'real';
  return {
    gpr,
    rip: BigInt(isReal ? 0 : CODE),
    rflags: 2n,
    segments: [
      segment(data),
      segment(code),
      segment(data),
      segment(data),
      segment(data),
      segment(data),
      segment([0, 0x10082, 0n, 0]),
      segment([isReal ? 0 : SEL.tss, 0x8b, isReal ? 0n : BigInt(TSS), isReal ? 0xffff : 0x2068]),
    ],
    gdtr: isReal ? { base: 0n, limit: 0xffff } : { base: BigInt(GDT), limit: 0x57 },
    idtr: isReal ? { base: 0n, limit: 0x3ff } : { base: BigInt(IDT), limit: 0xfff },
    cr0,
    cr2: 0n,
    cr3: long ? BigInt(PML4) : 0n,
    cr4: long ? 0x620n : 0n,
    cr8: 0n,
    efer: long ? 0x500n : 0n,
    xcr0: 1n,
    dr: [0n, 0n, 0n, 0n, 0n, 0n, 0xffff0ff0n, 0x400n],
    msrs: new Map([[0x277, 0x0007040600070406n]]),
    fxsave,
    halted: false,
    interruptShadow: false,
    nmiBlocked: false,
  };
}

export class SmallGuest {
  /** `build(code)` writes the guest's code; it starts in `mode`. `options` as of `makeEngine`. */
  constructor(engine, mode, build, edit = () => undefined, options = {}) {
    Object.assign(this, makeEngine(engine, RAM_BYTES, options));
    this.tables();
    this.code = new Code(mode === 'real' ? 0 : CODE);
    build(this.code, this);
    this.ram.set(this.code.finish(), CODE);
    const state = initialState(mode);
    edit(state, this);
    this.vcpu.load(state);
    this.owed = 0n;
  }

  tables() {
    const put = (at, value) => this.view.setBigUint64(at, BigInt(value), true);
    put(PML4, PDPT | 7);
    put(PDPT, PD | 7);
    put(PDPT + 8 * 3, PD3 | 7);
    put(PD, PT | 7);
    put(PD3 + 8 * ((DEVICE >>> 21) & 511), DEVICE + 0x97);
    for (let n = 0; n < 512; n++) put(PT + 8 * n, (n << 12) | 7);
    for (const [selector, descriptor] of DESCRIPTORS) put(GDT + selector, descriptor);
    // RSP0; the I/O permission map: nothing is allowed, the last byte all ones.
    put(TSS + 4, KERNEL_STACK);
    this.view.setUint16(TSS + 0x66, IO_MAP - TSS, true);
    this.ram.fill(0xff, IO_MAP, IO_MAP + 0x2001);
    for (let vector = 0; vector < 256; vector++) this.gate(vector, STUBS + STUB_SIZE * vector);
    for (let vector = 0; vector < 256; vector++) {
      const stub = new Code(STUBS + STUB_SIZE * vector);
      if (!WITH_ERROR.has(vector)) stub.b(0x6a, 0);
      stub
        .b(0x68)
        .number(vector, 4)
        .b(0xe9)
        .number(COMMON - (stub.here + 4), 4);
      this.ram.set(stub.finish(), STUBS + STUB_SIZE * vector);
    }
    const common = new Code(COMMON).b('50');
    for (let n = 0; n < 7; n++) common.b(0x48, 0x8b, 0x44, 0x24, 8 + 8 * n).b(0x49, 0x89, 0x46, 8 * n);
    common.b('0f20d0 49894638').b('4983c640 4c897c2418 58 4883c410 48cf');
    this.ram.set(common.finish(), COMMON);
  }

  /** A 64-bit interrupt gate that ring 3 may use. */
  gate(vector, address, dpl = 3) {
    const at = IDT + 16 * vector;
    this.view.setUint16(at, address & 0xffff, true);
    this.view.setUint16(at + 2, SEL.cs64, true);
    this.view.setUint16(at + 4, 0x8e00 | (dpl << 13), true);
    this.view.setUint16(at + 6, address >>> 16, true);
  }

  enter(entry = {}) {
    const full = { answer: this.owed, vector: undefined, requestInterruptWindow: false, sliceNs: 2e6, ...entry };
    this.owed = 0n;
    return this.vcpu.run(full);
  }

  /**
   * Runs to the first `hlt` or `shutdown`, or to an exit that `serve` answers with undefined. `serve(exit)` answers
   * questions; preemption is passed over.
   */
  run(serve = () => 0n, limit = 20_000) {
    for (let n = 0; n < limit; n++) {
      const exit = this.enter();
      if (exit.kind === 'preempted') continue;
      if (exit.kind === 'hlt' || exit.kind === 'shutdown') return exit;
      const answer = serve(exit);
      if (answer === undefined) return exit;
      this.owed = answer;
    }
    throw new Error('the guest does not come to an end');
  }

  /** The exceptions so far. */
  log() {
    const count = Math.floor((Number(this.vcpu.save().gpr[14]) - LOG) / 64);
    return Array.from({ length: count }, (_, n) => {
      const word = (k) => this.view.getBigUint64(LOG + 64 * n + 8 * k, true);
      return {
        vector: Number(word(0)),
        error: Number(word(1)),
        rip: Number(word(2)),
        cs: Number(word(3)),
        rflags: Number(word(4)),
        rsp: Number(word(5)),
        ss: Number(word(6)),
        cr2: Number(word(7)),
      };
    });
  }

  result(n) {
    return this.view.getBigUint64(RESULTS + 8 * n, true);
  }
}

/** `bytes` is expected to fault, or to be INT n; the guest goes on behind it. */
export function fault(code, name, ...bytes) {
  code
    .mov(15, `${name} after`)
    .label(name)
    .b(...bytes)
    .label(`${name} after`);
}
