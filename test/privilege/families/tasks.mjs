// Task switches by JMP, CALL, INT n and IRET, directly and through task gates, to 32-bit and 16-bit task states. SDM Vol. 3A,
// "Task Switching", Table "Exception Conditions Checked During a Task Switch", Table "Effect of a Task Switch on Busy Flag, NT
// Flag, Previous Task Link Field, and TS Flag"; Vol. 2A, "CALL—Call Procedure", "JMP—Jump".
import { done, fault, makeCase, writeBytes, writeDwords } from '../case.mjs';
import { dword, word } from '../code.mjs';
import {
  CS,
  DS,
  descriptor,
  GDT,
  GDT_LIMIT,
  gate,
  IDT,
  INNER_STACK,
  LANDING,
  LDT_SELECTOR,
  OTHER_TSS,
  OTHER_TSS_SELECTOR,
  TEST,
  TSS,
  TSS_SELECTOR,
} from '../layout.mjs';
import { LAND } from './code-segments.mjs';

const SECTION = 'Vol. 3A, "Task Switching"';
const NT = 0x4000;
const GATE = TEST[0];
const VECTOR = 0x30;
const PRESENT = 0x80;
/** Where a 16-bit task finds its code and stack: below 64 KiB of a base. */
const LOW_BASE = LANDING & ~0xffff;
const STACK_POINTER = 0x226e00;
const TASK = {
  cpl: 3,
  es: DS[3],
  cs: CS[3],
  ss: DS[3],
  ds: DS[3],
  fs: DS[3],
  gs: DS[3],
  ldt: LDT_SELECTOR,
  eip: LANDING,
};

/** The task state of another task. SDM Vol. 3A, "Task-State Segment (TSS)", "16-Bit Task-State Segment (TSS)". */
function state(isWide, task, link = 0) {
  if (isWide) {
    const registers = [0xa, 0xc, 0xd, 0xb, STACK_POINTER, 0x55, 0x56, 0x57];
    const segments = [task.es, task.cs, task.ss, task.ds, task.fs, task.gs, task.ldt, 0x500 << 16];
    const stacks = [link, INNER_STACK, DS[0], 0, 0, 0, 0, task.cr3 ?? 0];
    return writeDwords(OTHER_TSS, [...stacks, task.eip, 2, ...registers, ...segments]);
  }
  const words = [link, 0x7e00, DS[0], 0, 0, 0, 0, task.eip & 0xffff, 2, 0xa, 0xc, 0xd, 0xb, 0x7000, 0x55, 0x56, 0x57];
  return writeBytes(OTHER_TSS, [...words, task.es, task.cs, task.ss, task.ds, task.ldt].flatMap(word));
}

const WAYS = {
  JMP: { code: (rpl) => [0xea, ...dword(0), ...word(OTHER_TSS_SELECTOR | rpl)] },
  CALL: { code: (rpl) => [0x9a, ...dword(0), ...word(OTHER_TSS_SELECTOR | rpl)], isNested: true },
  'JMP through a task gate': { code: (rpl) => [0xea, ...dword(0), ...word(GATE | rpl)], hasGate: true },
  'CALL through a task gate': {
    code: (rpl) => [0x9a, ...dword(0), ...word(GATE | rpl)],
    hasGate: true,
    isNested: true,
  },
  'INT n through a task gate': { code: () => [0xcd, VECTOR], hasGate: true, isNested: true, isInterrupt: true },
  IRET: { code: () => [0xcf], isReturn: true },
};

/** Privilege and descriptors, in the manual's order. */
export function switchTo({ way, cpl, rpl, dpl, gateDpl, gatePresent, type, isPresent, limit, gateSelector }) {
  const isWide = (type & 8) !== 0;
  if (way.isReturn) {
    if ((type & 0x17) !== 3) return fault('TS', OTHER_TSS_SELECTOR);
  } else {
    const gateError = way.isInterrupt ? VECTOR * 8 + 2 : gateSelector;
    if (way.hasGate) {
      if (gateDpl < cpl || (!way.isInterrupt && gateDpl < rpl)) return fault('GP', gateError);
      if (!gatePresent) return fault('NP', gateError);
    } else if (dpl < cpl || dpl < rpl) return fault('GP', OTHER_TSS_SELECTOR);
    if ((type & 0x17) !== 1) return fault('GP', OTHER_TSS_SELECTOR);
  }
  if (!isPresent) return fault('NP', OTHER_TSS_SELECTOR);
  if (limit < (isWide ? 0x67 : 0x2b)) return fault('TS', OTHER_TSS_SELECTOR);
  return undefined;
}

