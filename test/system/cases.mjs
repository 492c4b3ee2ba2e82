// Random cases for the system judge: one instruction that changes privilege, segments or flags, in a machine of 64 KiB
// with partly random descriptor tables. Everything executable is HLT, so a case ends at its first landing at CPL 0; a
// landing at CPL 3 faults (#GP) and ends in that handler.
//
//   0x1000 page tables  0x5000 GDT  0x5800 LDT  0x6000 IDT  0x7000 TSS  0x8000 kernel stacks  0xa000 kernel code
//   0xc000 user code  0xd000 user stack  0xe000 data; from 0xc000 on the pages belong to CPL 3
import * as S from '../../dist/x86/state.js';

export const STATE_SIZE = 1024;
export const RAM_SIZE = 65536;
const PT = 0x4000;
const GDT = 0x5000;
const LDT = 0x5800;
const IDT = 0x6000;
const TSS = 0x7000;
/** Another task, outside IA-32e mode. */
const OTHER_TSS = 0x7800;
const OTHER_TSS_SELECTOR = 0x58;
const DATA = 0xe000;
const HLT = 0xf4;
const FIRST_RANDOM = 0x60;
const GDT_LIMIT = 0x1ff;
const LDT_LIMIT = 0xff;
const KERNEL_CS64 = 0x10;
const KERNEL_DS = 0x18;
const USER_CS32 = 0x23;
const USER_DS = 0x2b;
const USER_CS64 = 0x33;
const TSS_SELECTOR = 0x40;
const KERNEL_CS32 = 0x50;

/** name, CPL, code size, IA-32e. */
export const MODES = [
  { name: 'long0', cpl: 0, bits: 64, long: true },
  { name: 'long3', cpl: 3, bits: 64, long: true },
  { name: 'compatibility', cpl: 3, bits: 32, long: true },
  { name: 'protected0', cpl: 0, bits: 32, long: false },
  { name: 'protected3', cpl: 3, bits: 32, long: false },
  { name: 'virtual8086', cpl: 3, bits: 16, long: false },
  { name: 'real', cpl: 0, bits: 16, long: false },
];

const word = (v) => [v & 255, (v >> 8) & 255];
const dword = (v) => [v & 255, (v >> 8) & 255, (v >> 16) & 255, (v >>> 24) & 255];

/** Name -> bytes of the instruction, or undefined where the mode has none. */
const INSTRUCTIONS = {
  int: (c) => [0xcd, 0x20 + c.random.below(16)],
  int3: () => [0xcc],
  int1: () => [0xf1],
  into: (c) => (c.mode.bits === 64 ? undefined : [0xce]),
  iret: (c) => [...c.prefix(), 0xcf],
  retf: (c) => [...c.prefix(), 0xcb],
  'retf imm': (c) => [...c.prefix(), 0xca, ...word(c.random.below(5) * 4)],
  jmpf: (c) => [...c.prefix16(), 0xff, 0x2f],
  callf: (c) => [...c.prefix16(), 0xff, 0x1f],
  'jmpf direct': (c) => (c.mode.bits === 64 ? undefined : c.direct(0xea)),
  'callf direct': (c) => (c.mode.bits === 64 ? undefined : c.direct(0x9a)),
  'mov sreg': (c) => [0x8e, 0xc0 | (c.random.pick([0, 2, 3, 4, 5]) << 3)],
  'pop sreg': (c) =>
    c.mode.bits === 64
      ? c.random.pick([
          [0x0f, 0xa1],
          [0x0f, 0xa9],
        ])
      : [c.random.pick([0x07, 0x17, 0x1f])],
  lfs: (c) => [...c.prefix16(), 0x0f, c.random.pick([0xb2, 0xb4, 0xb5]), 0x07],
  lar: () => [0x0f, 0x02, 0xc1],
  lsl: () => [0x0f, 0x03, 0xc1],
  verr: () => [0x0f, 0x00, 0xe1],
  verw: () => [0x0f, 0x00, 0xe9],
  lldt: () => [0x0f, 0x00, 0xd1],
  ltr: () => [0x0f, 0x00, 0xd9],
  sldt: () => [0x0f, 0x00, 0xc1],
  str: () => [0x0f, 0x00, 0xc9],
  arpl: (c) => (c.mode.bits === 64 ? undefined : [0x63, 0xc1]),
  pushf: (c) => [...c.prefix16(), 0x9c],
  popf: (c) => [...c.prefix16(), 0x9d],
  cli: () => [0xfa],
  sti: () => [0xfb],
  lmsw: (c) => (c.mode.bits === 16 && c.mode.cpl === 0 ? undefined : [0x0f, 0x01, 0xf1]),
  smsw: () => [0x0f, 0x01, 0xe1],
  clts: () => [0x0f, 0x06],
  enter: (c) => [...c.prefix16(), 0xc8, ...word(c.random.below(64) * 4), c.random.below(4)],
  in: (c) => [c.random.pick([0xec, 0xed])],
};
export const NAMES = Object.keys(INSTRUCTIONS);
const SYSTEM_TYPES_LONG = [0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 14, 15];
const SYSTEM_TYPES = [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 9, 11, 12, 14, 15];

