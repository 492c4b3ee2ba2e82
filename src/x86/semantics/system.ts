/**
 * System instructions: descriptor tables, control and model-specific registers, time, ports, caches, hints. Operands are
 * read and written here; what they do is in runtime/system. Intel SDM Vol. 2, the pages of each mnemonic.
 */
import type { Value } from '../../ir/value.js';
import { type Operand, SEG } from '../insn.js';
import { COND, type Definition, type Definitions, define, defineEnd, type Lift, VECTOR } from '../lift.js';
import * as S from '../state.js';
import { memory, operand, sizeOf } from './shape.js';

const nop = define(() => {});

const undefinedOpcode = defineEnd((b) => {
  b.raise(VECTOR.UD);
  b.ended = true;
});

/** A routine without operands. `ends`: it changes modes, mappings or RIP. */
const plain = (name: string): Definition => define((b) => b.routine(name));
const ending = (name: string): Definition => defineEnd((b) => b.routineEnds(name));

/** A 16-bit value to memory, or zero-extended to a register. */
function writeWord(b: Lift, dst: Operand, v: Value): void {
  if (dst.kind === 'mem') b.store(b.linear(dst, 'write'), 2, v);
  else b.write(dst, b.resize(v, 2, sizeOf(dst)));
}

// ---- descriptor tables ----
/** LGDT and LIDT: a 16-bit limit and a base of 8 bytes, 4, or 3 where the operand size is 16. */
function loadTable(routine: 'lgdt' | 'lidt'): Definition {
  return define((b, i) => {
    b.requireCpl0();
    const at = b.linear(memory(i, 0));
    const limit = b.load(at, 2);
    const baseAt = b.now(b.add(at, b.i64(2)));
    const base = b.is64 ? b.load(baseAt, 8) : b.zext64(b.load(baseAt, 4));
    b.routine(routine, limit, i.operandSize === 2 ? b.and(base, b.i64(0xffffff)) : base);
  });
}

/** SGDT and SIDT at any CPL (UMIP is not offered); all base bits are stored at any operand size. */
function storeTable(limitAt: number, baseAt: number): Definition {
  return define((b, i) => {
    const at = b.linear(memory(i, 0), 'write');
    b.store(at, 2, b.state(limitAt, 2));
    b.store(b.now(b.add(at, b.i64(2))), b.is64 ? 8 : 4, b.state(baseAt, b.is64 ? 8 : 4));
  });
}

/** SLDT and STR. */
function storeSystemSelector(segment: number): Definition {
  return define((b, i) => {
    b.routine('checkProtected');
    writeWord(b, operand(i, 0), b.state(S.SEGMENT + segment * S.SEGMENT_STRIDE + S.SEGMENT_SELECTOR, 2));
  });
}

/** LLDT and LTR: "not recognized" comes before privilege, and that before the operand. */
function loadSystemSegment(routine: 'lldt' | 'ltr'): Definition {
  return define((b, i) => {
    b.routine('checkProtected');
    b.requireCpl0();
    b.routine(routine, b.read(operand(i, 0)));
  });
}

/** VERR and VERW: the answer is in ZF. */
function verify(routine: 'verr' | 'verw'): Definition {
  return define((b, i) => {
    b.routine('checkProtected');
    b.routine(routine, b.read(operand(i, 0)));
  });
}

/** LAR and LSL: ZF tells whether there is an answer. */
function query(routine: 'lar' | 'lsl'): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    b.routine('checkProtected');
    b.routine(routine, b.read(operand(i, 1)));
    b.ifThen(b.condition(COND.e), () => b.write(dst, b.resize(b.call('queriedValue', 'i32'), 4, sizeOf(dst))));
  });
}

function readBase(segment: number): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    b.routine('checkFsgsbase');
    b.write(dst, b.resize(b.call('readSegmentBase', 'i64', b.i32(segment)), 8, sizeOf(dst)));
  });
}

function writeBase(segment: number): Definition {
  return define((b, i) => b.routine('writeSegmentBase', b.i32(segment), b.zext64(b.read(operand(i, 0)))));
}

// ---- control registers ----
const smsw = define((b, i) => {
  const dst = operand(i, 0);
  if (dst.kind === 'mem') b.store(b.linear(dst, 'write'), 2, b.state(S.CR0, 2));
  else b.write(dst, b.resize(b.state(S.CR0, 8), 8, sizeOf(dst)));
});