function make(name, wayName, x, task = {}, outcome = undefined) {
  const way = WAYS[wayName];
  const { cpl = 0, rpl = 0, dpl = 3, gateDpl = 3, gatePresent = true, isPresent = true } = x;
  const type = x.type ?? (way.isReturn ? 11 : 9);
  const isWide = (type & 8) !== 0;
  const limit = x.limit ?? (isWide ? 0x67 : 0x2b);
  const refused = switchTo({ way, cpl, rpl, dpl, gateDpl, gatePresent, type, isPresent, limit, gateSelector: GATE });
  const other = { ...TASK, ...(isWide ? {} : { cs: TEST[1] | 3 }), ...task };
  const high = descriptor(OTHER_TSS, limit, type | (dpl << 5) | (isPresent ? PRESENT : 0));
  let expect = refused ?? outcome;
  if (expect === undefined) {
    expect = done({
      tr: OTHER_TSS_SELECTOR | (way.hasGate || way.isReturn ? 0 : rpl),
      cs: other.cs,
      eip: (isWide ? other.eip : other.eip & 0xffff) + 2,
      eax: isWide ? 0xa : 0xffff000a,
      outerEsp: isWide ? STACK_POINTER : 0xffff7000,
      // The new task is busy, the old one only where it waits for it.
      probe0: (high[1] | 0x200) >>> 0,
      probe1: (way.isNested ? 0x8b00 : 0x8900) | (TSS & 0xff0000 ? (TSS >>> 16) & 0xff : 0),
      probe2: way.isNested ? TSS_SELECTOR : 0,
      eflags: way.isNested ? NT : 0,
      mask: {
        eflags: NT,
        probe1: 0xffff,
        probe2: 0xffff,
        eax: isWide ? 0xffffffff : 0xffff,
        outerEsp: isWide ? 0xffffffff : 0xffff,
      },
    });
    expect.probe1 &= 0xffff;
    expect.eax &= expect.mask.eax;
    expect.outerEsp &= expect.mask.outerEsp;
  }
  return makeCase({
    family: 'task switches',
    section: SECTION,
    name: `${wayName}, ${isWide ? 32 : 16} bits: ${name}`,
    cpl,
    flags: way.isReturn ? NT : 0,
    code: way.code(rpl),
    descriptors: {
      [GATE]: gate(OTHER_TSS_SELECTOR, 0, 5 | (gateDpl << 5) | (gatePresent ? PRESENT : 0)),
      [OTHER_TSS_SELECTOR]: high,
      // Code of 16-bit tasks.
      [TEST[1]]: descriptor(LOW_BASE, 0xffff, 0x00fb),
      ...x.descriptors,
    },
    writes: [
      ...LAND,
      ...state(isWide, other),
      ...(way.isReturn ? writeDwords(TSS, [x.link ?? OTHER_TSS_SELECTOR]) : []),
      ...writeDwords(
        IDT + VECTOR * 8,
        gate(x.task ?? OTHER_TSS_SELECTOR, 0, 5 | (gateDpl << 5) | (gatePresent ? PRESENT : 0)),
      ),
      ...(x.writes ?? []),
    ],
    probes: [GDT + OTHER_TSS_SELECTOR + 4, GDT + TSS_SELECTOR + 4, OTHER_TSS],
    expect,
  });
}