class Case {
  constructor(random, mode, name) {
    this.random = random;
    this.mode = mode;
    this.name = name;
    this.state = Buffer.alloc(STATE_SIZE);
    this.ram = Buffer.alloc(RAM_SIZE);
  }

  chance(percent) {
    return this.random.below(100) < percent;
  }

  prefix() {
    if (this.mode.bits === 64) return this.random.pick([[], [0x66], [0x48], [0x48]]);
    return this.prefix16();
  }

  prefix16() {
    return this.chance(35) ? [0x66] : [];
  }

  /** Far direct: ptr16:16 or ptr16:32 by prefix. */
  direct(opcode) {
    const prefix = this.prefix16();
    const wide = (this.mode.bits === 32) !== prefix.length > 0;
    const offset = this.target();
    return [...prefix, opcode, ...(wide ? dword(offset) : word(offset)), ...word(this.codeSelector())];
  }

  target() {
    if (this.mode.bits === 16) return 0x200 + this.random.below(0x200);
    return this.random.pick([0xa000, 0xc000]) + this.random.below(0x800);
  }

  /** Any selector: often a sane one. */
  selector() {
    const r = this.random;
    if (this.mode.bits === 16 && this.chance(60)) return r.pick([0xa00, 0xc00, 0xd00, 0xe00]);
    const rpl = this.chance(70) ? this.mode.cpl : r.below(4);
    switch (r.below(8)) {
      case 0:
        return r.below(4);
      case 1:
        return KERNEL_DS | rpl;
      case 2:
        return (USER_DS & ~3) | rpl;
      case 3:
        return (LDT_LIMIT + 1 - 0x100 + r.below(34) * 8) | 4 | rpl;
      case 4:
        return TSS_SELECTOR | rpl;
      default:
        return (FIRST_RANDOM + r.below(55) * 8) | rpl;
    }
  }

  codeSelector() {
    if (this.mode.bits === 16) return this.random.pick([0xa00, 0xc00, 0xa00]);
    if (!this.mode.long && this.chance(15)) return OTHER_TSS_SELECTOR | this.mode.cpl;
    if (this.chance(45)) return this.random.pick([KERNEL_CS64, KERNEL_CS32, USER_CS32, USER_CS64, USER_CS64]);
    return this.selector();
  }

  stackSelector() {
    if (this.mode.bits === 16) return this.random.pick([0x800, 0xd00]);
    return this.chance(60) ? this.random.pick([USER_DS, USER_DS, KERNEL_DS, 0]) : this.selector();
  }

  flags() {
    // No TF: a landing must not trap. VM only where IRETD may look at it.
    return (this.random.next() & 0x3ffed5 & ~0x20000) | 2 | (this.chance(10) && !this.mode.long ? 0x20000 : 0);
  }

