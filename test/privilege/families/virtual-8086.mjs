// Virtual-8086 mode: what IOPL, CR4.VME and the interrupt redirection bit map make of the instructions that touch interrupts, and
// what is no 8086 instruction. SDM Vol. 3A, "Virtual-8086 Mode", "Interrupt and Exception Handling in Virtual-8086 Mode", Table
// "Software Interrupt Handling Methods While in Virtual-8086 Mode"; Vol. 2, "PUSHF", "POPF", "IRET", "CLI", "STI".
import { done, fault, makeCase, writeBytes, writeDwords } from '../case.mjs';
import { word } from '../code.mjs';
import { CS, descriptor, gate, IDT, TSS, TSS_SELECTOR } from '../layout.mjs';
import { stubs } from '../monitor.mjs';

const SECTION = 'Vol. 3A, "Virtual-8086 Mode"';
const SEGMENT = 0x6000;
const BASE = SEGMENT << 4;
const STACK = 0x7000;
const SP = 0xe00;
const VME = 1;
const [TF, IF, IOPL, VM, VIF, VIP] = [0x100, 0x200, 0x3000, 0x20000, 0x80000, 0x100000];
const SEEN = IF | IOPL | VM | VIF | VIP;
/** Where the program's own handler is, and what a return goes to. */
const HANDLER = 0x800;
const VECTOR = 0x30;
const PROTECTED_VECTOR = 0x80;
/** The redirection bit map lies before the I/O permission map. */
const MAP_BASE = 0x90;

/** INT3 asks for no IOPL: its gate is the way back. */
const BACK = [
  ...writeDwords(IDT + 3 * 8, gate(CS[0], stubs(PROTECTED_VECTOR), 0xee)),
  ...writeBytes(BASE + HANDLER, [0xcc]),
  ...writeDwords(VECTOR * 4, [(SEGMENT << 16) | HANDLER]),
];

function make(name, code, flags, expect, more = {}) {
  return makeCase({
    family: 'virtual-8086 mode',
    section: SECTION,
    name: `${name}, flags ${flags.toString(16)}${more.cr4 ? ' under VME' : ''}`,
    vm: true,
    cpl: 3,
    code,
    end: [0xcc],
    at: BASE,
    base: BASE,
    cs: SEGMENT,
    ss: STACK,
    esp: SP,
    segments: { ds: SEGMENT, es: SEGMENT, fs: SEGMENT, gs: SEGMENT },
    flags,
    expect,
    ...more,
    writes: [...BACK, ...writeDwords(TSS + 100, [MAP_BASE << 16]), ...(more.writes ?? [])],
  });
}

/** The 16-bit stack as the program sees it. */
const stackWords = (...words) => ({ writes: writeBytes((STACK << 4) + SP, words.flatMap(word)) });
const seen = (flags, more = {}) => done({ eflags: flags | VM, ...more, mask: { eflags: SEEN, ...more.mask } });

