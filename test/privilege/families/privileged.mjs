// Instructions that need a ring: which fault tells so, in protected and in virtual-8086 mode. SDM Vol. 3A, "Privileged
// Instructions"; Vol. 2, the sections of the instructions, "Protected Mode Exceptions" and "Virtual-8086 Mode Exceptions";
// Vol. 3A, "Instruction Handling in Virtual-8086 Mode" is part of virtual-8086.mjs.
import { done, fault, makeCase, writeDwords } from '../case.mjs';
import { CODE, GDT, GDT_LIMIT, IDT, LDT_SELECTOR, OTHER_TSS_SELECTOR, SYSTEM_CODE } from '../layout.mjs';

const SECTION = 'Vol. 3A, "Privileged Instructions"';
/** Pseudo-descriptors and room for stores. */
const AREA = 0x228000;
const POINTERS = [...writeDwords(AREA, [(GDT_LIMIT << 16) >>> 0, GDT]), ...writeDwords(AREA + 8, [0x07ff0000, IDT])];
const memory = (opcode, at) => [...opcode, ...[0, 8, 16, 24].map((shift) => (at >>> shift) & 255)];
const EFER = 0xc0000080;
const CR4 = { TSD: 4, DE: 8, PCE: 0x100 };

/** name -> code; `free`: what CPL 0 gets. All are #GP(0) elsewhere. */
const PRIVILEGED = {
  LGDT: { code: memory([0x0f, 0x01, 0x15], AREA + 2) },
  LIDT: { code: memory([0x0f, 0x01, 0x1d], AREA + 10) },
  LLDT: { code: [0x0f, 0x00, 0xd0], registers: { eax: LDT_SELECTOR } },
  LTR: { code: [0x0f, 0x00, 0xd8], registers: { eax: OTHER_TSS_SELECTOR } },
  LMSW: { code: [0x0f, 0x01, 0xf0], registers: { eax: 1 } },
  CLTS: { code: [0x0f, 0x06] },
  'MOV EAX, CR0': { code: [0x0f, 0x20, 0xc0] },
  'MOV EAX, CR2': { code: [0x0f, 0x20, 0xd0] },
  'MOV EAX, CR3': { code: [0x0f, 0x20, 0xd8] },
  'MOV EAX, CR4': { code: [0x0f, 0x20, 0xe0] },
  'MOV CR0, EAX': { code: [0x0f, 0x22, 0xc0], registers: { eax: 0x11 } },
  'MOV CR2, EAX': { code: [0x0f, 0x22, 0xd0] },
  'MOV CR3, EAX': { code: [0x0f, 0x22, 0xd8] },
  'MOV CR4, EAX': { code: [0x0f, 0x22, 0xe0] },
  'MOV EAX, DR0': { code: [0x0f, 0x21, 0xc0] },
  'MOV DR0, EAX': { code: [0x0f, 0x23, 0xc0] },
  'MOV EAX, DR7': { code: [0x0f, 0x21, 0xf8] },
  RDMSR: { code: [0x0f, 0x32], registers: { ecx: EFER } },
  WRMSR: { code: [0x0f, 0x30], registers: { ecx: EFER } },
  WBINVD: { code: [0x0f, 0x09] },
  INVD: { code: [0x0f, 0x08] },
  INVLPG: { code: memory([0x0f, 0x01, 0x3d], AREA) },
  HLT: { code: [0xf4], free: undefined },
  SYSEXIT: { code: [0x0f, 0x35], free: fault('GP', 0) },
};

/** Not there in these modes, at any CPL. */
const UNDEFINED = {
  'MOV EAX, CR1': [0x0f, 0x20, 0xc8],
  'MOV EAX, CR5': [0x0f, 0x20, 0xe8],
  'MOV CR6, EAX': [0x0f, 0x22, 0xf0],
  'MOV CR7, EAX': [0x0f, 0x22, 0xf8],
  UD2: [0x0f, 0x0b],
  SWAPGS: [0x0f, 0x01, 0xf8],
  RSM: [0x0f, 0xaa],
  'LOCK LGDT': [0xf0, ...memory([0x0f, 0x01, 0x15], AREA + 2)],
  'LOCK CLI': [0xf0, 0xfa],
  'LOCK MOV EAX, CR0': [0xf0, 0x0f, 0x20, 0xc0],
  'MOV CS, AX': [0x8e, 0xc8],
  'LLDT of register with mod 11 and /6': [0x0f, 0x00, 0xf0],
  'LDS of a register': [0xc5, 0xc0],
  'LGDT of a register': [0x0f, 0x01, 0xd6],
};

/** Free for every ring: UMIP, which takes them away, is not offered. */
const STORES = {
  SGDT: memory([0x0f, 0x01, 0x05], AREA + 16),
  SIDT: memory([0x0f, 0x01, 0x0d], AREA + 16),
  SLDT: [0x0f, 0x00, 0xc0],
  STR: [0x0f, 0x00, 0xc8],
  SMSW: [0x0f, 0x01, 0xe0],
};

