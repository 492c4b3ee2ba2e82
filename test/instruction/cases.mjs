// Random states for an instruction: memory operands that mostly lie in the windows, selectors that mostly exist, numbers
// that often are special.
import { BASE_RIP, NO_REGISTER } from '../../dist/x86/insn.js';
import { fillExtended, fillVector, number } from '../float/numbers.mjs';
import { EDGES } from '../isa/forms.mjs';
import { encode } from './forms.mjs';
import {
  CODE,
  CODE_BYTES,
  CODE_SIZE,
  DATA,
  DATA_SIZE,
  descriptorOf,
  FS_BASE,
  FX,
  GS_BASE,
  HIGH,
  LOW,
  NOT_CANONICAL,
  READ_ONLY,
  RECORD,
  SEL,
  UNMAPPED,
  USER_CS32,
  USER_CS64,
  USER_DS,
  WINDOW_SIZE,
} from './layout.mjs';

function value(r) {
  switch (r.below(6)) {
    case 0:
      return r.pick(EDGES);
    case 1:
      return BigInt(r.below(256));
    case 2:
      return BigInt.asUintN(64, -BigInt(r.below(256)));
    case 3:
      return number(r, 11, 52);
    default:
      return r.big();
  }
}

const [ES, CS, SS, DS, FS, GS] = [0, 1, 2, 3, 4, 5];
const ODD_DATA = ['limited', 'expand32', 'expand16', 'readOnly', 'pages', 'data16', 'code32'].map((name) => SEL[name]);
const STACKS = ['limited', 'expand32', 'expand16', 'pages', 'data16'].map((name) => SEL[name]);

function selectors(mode, addressSize, r) {
  const list = [USER_DS, mode.cs, USER_DS, USER_DS, 0, 0];
  if (mode.bits === 64) {
    if (r.below(8) === 0) list[DS] = r.pick([0, SEL.data16, SEL.readOnly]);
    if (r.below(8) === 0) list[ES] = r.pick([0, SEL.data16, SEL.readOnly]);
    return list;
  }
  if (mode.bits === 32 && r.below(12) === 0) list[CS] = r.pick([SEL.code32, SEL.executeOnly]);
  const usual = mode.bits === 16 || addressSize === 2 ? SEL.data16 : USER_DS;
  for (const n of [ES, DS]) list[n] = r.below(8) === 0 ? r.pick([...ODD_DATA, 0]) : usual;
  for (const n of [FS, GS]) list[n] = r.below(3) === 0 ? r.pick([...ODD_DATA, 0, USER_DS]) : SEL.data16;
  if (mode.bits === 16) list[SS] = r.below(6) === 0 ? r.pick([...STACKS, USER_DS]) : SEL.data16;
  else if (r.below(8) === 0) list[SS] = r.pick(STACKS);
  return list;
}

/** A linear address for an operand of `size` bytes. */
function target(mode, size, r) {
  const align = size >= 8 && r.below(4) !== 0 ? Math.min(size, 16) : r.below(3) === 0 ? Math.max(size, 1) : 1;
  const aligned = (at) => BigInt(at - (at % align));
  const dice = r.below(100);
  if (dice < 74) return aligned(LOW + r.below(WINDOW_SIZE - 56));
  if (dice < 82) return BigInt(LOW + 0x80 - r.below(Math.max(size, 2)));
  if (dice < 89) return BigInt(DATA + DATA_SIZE - r.below(size + 3));
  if (dice < 92) return aligned(HIGH + r.below(WINDOW_SIZE - 16));
  if (dice < 95) return BigInt(READ_ONLY + r.below(4096));
  if (dice < 96) return BigInt(UNMAPPED + r.below(64) - 32);
  if (dice < 97) return BigInt(CODE + r.below(64));
  if (dice < 98) return mode.bits === 64 ? NOT_CANONICAL + BigInt(r.below(40) - 20) : BigInt(DATA - r.below(6));
  return mode.bits === 64 ? r.big() : BigInt(r.next());
}