export function* tasks() {
  for (const [name, way] of Object.entries(WAYS))
    for (const size of [8, 0]) {
      const available = size | (way.isReturn ? 3 : 1);
      for (let cpl = 0; cpl < 4; cpl++)
        for (let dpl = 0; dpl < 4; dpl++) {
          if (way.isReturn && dpl !== cpl) continue;
          for (const rpl of way.isInterrupt || way.isReturn ? [0] : [0, 1, 2, 3]) {
            const x = way.hasGate
              ? { cpl, rpl, gateDpl: dpl, dpl: 0, type: available }
              : { cpl, rpl, dpl, type: available };
            yield make(`CPL ${cpl} RPL ${rpl} DPL ${dpl}`, name, x);
          }
        }
      for (const cpl of [0, 3]) {
        const x = { cpl, type: available };
        yield make(`CPL ${cpl}, not present`, name, { ...x, isPresent: false });
        yield make(`CPL ${cpl}, limit too small`, name, { ...x, limit: size ? 0x66 : 0x2a });
        yield make(`CPL ${cpl}, largest limit`, name, { ...x, limit: 0xffff });
        if (way.hasGate) yield make(`CPL ${cpl}, gate not present`, name, { ...x, gatePresent: false });
        // Other kinds of descriptors, and the other busy state; call gates and code are families of their own.
        for (const type of [1, 3, 2, 9, 11, 15, 0x12, 0x1b])
          if (((type ^ available) & 0x1d) !== 0 || (type & 2) !== (available & 2))
            if (way.hasGate || way.isReturn || ![1, 9, 0x1b].includes(type))
              yield make(`CPL ${cpl}, type ${type.toString(16)}`, name, { ...x, type });
      }
      yield* newStates(name, available);
    }
}

/** The state that is loaded is checked in the new task: faults are told there. */
function* newStates(name, type) {
  const isWide = (type & 8) !== 0;
  const bad = TEST[2];
  const inTask = (vector, selector) => fault(vector, selector, { elsewhere: true, tr: OTHER_TSS_SELECTOR });
  const values = (access) => ({ [bad]: descriptor(0, 0xffffffff, 0xc000 | access) });
  const one = (what, task, outcome, descriptors = {}) => make(what, name, { type, descriptors }, task, outcome);
  yield one('LDT beyond the GDT', { ldt: GDT_LIMIT + 1 }, inTask('TS', GDT_LIMIT + 1));
  yield one('LDT in the LDT', { ldt: 0x0c }, inTask('TS', 0x0c));
  yield one('LDT is data', { ldt: DS[0] }, inTask('TS', DS[0]));
  yield one('no LDT', { ldt: 0 }, undefined);
  for (const [what, access, vector] of [
    ['is data', 0xf2, 'TS'],
    ['of another ring', 0x9a, 'TS'],
    ['conforming of an outer ring', 0xfe, undefined],
    ['not present', 0x7a, 'NP'],
  ])
    if (isWide || vector !== undefined)
      yield one(
        `code segment ${what}`,
        { cs: bad | 3 },
        vector === undefined ? undefined : inTask(vector, bad),
        values(access),
      );
  yield one('code segment null', { cs: 3 }, inTask('TS', 0));
  yield one('code segment beyond the GDT', { cs: (GDT_LIMIT + 1) | 3 }, inTask('TS', GDT_LIMIT + 1));
  for (const [what, selector, access, vector] of [
    ['read-only', bad | 3, 0xf0, 'TS'],
    ['code', bad | 3, 0xfa, 'TS'],
    ['of another ring', bad | 3, 0x92, 'TS'],
    ['with another RPL', bad, 0xf2, 'TS'],
    ['not present', bad | 3, 0x72, 'SS'],
  ])
    yield one(`stack segment ${what}`, { ss: selector }, inTask(vector, bad), values(access));
  yield one('stack segment null', { ss: 3 }, inTask('TS', 0));
  for (const register of isWide ? ['ds', 'es', 'fs', 'gs'] : ['ds', 'es'])
    for (const [what, access, vector] of [
      ['execute-only code', 0xf8, 'TS'],
      ['of an inner ring', 0x92, 'TS'],
      ['a system segment', 0xe2, 'TS'],
      ['not present', 0x72, 'NP'],
      ['fine', 0xf2, undefined],
      ['conforming code', 0x9e, undefined],
    ])
      yield one(
        `${register} ${what}`,
        { [register]: bad | 3 },
        vector === undefined ? undefined : inTask(vector, bad),
        values(access),
      );
}