  put(at, size, value) {
    if (size === 8) this.ram.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at);
    else if (size === 4) this.ram.writeUInt32LE(Number(BigInt.asUintN(32, BigInt(value))), at);
    else this.ram.writeUInt16LE(Number(value) & 0xffff, at);
  }

  set64(at, value) {
    this.state.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at);
  }

  descriptor(at, base, limit, attributes) {
    const raw = attributes & 0x8000 ? limit >>> 12 : limit;
    this.put(at, 4, ((base << 16) | (raw & 0xffff)) >>> 0);
    this.put(at + 4, 4, ((base & 0xff000000) | ((base >>> 16) & 0xff) | (raw & 0xf0000) | (attributes << 8)) >>> 0);
  }

  randomDescriptor(at) {
    const r = this.random;
    const dpl = r.pick([0, 0, 0, 3, 3, 3, 1, 2]) << 5;
    const present = this.chance(90) ? 0x80 : 0;
    if (this.chance(25)) {
      const type = r.pick(this.mode.long ? SYSTEM_TYPES_LONG : SYSTEM_TYPES);
      if (type === 12 || type === 4) {
        this.put(at, 4, (this.codeSelector() << 16) | (this.target() & 0xffff));
        this.put(at + 4, 4, ((present | dpl | type) << 8) | r.below(this.mode.long ? 1 : 4));
      } else {
        const isTask = (type & 0x15) === 1;
        const limit = isTask ? r.pick([0x67, 0x67, 0xff, 0x2b, 0x20]) : r.pick([0x67, 0xff, 0x20]);
        this.descriptor(at, isTask && !this.mode.long ? OTHER_TSS : 0x7000, limit, present | dpl | type);
        if (type === 5) this.put(at + 2, 2, this.chance(70) ? OTHER_TSS_SELECTOR : this.selector());
      }
      return;
    }
    const type = r.below(16);
    const isCode = (type & 8) !== 0;
    // Code keeps clear of what QEMU leaves unchecked: L together with D, and limits.
    const size = isCode ? r.pick([0x2000, 0x4000, 0x4000, 0]) : r.pick([0x4000, 0x4000, 0]);
    const big = this.chance(75) || isCode;
    const base = isCode || this.chance(70) ? 0 : r.below(16) * 16;
    const limit = big ? 0xffffffff : r.pick([0xffff, 0xdfff, 0xc3ff, 0x8f0, 0]);
    this.descriptor(at, base, limit, present | 0x10 | dpl | type | size | (big ? 0x8000 : 0));
  }

  setGate(vector, type, selector, offset, dpl, ist, present) {
    const high = (type << 8) | (dpl << 13) | (present ? 0x8000 : 0);
    if (this.mode.long) {
      const at = IDT + vector * 16;
      this.put(at, 4, (selector << 16) | (offset & 0xffff));
      this.put(at + 4, 4, high | ist);
      this.put(at + 8, 8, 0);
    } else {
      const at = IDT + vector * 8;
      this.put(at, 4, (selector << 16) | (offset & 0xffff));
      this.put(at + 4, 4, high);
    }
  }

  setSegment(seg, selector, base, limit, attributes) {
    const at = S.SEGMENT + seg * S.SEGMENT_STRIDE;
    this.set64(at, base);
    this.state.writeUInt32LE(limit >>> 0, at + 8);
    this.state.writeUInt32LE(attributes, at + 12);
    this.state.writeUInt32LE(selector, at + 16);
  }

  tables() {
    const r = this.random;
    for (let n = 0; n < 3; n++) this.put(0x1000 + n * 0x1000, 8, 0x2007 + n * 0x1000);
    for (let n = 0; n < 16; n++) this.put(PT + n * 8, 8, (n << 12) | (n >= 12 ? 0x67 : 0x63));
    this.ram.fill(HLT, 0xa000, 0xb000);
    this.ram.fill(HLT, 0xc000, 0xd000);
    for (let at = GDT + FIRST_RANDOM; at <= GDT + GDT_LIMIT; at += 8) this.randomDescriptor(at);
    for (let at = LDT; at <= LDT + LDT_LIMIT; at += 8) this.randomDescriptor(at);
    this.descriptor(GDT + KERNEL_CS64, 0, 0xffffffff, this.mode.long ? 0xa09b : 0xc09b);
    this.descriptor(GDT + KERNEL_DS, 0, 0xffffffff, 0xc093);
    this.descriptor(GDT + (USER_CS32 & ~7), 0, 0xffffffff, 0xc0fb);
    this.descriptor(GDT + (USER_DS & ~7), 0, 0xffffffff, 0xc0f3);
    this.descriptor(GDT + (USER_CS64 & ~7), 0, 0xffffffff, this.mode.long ? 0xa0fb : 0xc0fb);
    this.descriptor(GDT + TSS_SELECTOR, TSS, 0xff, 0x8b);
    this.descriptor(GDT + KERNEL_CS32, 0, 0xffffffff, 0xc09b);
    if (!this.mode.long) {
      this.descriptor(GDT + 0x48, LDT, LDT_LIMIT, 0x82);
      this.descriptor(
        GDT + OTHER_TSS_SELECTOR,
        OTHER_TSS,
        0x67,
        0x80 | r.pick([9, 9, 9, 11, 1, 3]) | r.pick([0x60, 0x60, 0]),
      );
    }
    const cs = this.mode.long ? KERNEL_CS64 : KERNEL_CS32;
    for (let v = 0; v < 32; v++) this.setGate(v, 14, cs, 0xa200 + v * 8, 3, 0, true);
    if (this.chance(8)) this.setGate(r.pick([10, 11, 12, 13, 14]), 14, cs, 0xa200, 3, 0, false);
    for (let v = 32; v < 48; v++) {
      const type = r.pick(this.mode.long ? [14, 14, 15, 14, 6, 12, 5] : [14, 14, 15, 6, 7, 12, 5]);
      const task = type === 5 && !this.mode.long && this.chance(80);
      const selector = task ? OTHER_TSS_SELECTOR : this.chance(50) ? cs : this.codeSelector();
      this.setGate(
        v,
        type,
        selector,
        this.target(),
        r.pick([3, 3, 3, 0, 1]),
        this.chance(25) ? r.below(3) : 0,
        this.chance(92),
      );
    }
    this.taskState();
  }

  /** The task a switch goes to, 32-bit or 16-bit by its descriptor; often one that can run. */
  otherTask() {
    const r = this.random;
    const isWide = (this.ram[GDT + OTHER_TSS_SELECTOR + 5] & 8) !== 0;
    const size = isWide ? 4 : 2;
    let at = OTHER_TSS + (isWide ? 0x20 : 0x0e);
    const put = (value) => {
      this.put(at, size, value);
      at += size;
    };
    put(this.target());
    put(this.flags() & ~0x20000);
    for (let n = 0; n < 8; n++) put(n === 4 ? 0x8800 : r.next() & (isWide ? 0xffffffff : 0xffff));
    const isUser = this.chance(40);
    const data = () => (this.chance(80) ? r.pick([0, isUser ? USER_DS : KERNEL_DS]) : this.selector());
    const ss = this.chance(85) ? (isUser ? USER_DS : KERNEL_DS) : this.selector();
    const cs = this.chance(85) ? (isUser ? USER_CS32 : KERNEL_CS32) : this.selector();
    for (const selector of [data(), cs, ss, data(), data(), data()].slice(0, isWide ? 6 : 4)) put(selector);
    put(r.pick([0, 0, 0x48, this.selector()]));
    this.put(OTHER_TSS, 2, this.selector());
  }

  taskState() {
    const r = this.random;
    if (!this.mode.long) {
      this.otherTask();
      this.put(TSS, 2, this.chance(80) ? OTHER_TSS_SELECTOR : this.selector());
    }
    if (this.mode.long) {
      for (let n = 0; n < 3; n++) this.put(TSS + 4 + n * 8, 8, 0x8f00 - n * 0x100 + (this.chance(10) ? 5 : 0));
      this.put(TSS + 36, 8, 0x9800);
      if (this.chance(5)) this.put(TSS + 4, 8, 1n << 47n);
      if (this.chance(5)) this.put(TSS + 36, 8, 0x30000);
    } else {
      for (let n = 0; n < 3; n++) {
        this.put(TSS + 4 + n * 8, 4, 0x8f00 - n * 0x100);
        this.put(TSS + 8 + n * 8, 4, n === 0 ? KERNEL_DS : this.selector());
      }
      if (this.chance(8)) this.put(TSS + 8, 4, this.selector());
    }
    this.put(TSS + 102, 2, 0x68);
    for (let n = 0; n < 16; n++) this.ram[TSS + 0x68 + n] = this.chance(50) ? 255 : r.below(256);
  }

  /** A frame that most of the instructions would take from the stack. */
  frame(at, size) {
    const put = (n, value) => this.put(at + n * size, size, value);
    for (let n = 0; n < 20; n++) put(n, this.chance(50) ? this.selector() : this.target());
    if (this.name.startsWith('iret') || this.name.startsWith('retf')) {
      const isIret = this.name === 'iret';
      put(0, this.chance(4) && size === 8 ? 1n << 47n : this.target());
      put(1, this.codeSelector());
      const next = isIret ? 3 : 2;
      if (isIret) put(2, this.flags());
      for (const n of [next, next + 1, next + 2]) {
        put(n, this.random.pick([0xd800, 0xdf04, 0x8800]));
        put(n + 1, this.stackSelector());
      }
    } else if (this.name === 'popf') {
      put(0, this.flags());
    } else if (this.name === 'pop sreg') {
      put(0, this.selector());
    }
  }

  build() {
    const { mode, random: r } = this;
    const code = INSTRUCTIONS[this.name](this);
    if (code === undefined) return undefined;
    const isUser = mode.cpl === 3;
    for (let n = 0; n < 16; n++) this.set64(S.GPR + n * 8, r.big());
    this.tables();
    const nested = this.name === 'iret' && this.chance(40) ? 0x4000 : 0;
    const flags =
      nested |
      (r.next() & 0x8d5) |
      2 |
      (this.chance(50) ? 0x200 : 0) |
      (this.chance(20) ? 0x3000 : r.pick([0, 0x1000]));
    this.set64(S.RFLAGS, flags | (mode.name === 'virtual8086' ? 0x20000 : 0));
    this.set64(S.GDTR_BASE, GDT);
    this.set64(S.GDTR_BASE + 8, GDT_LIMIT);
    this.set64(S.IDTR_BASE, IDT);
    this.set64(S.IDTR_BASE + 8, mode.long ? 0xfff : 0x7ff);
    this.setSegment(S.SEG_TR, TSS_SELECTOR, TSS, 0xff, 0x8b);
    this.setSegment(S.SEG_LDTR, 0x48, LDT, LDT_LIMIT, 0x82);
    this.set64(S.CR0, mode.long ? 0x80050033n : mode.name === 'real' ? 0x10n : 0x31n);
    this.set64(S.CR3, mode.long ? 0x1000 : 0);
    this.set64(S.CR4, mode.long ? 0x6a0 : 0);
    this.set64(S.EFER, mode.long ? 0xd01 : 0);
    const codeAt = isUser ? 0xc100 : 0xa100;
    const stackAt = isUser ? 0xd400 : 0x8400;
    if (mode.bits === 16) {
      const attributes = mode.name === 'real' ? 0x93 : 0xf3;
      const segments = [0xe00, codeAt >> 4, stackAt >> 4, 0xe00, 0xe00, 0xe00];
      segments.forEach((selector, seg) => {
        this.setSegment(seg, selector, (selector << 4) & 0xff000, 0xffff, attributes);
      });
      this.setSegment(S.SEG_CS, (codeAt & 0xf000) >> 4, codeAt & 0xf000, 0xffff, mode.name === 'real' ? 0x9b : 0xf3);
      this.setSegment(S.SEG_SS, (stackAt & 0xf000) >> 4, stackAt & 0xf000, 0xffff, attributes);
      this.set64(S.RIP, 0x100);
      this.set64(S.GPR + 32, 0x400);
      this.set64(S.GPR + 24, 0); // BX
      if (mode.name === 'real') for (let v = 0; v < 64; v++) this.put(IDT + v * 4, 4, (0xa00 << 16) | (0x200 + v * 8));
    } else {
      const cs = { long0: [KERNEL_CS64, 0xa09b], long3: [USER_CS64, 0xa0fb], protected0: [KERNEL_CS32, 0xc09b] };
      const [selector, attributes] = cs[mode.name] ?? [USER_CS32, 0xc0fb];
      for (let seg = 0; seg < 6; seg++)
        this.setSegment(seg, isUser ? USER_DS : KERNEL_DS, 0, 0xffffffff, isUser ? 0xc0f3 : 0xc093);
      this.setSegment(S.SEG_CS, selector, 0, 0xffffffff, attributes);
      if (mode.bits === 32) for (let n = 0; n < 16; n++) this.set64(S.GPR + n * 8, r.next());
      this.set64(S.RIP, codeAt);
      this.set64(S.GPR + 32, stackAt);
      this.set64(S.GPR + 40, isUser ? 0xd800 : 0x8800);
      this.set64(S.GPR + 56, DATA);
    }
    if (mode.bits === 16) for (let n = 8; n < 16; n++) this.set64(S.GPR + n * 8, 0);
    this.set64(S.GPR, BigInt(this.selector()));
    this.set64(S.GPR + 8, BigInt(this.selector()));
    if (this.name === 'lmsw') this.set64(S.GPR + 8, BigInt(r.below(16)));
    if (this.name === 'in') this.set64(S.GPR + 16, BigInt(r.below(0x100)));
    this.ram.set(code, codeAt);
    this.operands(code, stackAt);
    this.code = code;
    return this;
  }

  operands(code, stackAt) {
    const { bits } = this.mode;
    const wide = code[0] === 0x48;
    const flipped = code[0] === 0x66;
    const natural = bits === 16 ? 2 : 4;
    const size = wide ? 8 : flipped ? (natural === 4 ? 2 : 4) : natural;
    const isStackWord = ['popf', 'pop sreg'].includes(this.name) && bits === 64 && !flipped;
    this.frame(stackAt, isStackWord ? 8 : size);
    this.put(DATA, size === 2 ? 2 : 4, this.target());
    const data = this.name === 'lfs' ? this.selector() : this.codeSelector();
    this.put(DATA + (size === 2 ? 2 : 4), 2, data);
  }
}

/** A random case, or undefined where the mode has no such instruction. */
export function makeCase(random, mode, name) {
  random.pick ??= (list) => list[random.below(list.length)];
  return new Case(random, mode, name).build();
}