const MASK = { 2: 0xffffn, 4: 0xffffffffn, 8: 0xffffffffffffffffn };

/** Gives base and index registers (or the displacement in the code) values that make the operand's address `at`, or nearly. */
function aim(memory, at, c, r) {
  const { gpr, addressSize } = c;
  const mask = MASK[addressSize];
  const set = (index, v) => {
    gpr[index] = (c.mode.bits === 64 && addressSize < 8 && r.below(2) ? gpr[index] & ~mask : 0n) | (v & mask);
  };
  const rest = at - c.segmentBase(memory.seg) - BigInt(memory.disp);
  const { base, index, scale } = memory;
  if (base === BASE_RIP || (base === NO_REGISTER && c.patch !== undefined)) {
    const origin = c.patch.relative ? BigInt(c.place + c.code.length) : 0n;
    if (index !== NO_REGISTER) set(index, BigInt(r.below(16)));
    const scaled = index === NO_REGISTER ? 0n : gpr[index] << BigInt(scale);
    const disp = BigInt.asUintN(64, rest - scaled - origin);
    for (let n = 0; n < c.patch.size; n++) c.code[c.patch.at + n] = Number((disp >> BigInt(8 * n)) & 255n);
  } else if (index === NO_REGISTER) set(base, rest);
  else if (base === NO_REGISTER) set(index, rest >> BigInt(scale));
  else if (base === index) set(base, rest / BigInt(1 + (1 << scale)));
  else {
    const some = BigInt(r.below(16) - (r.below(4) === 0 ? 8 : 0));
    set(index, some);
    set(base, rest - (some << BigInt(scale)));
  }
}

/** The linear address of a memory operand. */
function linearOf(memory, c) {
  const { base, index, scale, seg, disp } = memory;
  if (c.patch !== undefined) return undefined;
  const of = (register) => (register === NO_REGISTER ? 0n : c.gpr[register]);
  const offset = (of(base) + (of(index) << BigInt(scale)) + BigInt(disp)) & MASK[c.addressSize];
  return BigInt.asUintN(c.mode.bits === 64 ? 64 : 32, c.segmentBase(seg) + offset);
}

/** Offsets of code that user code may jump to: INT3s. */
const somewhere = (c, r) => BigInt(CODE + 0x8000 + r.below(0x1000)) - c.segmentBase(CS);
const FAR_CODE = [USER_CS32, USER_CS64, SEL.code16, SEL.code32, SEL.executeOnly, SEL.conforming];

function anySelector(r) {
  const selector = r.pick([
    0,
    r.below(4),
    USER_CS32,
    USER_DS,
    USER_CS64,
    USER_DS & ~3,
    0x10 | r.below(4),
    0x40 | r.below(4),
    r.below(14) * 8 + 4 + r.below(4),
    r.below(14) * 8 + 7,
    r.below(14) * 8 + 7,
    0x80 + r.below(0x1000),
  ]);
  // The host keeps a number of its own there.
  return (selector & 0xf8) === 0x78 && (selector & 4) === 0 ? 0 : selector;
}

function farSelector(c, r) {
  const selector = r.below(2) ? r.pick(FAR_CODE) : anySelector(r);
  // A 32-bit process that is in 64-bit code gets no signals any more.
  return c.mode.program === 32 && (selector & ~3) === (USER_CS64 & ~3) ? USER_CS32 : selector;
}
/** Of a selector that is the target of a far transfer: where its code is. */
function farOffset(selector, r) {
  const at = CODE + 0x8000 + r.below(0x1000);
  const known = FAR_CODE.includes(selector | 3) ? Number(descriptorOf(selector | 3).base) : 0;
  return r.below(10) === 0 ? r.next() : at - known;
}