/** The virtual interrupt flag stands for IF where IOPL is below 3. */
function* flagInstructions() {
  for (const cr4 of [0, VME])
    for (let iopl = 0; iopl < 4; iopl++)
      for (const state of [0, IF, VIF, VIP, VIF | VIP | IF]) {
        const flags = (iopl << 12) | state;
        const isFree = iopl === 3;
        const isVirtual = !isFree && cr4 === VME;
        const refused = fault('GP', 0);
        const pick = (free, virtual) => (isFree ? free : isVirtual ? virtual : refused);
        yield make('CLI', [0xfa], flags, pick(seen(flags & ~IF), seen(flags & ~VIF)), { cr4 });
        yield make('STI', [0xfb], flags, pick(seen(flags | IF), state & VIP ? refused : seen(flags | VIF)), { cr4 });
        const pushed = isFree ? flags & 0xffff : (flags & ~(IF | IOPL) & 0xffff) | IOPL | (flags & VIF ? IF : 0);
        yield make(
          'PUSHF',
          [0x9c],
          flags,
          pick(...both(seen(flags, { probe0: pushed & 0x7300, mask: { probe0: 0x7300 } }))),
          { cr4, probes: [(STACK << 4) + SP - 2] },
        );
        yield make('PUSHFD', [0x66, 0x9c], flags, isFree ? seen(flags) : refused, { cr4 });
        for (const value of [0, IF, IF | IOPL, IOPL]) {
          const virtual = value & IF && state & VIP ? refused : seen((flags & ~VIF) | (value & IF ? VIF : 0));
          const free = seen((flags & ~IF) | (value & IF));
          const image = value | 2;
          yield make(`POPF ${value.toString(16)}`, [0x9d], flags, pick(free, virtual), {
            cr4,
            ...stackWords(image, 0),
          });
          yield make(`POPFD ${value.toString(16)}`, [0x66, 0x9d], flags, isFree ? free : refused, {
            cr4,
            ...stackWords(image, 0),
          });
          yield make(`IRET ${value.toString(16)}`, [0xcf], flags, withEip(pick(free, virtual)), {
            cr4,
            ...stackWords(HANDLER, SEGMENT, image),
          });
          yield make(`IRETD ${value.toString(16)}`, [0x66, 0xcf], flags, withEip(isFree ? free : refused), {
            cr4,
            ...stackWords(HANDLER, 0, SEGMENT, 0, image, 0),
          });
        }
        if (!isFree && cr4 === VME) {
          yield make('POPF of TF', [0x9d], flags, refused, { cr4, ...stackWords(TF | 2) });
          yield make('IRET of TF', [0xcf], flags, refused, { cr4, ...stackWords(HANDLER, SEGMENT, TF | 2) });
        }
        yield* interrupts(cr4, flags, { isFree, isVirtual });
      }
}

const both = (expect) => [expect, expect];
const withEip = (expect) => (expect.done ? { ...expect, eip: HANDLER + 1 } : expect);

/** INT n by IOPL, VME and redirection bit: methods 1, 4, 5 and 6 of the table. */
function* interrupts(cr4, flags, { isFree, isVirtual }) {
  for (const isRedirected of [false, true])
    for (const [vector, goes] of [
      [VECTOR, 'program'],
      [PROTECTED_VECTOR, 'monitor'],
    ]) {
      // Bit set: to the protected-mode gate. Without VME there is no map.
      const toMonitor = cr4 === 0 || isRedirected;
      const bit = toMonitor ? 0xff : 0;
      const map = writeBytes(TSS + MAP_BASE - 32, new Array(32).fill(cr4 === 0 ? 0 : bit));
      let expect;
      if (toMonitor && !isFree) expect = fault('GP', 0);
      else if (toMonitor && goes === 'program') continue;
      else if (toMonitor) expect = seen(flags, { eip: 2 });
      else if (goes === 'monitor') continue;
      else {
        const image = (isFree ? flags & 0xffff : (flags & ~(IF | IOPL) & 0xffff) | IOPL | (flags & VIF ? IF : 0)) | 2;
        const after = isFree ? flags & ~IF : flags & ~VIF;
        expect = seen(after, {
          eip: HANDLER + 1,
          outerEsp: SP - 6,
          probe0: (SEGMENT << 16) | 2,
          probe1: image,
          mask: { probe1: 0x3300 },
        });
        expect.probe1 &= 0x3300;
        expect.probe0 >>>= 0;
      }
      if (isVirtual || isFree || toMonitor)
        yield make(`INT ${vector.toString(16)} redirection bit ${bit ? 1 : 0}`, [0xcd, vector], flags, expect, {
          cr4,
          probes: [(STACK << 4) + SP - 6, (STACK << 4) + SP - 2],
          writes: map,
        });
    }
}