function make(name, cpl, code, expect, more = {}) {
  return makeCase({
    family: 'privileged instructions',
    section: SECTION,
    name: `${name}: CPL ${cpl}`,
    cpl,
    code,
    expect,
    writes: POINTERS,
    ...more,
  });
}

export function* privileged() {
  for (let cpl = 0; cpl < 4; cpl++) {
    const end = cpl === 3 ? CODE : SYSTEM_CODE;
    for (const [name, { code, registers, ...more }] of Object.entries(PRIVILEGED)) {
      const free = 'free' in more ? more.free : done({ eip: end + code.length + 2 });
      const expect = cpl === 0 ? free : fault('GP', 0);
      if (expect !== undefined) yield make(name, cpl, code, expect, { registers });
    }
    for (const [name, code] of Object.entries(UNDEFINED)) yield make(name, cpl, code, fault('UD'));
    for (const [name, code] of Object.entries(STORES)) {
      yield make(name, cpl, code, done());
    }
    const counter = [0x0f, 0x31];
    yield make('RDTSC', cpl, counter, done());
    yield make('RDTSC under TSD', cpl, counter, cpl === 0 ? done() : fault('GP', 0), { cr4: CR4.TSD });
    yield make('RDTSCP under TSD', cpl, [0x0f, 0x01, 0xf9], cpl === 0 ? done() : fault('GP', 0), { cr4: CR4.TSD });
    if (cpl > 0) yield make('RDPMC without PCE', cpl, [0x0f, 0x33], fault('GP', 0));
    yield make('SYSENTER without a code segment', cpl, [0x0f, 0x34], fault('GP', 0));
    yield* debugRegisters(cpl);
  }
  yield* controlRegisters();
  yield* flagInstructions();
}

/** SDM Vol. 2B, "MOV—Move to/from Debug Registers". */
function* debugRegisters(cpl) {
  for (const [name, code] of [
    ['MOV EAX, DR4', [0x0f, 0x21, 0xe0]],
    ['MOV DR5, EAX', [0x0f, 0x23, 0xe8]],
  ]) {
    const registers = { eax: 0x400 };
    yield make(`${name} as an alias`, cpl, code, cpl === 0 ? done() : fault('GP', 0), { registers });
    // Which of the two faults comes first the manual does not say, except at CPL 0.
    if (cpl === 0) yield make(`${name} under CR4.DE`, cpl, code, fault('UD'), { registers, cr4: CR4.DE });
  }
}