function write(c, linear, v, size) {
  const bytes = new DataView(c.view.buffer, c.view.byteOffset + c.at, RECORD.SIZE);
  for (let n = 0; n < size; n++) {
    const at = Number(linear) + n;
    for (const [from, offset] of [
      [LOW, RECORD.LOW],
      [HIGH, RECORD.HIGH],
    ]) {
      if (at >= from && at < from + WINDOW_SIZE) {
        bytes.setUint8(offset + at - from, Number((BigInt(v) >> BigInt(8 * n)) & 255n));
      }
    }
  }
}

function writeFar(c, linear, r) {
  const selector = farSelector(c, r);
  write(c, linear, farOffset(selector, r), c.insn.operandSize);
  write(c, linear + BigInt(c.insn.operandSize), selector, 2);
}

/** What single instructions need so that they do not always fault. */
const PREPARE = {
  selector(c, r) {
    const source = c.insn.operands.at(-1);
    if (source?.kind === 'mem') write(c, c.addresses[0], anySelector(r), 2);
    else if (source?.file === 'gpr') c.gpr[source.index] = (c.gpr[source.index] & ~0xffffn) | BigInt(anySelector(r));
  },
  selectorFirst(c, r) {
    const source = c.insn.operands[0];
    if (source?.kind === 'mem') write(c, c.addresses[0], anySelector(r), 2);
    else c.gpr[source.index] = (c.gpr[source.index] & ~0xffffn) | BigInt(anySelector(r));
  },
  pop(c, r) {
    if (c.insn.operands[0].file === 'seg') write(c, c.stack(), anySelector(r), 2);
  },
  loadFar(c, r) {
    write(c, c.addresses[0] + BigInt(c.insn.operandSize), r.below(3) ? r.pick(ODD_DATA) : anySelector(r), 2);
  },
  far(c, r) {
    if (c.insn.operands[0].kind === 'mem') return writeFar(c, c.addresses[0], r);
    const selector = farSelector(c, r);
    const { length } = c.code;
    c.code.set([selector & 255, selector >> 8], length - 2);
    const offset = farOffset(selector, r);
    for (let n = 0; n < length - 3 && n < c.insn.operandSize; n++) {
      c.code[length - 2 - c.insn.operandSize + n] = (offset >>> (8 * n)) & 255;
    }
  },
  farReturn(c, r) {
    const size = c.insn.operandSize;
    const selector = farSelector(c, r);
    const isFar = /^iret/.test(c.insn.mnemonic);
    write(c, c.stack(), farOffset(selector, r), size);
    write(c, c.stack() + BigInt(size), selector, 2);
    if (!isFar) return;
    // Neither TF, whose trap comes one instruction later in the INT3s, nor virtual-8086 mode.
    write(c, c.stack() + BigInt(2 * size), (r.next() & 0x40ed5) | 0x202, size);
    write(c, c.stack() + BigInt(3 * size), LOW + 64 + r.below(64), size);
    write(c, c.stack() + BigInt(4 * size), r.below(3) ? USER_DS : anySelector(r), 2);
  },
  /** A return address or a pointer to code. */
  near(c, r) {
    if (r.below(12) === 0) return;
    const operand = c.insn.operands[0];
    const at = somewhere(c, r);
    if (operand?.kind === 'reg') c.gpr[operand.index] = at;
    else if (operand?.kind === 'mem') write(c, c.addresses[0], at, c.insn.operandSize);
    else if (c.insn.mnemonic === 'ret') write(c, c.stack(), at, c.insn.operandSize);
  },
  /** Dividends that mostly fit. */
  divide(c, r) {
    const size = c.insn.operands[0].size;
    if (r.below(3) === 0) return;
    const top = size === 1 ? undefined : 2;
    const sign = r.below(2) ? 0n : BigInt.asUintN(64, BigInt.asIntN(size * 8, c.gpr[0]) >> BigInt(size * 8 - 1));
    if (top === undefined) c.gpr[0] = (c.gpr[0] & ~0xff00n) | BigInt(r.below(16) << 8);
    else if (c.isFree(2)) c.gpr[2] = r.below(2) ? sign : BigInt(r.below(32));
  },
  /** A bit string reaches as far as its index says. */
  bits(c, r) {
    const [memory, index] = c.insn.operands;
    if (memory.kind !== 'mem' || index.kind !== 'reg' || r.below(5) === 0 || !c.isFree(index.index)) return;
    c.gpr[index.index] = BigInt.asUintN(64, BigInt(r.below(1024) - 400));
  },
  /** An accumulator that is equal, now and then. */
  compare(c, r) {
    const [first] = c.insn.operands;
    if (r.below(2)) return;
    if (first.kind === 'reg') {
      if (first.index !== 0 && !first.high && c.isFree(first.index)) c.gpr[first.index] = c.gpr[0];
    } else {
      write(c, c.addresses[0], c.gpr[0], Math.min(first.size || 8, 8));
      if (/8b|16b/.test(c.insn.mnemonic)) {
        const half = c.insn.mnemonic === 'cmpxchg16b' ? 8 : 4;
        write(c, c.addresses[0], c.gpr[0], half);
        write(c, c.addresses[0] + BigInt(half), c.gpr[2], half);
      }
    }
  },
  bound(c, r) {
    const size = c.insn.operandSize;
    write(c, c.addresses[0], r.below(100), size);
    write(c, c.addresses[0] + BigInt(size), 100 + r.below(100), size);
    const index = c.insn.operands[0].index;
    if (c.isFree(index)) c.gpr[index] = BigInt(r.below(220));
  },
  mxcsr(c, r) {
    if (r.below(4)) write(c, c.addresses[0], r.next() & 0xffff, 4);
  },
  environment(c, r) {
    // Not an unmasked exception that is pending: the INT3s would not meet it, but the next waiting instruction.
    write(c, c.addresses[0], r.below(2) ? 0x37f : r.next() & 0xf7f, 2);
  },
  fxrstor(c, r) {
    if (r.below(6) === 0) return;
    write(c, c.addresses[0] + 24n, r.next() & 0xffff, 4);
  },
  mask(c, r) {
    // Only x87 and SSE state: what else there is differs.
    c.gpr[0] = BigInt(r.below(4));
    c.gpr[2] = 0n;
  },
  stackFrame(c, r) {
    if (r.below(4)) c.gpr[5] = BigInt(LOW + 96 + r.below(100)) - c.segmentBase(SS);
  },
  xcr(c, r) {
    c.gpr[1] = BigInt(r.below(4) ? 0 : r.below(4));
  },
};
const PREPARED = [
  [/^(lar|lsl|arpl)$/, PREPARE.selector],
  [/^(verr|verw|lldt|ltr)$/, PREPARE.selectorFirst],
  [/^(lds|les|lss|lfs|lgs)$/, PREPARE.loadFar],
  [/^(jmpf|callf)$/, PREPARE.far],
  [/^(retf|iret)/, PREPARE.farReturn],
  [/^(ret|jmp|call)$/, PREPARE.near],
  [/^i?div$/, PREPARE.divide],
  [/^bt[src]?$/, PREPARE.bits],
  [/^cmpxchg/, PREPARE.compare],
  [/^bound$/, PREPARE.bound],
  [/^ldmxcsr$/, PREPARE.mxcsr],
  [/^(fldenv|frstor|fldcw)$/, PREPARE.environment],
  [/^fxrstor/, PREPARE.fxrstor],
  [/^x(save|rstor)/, PREPARE.mask],
  [/^(enter|leave)$/, PREPARE.stackFrame],
  [/^xgetbv$/, PREPARE.xcr],
  [/^pop$/, PREPARE.pop],
];