const memory = [0x06, 0x00, 0x04];
/** #UD: these know no virtual-8086 mode. */
const UNDEFINED = {
  LLDT: [0x0f, 0x00, 0xd0],
  LTR: [0x0f, 0x00, 0xd8],
  SLDT: [0x0f, 0x00, 0xc0],
  STR: [0x0f, 0x00, 0xc8],
  VERR: [0x0f, 0x00, 0xe0],
  VERW: [0x0f, 0x00, 0xe8],
  LAR: [0x0f, 0x02, 0xc0],
  LSL: [0x0f, 0x03, 0xc0],
  ARPL: [0x63, 0xc0],
  UD2: [0x0f, 0x0b],
};
/** #GP(0): privileged, and CPL is 3. */
const PRIVILEGED = {
  LGDT: [0x0f, 0x01, 0x10 | memory[0], ...memory.slice(1)],
  LIDT: [0x0f, 0x01, 0x18 | memory[0], ...memory.slice(1)],
  LMSW: [0x0f, 0x01, 0xf0],
  CLTS: [0x0f, 0x06],
  HLT: [0xf4],
  'MOV EAX, CR0': [0x0f, 0x20, 0xc0],
  'MOV CR0, EAX': [0x0f, 0x22, 0xc0],
  'MOV EAX, DR7': [0x0f, 0x21, 0xf8],
  RDMSR: [0x0f, 0x32],
  WRMSR: [0x0f, 0x30],
  INVD: [0x0f, 0x08],
  WBINVD: [0x0f, 0x09],
  INVLPG: [0x0f, 0x01, 0x38 | memory[0], ...memory.slice(1)],
};
const FREE = {
  SGDT: [0x0f, 0x01, memory[0], ...memory.slice(1)],
  SIDT: [0x0f, 0x01, 0x08 | memory[0], ...memory.slice(1)],
  SMSW: [0x0f, 0x01, 0xe0],
  CPUID: [0x0f, 0xa2],
  RDTSC: [0x0f, 0x31],
  'MOV DS': [0x8e, 0xd8],
  NOP: [0x90],
};

function* others() {
  for (const iopl of [0, 0x3000]) {
    for (const [name, code] of Object.entries(UNDEFINED)) yield make(name, code, iopl, fault('UD'));
    for (const [name, code] of Object.entries(PRIVILEGED)) yield make(name, code, iopl, fault('GP', 0));
    for (const [name, code] of Object.entries(FREE)) yield make(name, code, iopl, seen(iopl));
    // The I/O permission map is asked whatever IOPL is.
    for (const isDenied of [false, true])
      yield make(
        `IN AL of a port ${isDenied ? 'denied' : 'permitted'}`,
        [0xec],
        iopl,
        isDenied ? fault('GP', 0) : seen(iopl),
        {
          registers: { edx: 0x308 },
          writes: writeBytes(TSS + MAP_BASE + (0x308 >> 3), [isDenied ? 1 : 0, 0]),
        },
      );
    yield make('IN AL without a map', [0xec], iopl, fault('GP', 0), {
      registers: { edx: 0x308 },
      descriptors: { [TSS_SELECTOR]: descriptor(TSS, 0x8f, 0x89) },
    });
    // Segments are paragraphs of 64 KiB: any selector, and a limit.
    yield make('MOV of any selector', [0x8e, 0xc0], iopl, seen(iopl), { registers: { eax: 0x1234 } });
    yield make('MOV at the limit', [0x67, 0x8b, 0x07], iopl, fault('GP', 0), { registers: { edi: 0xffff } });
    yield make('MOV beyond the limit', [0x67, 0x8a, 0x07], iopl, fault('GP', 0), { registers: { edi: 0x10000 } });
    yield make('MOV to SS at the limit', [0x36, 0x67, 0x8b, 0x07], iopl, fault('SS', 0), {
      registers: { edi: 0xffff },
    });
    yield make('store through CS', [0x2e, 0x88, 0x07], iopl, seen(iopl), { registers: { ebx: 0x900 } });
  }
}

/** A gate that leaves virtual-8086 mode must go to ring 0. */
function* gates() {
  for (let dpl = 0; dpl < 4; dpl++)
    for (const type of [10, 14]) {
      const target = 0x60;
      const isFine = type === 10 && dpl === 0;
      yield make(
        `INT through a gate to type ${type.toString(16)} DPL ${dpl}`,
        [0xcd, VECTOR],
        IOPL,
        isFine ? seen(IOPL, { eip: 2 }) : fault('GP', target),
        {
          descriptors: { [target]: descriptor(0, 0xffffffff, 0xc090 | type | (dpl << 5)) },
          writes: writeDwords(IDT + VECTOR * 8, gate(target, stubs(PROTECTED_VECTOR), 0xee)),
        },
      );
    }
  yield make('INT through a gate of ring 0', [0xcd, VECTOR], IOPL, fault('GP', VECTOR * 8 + 2));
}

export function* virtual8086() {
  yield* flagInstructions();
  yield* others();
  yield* gates();
}