const lmsw = defineEnd((b, i) => {
  b.requireCpl0();
  b.routineEnds('lmsw', b.read(operand(i, 0)));
});

const invlpg = defineEnd((b, i) => {
  b.requireCpl0();
  b.routineEnds('invlpg', b.linear(memory(i, 0)));
});

const invpcid = defineEnd((b, i) => {
  b.requireCpl0();
  const type = b.zext64(b.read(operand(i, 0)));
  b.routineEnds('invpcid', type, b.linear(memory(i, 1)));
});

// ---- ports ----
/** Port number in an immediate byte or in DX. */
const portOf = (b: Lift, op: Operand): Value => b.read(op);

const portIn = define((b, i) => {
  const dst = operand(i, 0);
  const port = portOf(b, operand(i, 1));
  const size = sizeOf(dst);
  b.routine('portIn', port, b.i32(size));
  b.write(dst, b.resize(b.state(S.LAST_IN, 4), 4, size));
});

const portOut = define((b, i) => {
  const src = operand(i, 1);
  const port = portOf(b, operand(i, 0));
  const size = sizeOf(src);
  b.routine('portOut', port, b.i32(size), b.read(src));
});

// ---- the rest ----
/** RDRAND and RDSEED always succeed: CF is set, the other status flags are cleared. */
const random = define((b, i) => {
  const dst = operand(i, 0);
  const size = sizeOf(dst);
  const v = b.call('rdrand', 'i64', b.i32(size));
  b.write(dst, b.resize(v, 8, size));
  b.setFlags(b.i32(1));
});

const rdpid = define((b, i) => {
  const dst = operand(i, 0);
  b.write(dst, b.resize(b.state(S.TSC_AUX, 4), 4, sizeOf(dst)));
});

/** CLFLUSH and its kin are subject to the checks of a one-byte load. */
const touch = define((b, i) => {
  b.load(b.linear(memory(i, 0)), 1);
});

export const definitions: Definitions = {
  /** An instruction longer than 15 bytes. */
  gp: defineEnd((b) => {
    b.raise(VECTOR.GP, 0);
    b.ended = true;
  }),
  ud: undefinedOpcode,
  ud0: undefinedOpcode,
  ud1: undefinedOpcode,
  ud2: undefinedOpcode,
  nop,
  pause: nop,
  endbr32: nop,
  endbr64: nop,
  prefetch: nop,
  prefetchw: nop,
  prefetchnta: nop,
  prefetcht0: nop,
  prefetcht1: nop,
  prefetcht2: nop,
  lfence: nop,
  mfence: nop,
  sfence: nop,
  clflush: touch,
  clflushopt: touch,
  clwb: touch,
  wbinvd: plain('wbinvd'),
  invd: plain('wbinvd'),
  lgdt: loadTable('lgdt'),
  lidt: loadTable('lidt'),
  sgdt: storeTable(S.GDTR_LIMIT, S.GDTR_BASE),
  sidt: storeTable(S.IDTR_LIMIT, S.IDTR_BASE),
  sldt: storeSystemSelector(S.SEG_LDTR),
  str: storeSystemSelector(S.SEG_TR),
  lldt: loadSystemSegment('lldt'),
  ltr: loadSystemSegment('ltr'),
  verr: verify('verr'),
  verw: verify('verw'),
  lar: query('lar'),
  lsl: query('lsl'),
  rdfsbase: readBase(SEG.fs),
  rdgsbase: readBase(SEG.gs),
  wrfsbase: writeBase(SEG.fs),
  wrgsbase: writeBase(SEG.gs),
  swapgs: plain('swapgs'),
  smsw,
  lmsw,
  clts: ending('clts'),
  invlpg,
  invpcid,
  in: portIn,
  out: portOut,
  hlt: defineEnd((b) => b.routineEnds('hlt', b.next())),
  monitor: plain('monitor'),
  mwait: ending('mwait'),
  cpuid: plain('executeCpuid'),
  rdtsc: plain('rdtsc'),
  rdtscp: plain('rdtscp'),
  rdpmc: plain('rdpmc'),
  rdmsr: plain('rdmsr'),
  wrmsr: ending('wrmsr'),
  rdrand: random,
  rdseed: random,
  rdpid,
  clac: ending('clac'),
  stac: ending('stac'),
  xgetbv: plain('xgetbv'),
  xsetbv: ending('xsetbv'),
  vmcall: undefinedOpcode,
  vmmcall: undefinedOpcode,
};