function preparationOf(insn) {
  if (insn.mnemonic === 'mov' && insn.operands[0].file === 'seg') return PREPARE.selector;
  return PREPARED.find(([pattern]) => pattern.test(insn.mnemonic))?.[1];
}

const STRING = /^(movs|cmps|stos|lods|scas|ins|outs)$/;
const USES_FX = /^(mmx|sse|ssse|aes|pclmulqdq|sha|x87|fxsr|xsave)/;
const DEFAULT_MXCSR = 0x1f80;

function flagsOf(r) {
  let flags = 0x202 | (r.next() & 0x8d5);
  if (r.below(8) === 0) flags |= 0x400;
  if (r.below(16) === 0) flags |= 0x40000;
  // TF
  if (r.below(30) === 0) flags |= 0x100;
  return BigInt(flags);
}

/** x87, MMX and SSE state; plain for instructions that do not look at it. */
function writeFx(c, r) {
  const { view } = c;
  const fx = c.at + RECORD.FX;
  view.setUint16(fx + FX.FCW, 0x37f, true);
  view.setUint32(fx + FX.MXCSR, DEFAULT_MXCSR, true);
  for (let n = 0; n < 16; n++) view.setUint32(fx + FX.XMM + 16 * n, 0x01010101 * n, true);
  if (!USES_FX.test(c.form.row.feature)) return;
  const free = r.below(3) === 0;
  view.setUint16(fx + FX.FCW, free ? 0x40 | (r.next() & 0xf3f) | (r.below(3) ? 0x3f : 0) : 0x37f, true);
  const top = r.below(8);
  view.setUint16(fx + FX.FSW, (top << 11) | (r.below(3) === 0 ? r.next() & 0x4700 : 0), true);
  if (r.below(6) === 0) {
    // Exceptions of before; one that is not masked waits for the next instruction.
    const flags = view.getUint16(fx + FX.FSW, true) | (r.next() & 0x3f);
    const isPending = (flags & ~view.getUint16(fx + FX.FCW, true) & 0x3f) !== 0;
    view.setUint16(fx + FX.FSW, flags | (isPending ? 0x8080 : 0), true);
  }
  const tags = r.below(3);
  view.setUint8(fx + FX.FTW, tags === 0 ? 255 : tags === 1 ? r.below(256) : r.below(256) | (1 << top));
  view.setUint16(fx + FX.FOP, r.next() & 0x7ff, true);
  view.setUint32(fx + FX.FIP, r.next(), true);
  view.setUint32(fx + FX.FDP, r.next(), true);
  let mxcsr = DEFAULT_MXCSR | (r.below(2) ? 0x20 : 0);
  if (r.below(3) === 0) mxcsr = DEFAULT_MXCSR | (r.next() & 0xe07f);
  if (r.below(4) === 0) mxcsr &= ~(r.next() & 0x1f80);
  view.setUint32(fx + FX.MXCSR, mxcsr, true);
  for (let n = 0; n < 8; n++) fillExtended(view, fx + FX.ST + 16 * n, r);
  for (let n = 0; n < (c.mode.bits === 64 ? 16 : 8); n++) fillVector(view, fx + FX.XMM + 16 * n, r);
  if (r.below(8) === 0) {
    const all = new Uint8Array(view.buffer, view.byteOffset + fx, 512);
    all.copyWithin(FX.XMM + 16, FX.XMM, FX.XMM + 16);
  }
}