/** SDM Vol. 2B, "MOV—Move to/from Control Registers", "WRMSR—Write to Model Specific Register". */
function* controlRegisters() {
  const cr = (name, code, eax, expect, more) => make(name, 0, code, expect, { registers: { eax }, ...more });
  const CR0 = [0x0f, 0x22, 0xc0];
  yield cr('CR0: PG without PE', CR0, 0x80000010, fault('GP', 0));
  yield cr('CR0: NW without CD', CR0, 0x20000011, fault('GP', 0));
  yield cr('CR0: CD and NW', CR0, 0x60000011, done());
  yield cr('CR0: CD', CR0, 0x40000011, done());
  yield cr(
    'CR0: reserved bits are ignored',
    [...CR0, 0x0f, 0x20, 0xc0],
    0x1ff8ffc1 | 0x11,
    done({ eax: 0x11, mask: { eax: 0x1ff8ffd1 } }),
  );
  const WRITE_CR4 = [0x0f, 0x22, 0xe0];
  for (const bit of [15, 24, 30, 31]) yield cr(`CR4: reserved bit ${bit}`, WRITE_CR4, (1 << bit) >>> 0, fault('GP', 0));
  for (const [name, bit] of Object.entries({
    VME: 0,
    PVI: 1,
    TSD: 2,
    DE: 3,
    PSE: 4,
    PAE: 5,
    MCE: 6,
    PGE: 7,
    PCE: 8,
    OSFXSR: 9,
    OSXMMEXCPT: 10,
    SMEP: 20,
    SMAP: 21,
  }))
    yield cr(`CR4: ${name}`, [...WRITE_CR4, 0x0f, 0x20, 0xe0], (1 << bit) >>> 0, done({ eax: (1 << bit) >>> 0 }));
  const msr = (name, code, registers, expect) => make(name, 0, code, expect, { registers });
  yield msr('RDMSR of none', [0x0f, 0x32], { ecx: 0x3fff0000 }, fault('GP', 0));
  yield msr('WRMSR of none', [0x0f, 0x30], { ecx: 0x3fff0000 }, fault('GP', 0));
  for (const bit of [1, 9, 16, 30])
    yield msr(`EFER: reserved bit ${bit}`, [0x0f, 0x30], { ecx: EFER, eax: (1 << bit) >>> 0, edx: 0 }, fault('GP', 0));
  yield msr('EFER: reserved upper half', [0x0f, 0x30], { ecx: EFER, eax: 0, edx: 1 }, fault('GP', 0));
  yield msr(
    'PAT: reserved memory type',
    [0x0f, 0x30],
    { ecx: 0x277, eax: 0x00070402, edx: 0x00070406 },
    fault('GP', 0),
  );
  yield msr('IA32_APIC_BASE: reserved bit', [0x0f, 0x30], { ecx: 0x1b, eax: 0xfee00901, edx: 0 }, fault('GP', 0));
  for (const [name, descriptor] of [
    ['busy', 0x8b],
    ['an LDT', 0x82],
    ['a call gate', 0x8c],
    ['data', 0x93],
  ])
    yield make(`LTR of ${name}`, 0, [0x0f, 0x00, 0xd8], fault('GP', 0x60), {
      registers: { eax: 0x60 },
      descriptors: { 96: [0x67, descriptor << 8] },
    });
  yield make('LTR of none', 0, [0x0f, 0x00, 0xd8], fault('GP', 0), { registers: { eax: 3 } });
  yield make('LTR in the LDT', 0, [0x0f, 0x00, 0xd8], fault('GP', 0x0c), { registers: { eax: 0x0c } });
  yield make('LTR not present', 0, [0x0f, 0x00, 0xd8], fault('NP', 0x60), {
    registers: { eax: 0x60 },
    descriptors: { 96: [0x67, 0x0900] },
  });
  yield make('LLDT of none', 0, [0x0f, 0x00, 0xd0], done({ ldtr: 3 }), { registers: { eax: 3 } });
  yield make('LLDT in the LDT', 0, [0x0f, 0x00, 0xd0], fault('GP', 0x0c), { registers: { eax: 0x0c } });
  yield make('LLDT of a task state', 0, [0x0f, 0x00, 0xd0], fault('GP', OTHER_TSS_SELECTOR), {
    registers: { eax: OTHER_TSS_SELECTOR },
  });
  yield make('LLDT not present', 0, [0x0f, 0x00, 0xd0], fault('NP', 0x60), {
    registers: { eax: 0x60 },
    descriptors: { 96: [0x67, 0x0200] },
  });
}

const IF = 0x200;
const IOPL_MASK = 0x3000;
const [VIF, VIP] = [0x80000, 0x100000];
const PVI = 2;

/** SDM Vol. 2A, "CLI—Clear Interrupt Flag", Table "Decision Table for CLI Results"; Vol. 2B, "STI", "POPF/POPFD/POPFQ". */
function* flagInstructions() {
  for (let cpl = 0; cpl < 4; cpl++)
    for (let iopl = 0; iopl < 4; iopl++) {
      const may = cpl <= iopl;
      const io = iopl << 12;
      const seen = (flags, more = 0) => done({ eflags: flags, mask: { eflags: IF | IOPL_MASK | VIF | VIP | more } });
      const one = (name, code, flags, expect, more = {}) =>
        makeCase({
          family: 'CLI, STI and POPF',
          section: 'Vol. 2A, "CLI—Clear Interrupt Flag"',
          name: `${name}: CPL ${cpl} IOPL ${iopl}`,
          cpl,
          code,
          flags: flags | io,
          expect,
          ...more,
        });
      yield one('CLI', [0xfa], IF, may ? seen(io) : fault('GP', 0));
      yield one('STI', [0xfb], 0, may ? seen(io | IF) : fault('GP', 0));
      for (const vip of [0, VIP]) {
        const isVirtual = cpl === 3 && !may;
        const name = vip ? ' under PVI with VIP' : ' under PVI';
        const refused = may ? undefined : fault('GP', 0);
        yield one(
          `CLI${name}`,
          [0xfa],
          IF | VIF | vip,
          isVirtual ? seen(io | IF | vip) : (refused ?? seen(io | VIF | vip)),
          { cr4: PVI },
        );
        const set = vip ? fault('GP', 0) : seen(io | IF | VIF);
        yield one(`STI${name}`, [0xfb], IF | vip, isVirtual ? set : (refused ?? seen(io | IF | vip)), { cr4: PVI });
      }
      for (const value of [0, IF | IOPL_MASK, IF, IOPL_MASK]) {
        const changed = (may ? value & IF : 0) | (cpl === 0 ? value & IOPL_MASK : io);
        for (const [name, code, stack] of [
          ['POPFD', [0x9d], value],
          ['POPF', [0x66, 0x9d], value],
        ])
          yield one(`${name} ${value.toString(16)}`, code, 0, seen(changed), { stack: [stack] });
      }
    }
}