function writeWindows(c, r) {
  const { view, at } = c;
  const numeric = USES_FX.test(c.form.row.feature);
  for (const offset of [RECORD.LOW, RECORD.HIGH]) {
    for (let n = 0; n < WINDOW_SIZE; n += 16) {
      if (numeric) {
        if (r.below(4)) fillVector(view, at + offset + n, r);
        else {
          fillExtended(view, at + offset + n, r);
        }
      } else for (let k = 0; k < 16; k += 4) view.setUint32(at + offset + n + k, r.next(), true);
    }
    if (!numeric && r.below(2))
      for (let n = 0; n < 40; n++) view.setUint8(at + offset + r.below(256), r.below(2) ? 0 : 255);
  }
}

/**
 * Writes a case of a form to the record at `at`: { form, mode, code, insn, gpr, place }; undefined where the dice gave
 * none. The state before can be read from the record.
 */
export function writeCase(view, at, form, mode, r) {
  const encoded = encode(form, mode.bits, r);
  if (encoded === undefined) return undefined;
  new Uint8Array(view.buffer, view.byteOffset + at, RECORD.SIZE).fill(0);
  const { insn, code, patch, addressSize } = encoded;
  // The host's system call.
  if (insn.mnemonic === 'int' && code.at(-1) === 0x80) return undefined;
  const edge = r.below(60);
  // Sometimes across a page, sometimes over the end of what is mapped.
  const back = 1 + r.below(code.length);
  const place =
    edge === 0 ? CODE + CODE_SIZE - back : edge < 3 ? CODE + 0x5000 - back : CODE + 0x4040 + 64 * r.below(0x3f);
  const sel = selectors(mode, addressSize, r);
  const gpr = Array.from({ length: 16 }, () => value(r));
  const aimed = new Set([4]);
  const c = {
    form,
    mode,
    code,
    insn,
    patch,
    addressSize,
    gpr,
    place,
    sel,
    view,
    at,
    addresses: [],
    isFree: (n) => !aimed.has(n),
    segmentBase(n) {
      if (mode.bits !== 64) return descriptorOf(sel[n]).base;
      return n === FS ? FS_BASE : n === GS ? GS_BASE : 0n;
    },
    stack: () => c.stackAt,
  };
  c.stackAt = BigInt(LOW + 64 + 4 * r.below(30) + (r.below(6) === 0 ? r.below(4) : 0));
  if (r.below(30) === 0) c.stackAt = target(mode, 8, r);
  gpr[4] = BigInt.asUintN(64, c.stackAt - c.segmentBase(SS));
  if (mode.bits === 16 && r.below(2)) gpr[4] |= BigInt(r.below(0x10000)) << 16n;
  for (const operand of insn.operands) {
    if (operand.kind !== 'mem') continue;
    const at = target(mode, operand.size || (form.row.feature === 'x87' ? 28 : 16), r);
    aim(operand, at, c, r);
    for (const n of [operand.base, operand.index]) if (n !== NO_REGISTER) aimed.add(n);
    c.addresses.push(linearOf(operand, c) ?? at);
  }
  if (STRING.test(insn.mnemonic)) {
    const count = r.below(16) === 0 ? r.big() : BigInt(r.below(12));
    const upper = addressSize === 8 ? 0n : gpr[1] & ~MASK[addressSize];
    gpr[1] = upper | (count & MASK[addressSize]);
  }
  if (mode.bits !== 64) for (let n = 0; n < 16; n++) gpr[n] = n < 8 ? gpr[n] & MASK[4] : 0n;
  writeWindows(c, r);
  preparationOf(insn)?.(c, r);
  if (mode.bits !== 64) for (let n = 0; n < 8; n++) gpr[n] &= MASK[4];
  // The preparation may have changed a register of theirs.
  const memory = insn.operands.filter((operand) => operand.kind === 'mem');
  c.addresses = memory.map((operand, n) => linearOf(operand, c) ?? c.addresses[n]);
  for (let n = 0; n < 16; n++) view.setBigUint64(at + 8 * n, BigInt.asUintN(64, gpr[n]), true);
  view.setBigUint64(at + RECORD.FLAGS, flagsOf(r), true);
  view.setBigUint64(at + RECORD.RIP, BigInt(place) - c.segmentBase(CS), true);
  for (let n = 0; n < 6; n++) view.setUint16(at + RECORD.SELECTOR + 2 * n, sel[n], true);
  if (mode.bits === 64) {
    view.setBigUint64(at + RECORD.FS_BASE, FS_BASE, true);
    view.setBigUint64(at + RECORD.GS_BASE, GS_BASE, true);
  }
  writeFx(c, r);
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at + RECORD.CODE, CODE_BYTES);
  bytes.fill(0xcc);
  bytes.set(code);
  view.setUint32(at + RECORD.PLACE, place, true);
  return c;
}
