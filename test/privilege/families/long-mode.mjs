// What IA-32e mode changes: code segments with L, gates of 16 bytes to 64-bit code, IST, stacks without a segment, canonical
// addresses, SYSCALL and SYSRET, and instructions that are gone. SDM Vol. 3A, "Interrupt and Exception Handling in 64-bit Mode",
// "Call Gates in IA-32e Mode", "Segmentation in IA-32e Mode"; Vol. 1, "Canonical Addressing".
import { done, fault, writeBytes } from '../case.mjs';
import { makeCase64, writeQuads } from '../case64.mjs';
import { dword, word } from '../code.mjs';
import {
  CS64,
  DONE,
  DS,
  descriptor,
  GDT_LIMIT,
  gate64,
  IDT,
  IST_STACK,
  LANDING,
  stackOf,
  TEST64,
  TSS,
  TSS64_SELECTOR,
} from '../layout.mjs';
import { LONG_EFER } from '../monitor64.mjs';

const GATES = 'Vol. 3A, "Exception and Interrupt Handling in 64-bit Mode"';
const LAND = writeBytes(LANDING, [0xcd, DONE]);
const INNER = 0x226000;
const VECTOR = 0x30;
const [GATE, TARGET] = TEST64;
const NOT_CANONICAL = 0x0000_8000_0000_0000n;
const PRESENT = 0x80;
const code = (size, type, dpl, isPresent = true) =>
  descriptor(0, 0xffffffff, 0x8000 | size | 0x10 | type | (dpl << 5) | (isPresent ? PRESENT : 0));
const [L, D] = [0x2000, 0x4000];
const isConforming = (type) => (type & 12) === 12;

/** The code segment that a gate of IA-32e mode leads to: 64-bit code, and not of an outer ring. */
function target({ cpl, dpl, type, size, isPresent }) {
  if ((type & 8) === 0 || dpl > cpl || size !== L) return fault('GP', TARGET);
  if (!isPresent) return fault('NP', TARGET);
  return { ring: isConforming(type) ? cpl : dpl };
}

function* targets() {
  for (let dpl = 0; dpl < 4; dpl++)
    for (const type of [10, 14, 2])
      for (const size of [L, D, 0, L | D])
        for (const isPresent of [true, false]) {
          if (!isPresent && size !== L) continue;
          yield { dpl, type, size, isPresent };
        }
}

/** INT n and CALL, to 64-bit code: the frame is always aligned and has the outer stack. */
export function* longGates() {
  for (const kind of ['INT n', 'CALL'])
    for (const isCode64 of [true, false])
      for (let cpl = 0; cpl < 4; cpl++)
        for (let gateDpl = 0; gateDpl < 4; gateDpl++)
          for (const gatePresent of [true, false])
            for (const x of targets()) {
              const isPlain = x.dpl === 0 && x.type === 10 && x.size === L && x.isPresent;
              if ((gateDpl < cpl || !gatePresent) && !isPlain) continue;
              // Pages know only two kinds of rings: the landing pad must belong to everyone.
              for (const ist of kind === 'INT n' && gateDpl === 3 && isPlain ? [0, 1] : [0])
                yield gateCase({ kind, isCode64, cpl, gateDpl, gatePresent, x, ist });
            }
}

function gateCase({ kind, isCode64, cpl, gateDpl, gatePresent, x, ist }) {
  const isCall = kind === 'CALL';
  const error = isCall ? GATE : VECTOR * 8 + 2;
  let expect;
  if (gateDpl < cpl) expect = fault('GP', error);
  else if (!gatePresent) expect = fault('NP', error);
  else expect = target({ ...x, cpl });
  if (expect.ring !== undefined) {
    const { ring } = expect;
    const isInner = ring < cpl;
    const top = ist ? IST_STACK : isInner ? INNER : stackOf(cpl);
    const pushed = isCall ? (isInner ? 32 : 16) : 40;
    // Interrupts align the stack to 16 first.
    const stackPointer = (isCall ? top : top & ~15) - pushed;
    expect = done({ cs: TARGET | ring, eip: LANDING + 2, stackPointer });
    // The stack of an inner ring is a null selector with its RPL.
    if (isInner) expect.outerSs = ring;
  }
  const access = (isCall ? 12 : 14) | (gateDpl << 5) | (gatePresent ? PRESENT : 0);
  const entry = gate64(TARGET, LANDING, access, ist);
  // Far CALL through memory: direct far pointers are gone in 64-bit code.
  const pointer = 0x228000;
  return makeCase64({
    family: `${kind} in IA-32e mode`,
    section: isCall ? 'Vol. 3A, "Call Gates in IA-32e Mode"' : GATES,
    name: `${isCode64 ? '64-bit' : 'compatibility'} CPL ${cpl} gate DPL ${gateDpl} ${gatePresent ? '' : 'not present '}to DPL ${x.dpl} type ${x.type.toString(16)} size ${x.size.toString(16)} ${x.isPresent ? '' : 'not '}present${ist ? ', IST' : ''}`,
    cpl,
    code64: isCode64,
    code: isCall
      ? isCode64
        ? [0xff, 0x1c, 0x25, ...dword(pointer)]
        : [0x9a, ...dword(0), ...word(GATE)]
      : [0xcd, VECTOR],
    descriptors: { [GATE]: isCall ? entry : [0, 0, 0, 0], [TARGET]: code(x.size, x.type, x.dpl, x.isPresent) },
    writes: [
      ...LAND,
      ...writeBytes(pointer, [...dword(0), ...word(GATE)]),
      ...(isCall ? [] : entry.map((value, n) => [IDT + VECTOR * 16 + n * 4, value])),
      ...(x.dpl < 3 ? writeQuads(TSS + 4 + x.dpl * 8, [INNER]) : []),
    ],
    expect,
  });
}

/** IRETQ to another ring: which code segments, and which stacks. */
export function* longReturns() {
  for (const kind of ['IRETQ', 'far RET'])
    for (let cpl = 0; cpl < 4; cpl++)
      for (let rpl = 0; rpl < 4; rpl++)
        for (let dpl = 0; dpl < 4; dpl++)
          for (const type of [8, 10, 12, 14, 2])
            for (const size of [L, D, L | D])
              for (const stack of [
                'right',
                'null',
                'null of another RPL',
                'read-only',
                'of another ring',
                'not present',
              ]) {
                if (stack !== 'right' && (type !== 10 || dpl !== rpl || rpl < cpl || size === (L | D))) continue;
                yield returnCase({ kind, cpl, rpl, dpl, type, size, stack });
              }
}

function returnCase({ kind, cpl, rpl, dpl, type, size, stack }) {
  const isInterrupt = kind === 'IRETQ';
  const selectors = {
    right: DS[rpl],
    null: rpl,
    'null of another RPL': (rpl + 1) & 3,
    'of another ring': DS[(rpl + 1) & 3],
  };
  const own = TEST64[2];
  const ss = selectors[stack] ?? own | rpl;
  const isOuter = rpl > cpl;
  // RET to the same ring takes no stack from the frame.
  const takesStack = isInterrupt || isOuter;
  let expect;
  if ((type & 8) === 0 || rpl < cpl) expect = fault('GP', TARGET);
  else if (isConforming(type) ? dpl > rpl : dpl !== rpl) expect = fault('GP', TARGET);
  else if (size === (L | D)) expect = fault('GP', TARGET);
  else if (takesStack) {
    const is64 = size === L;
    if ((ss & 0xfffc) === 0) {
      // A null stack is for 64-bit code of the rings 0 to 2, with its RPL.
      if (!is64 || rpl === 3 || (ss & 3) !== rpl) expect = fault('GP', 0);
    } else if (stack === 'of another ring') expect = fault('GP', ss & 0xfffc);
    else if (stack === 'read-only') expect = fault('GP', own);
    else if (stack === 'not present') expect = fault('SS', own);
  }
  const outer = 0x223c00;
  expect ??= done({ cs: TARGET | rpl, eip: LANDING + 2, stackPointer: takesStack ? outer : stackOf(cpl) });
  if (expect.done && takesStack) expect.outerSs = ss;
  const image = [LANDING, TARGET | rpl, ...(isInterrupt ? [2] : []), ...(takesStack ? [outer, ss] : [])];
  return makeCase64({
    family: `${kind} in IA-32e mode`,
    section: isInterrupt ? 'IRET/IRETD/IRETQ—Interrupt Return' : 'RET—Return From Procedure',
    name: `CPL ${cpl} RPL ${rpl} DPL ${dpl} type ${type.toString(16)} size ${size.toString(16)}, stack ${stack}`,
    cpl,
    code: isInterrupt ? [0x48, 0xcf] : [0x48, 0xcb],
    stack: image,
    descriptors: {
      [TARGET]: code(size, type, dpl),
      [own]: descriptor(
        0,
        0xffffffff,
        0xc010 | (stack === 'read-only' ? 0 : 2) | (rpl << 5) | (stack === 'not present' ? 0 : PRESENT),
      ),
    },
    writes: LAND,
    expect,
  });
}

const one = (family, name, cpl, bytes, expect, more = {}) =>
  makeCase64({
    family,
    section: 'Vol. 1, "Canonical Addressing"',
    name: `${name}: CPL ${cpl}`,
    cpl,
    code: bytes,
    expect,
    ...more,
  });

/** Addresses whose upper bits are not copies of bit 47. */
export function* canonical() {
  const family = 'canonical addresses';
  for (const cpl of [0, 3])
    for (const address of [NOT_CANONICAL, 0xffff_7fff_ffff_ffffn, 0x8000_0000_0000_0000n]) {
      const at = address.toString(16);
      const registers = { rdi: address, rbp: address, rax: address };
      for (const [name, bytes, vector] of [
        ['MOV EAX, [RDI]', [0x8b, 0x07], 'GP'],
        ['MOV [RDI], EAX', [0x89, 0x07], 'GP'],
        ['ADD [RDI], EAX', [0x01, 0x07], 'GP'],
        ['MOV EAX, [RBP]', [0x8b, 0x45, 0x00], 'SS'],
        ['MOV [RBP], EAX', [0x89, 0x45, 0x00], 'SS'],
        ['STOSB', [0xaa], 'GP'],
        ['LEAVE', [0xc9], 'SS'],
      ]) {
        yield one(family, `${name} of ${at}`, cpl, bytes, fault(vector, 0), { registers });
      }
      // Near branches: Intel's processors fault at them, AMD's at the target. Here only that it is #GP(0).
      for (const [name, bytes] of [
        ['JMP RAX', [0xff, 0xe0]],
        ['RET', [0xc3]],
      ])
        yield one(family, `${name} to ${at}`, cpl, bytes, fault('GP', 0, { elsewhere: true }), {
          registers,
          stack: [address],
        });
      yield one(family, `IRETQ to ${at}`, cpl, [0x48, 0xcf], fault('GP', 0), {
        stack: [address, CS64[cpl], 2, stackOf(cpl), DS[cpl]],
      });
      yield one(family, `INVLPG of ${at}`, cpl, [0x0f, 0x01, 0x3f], cpl === 0 ? done() : fault('GP', 0), { registers });
      if (cpl === 0)
        for (const [name, msr] of [
          ['FS.base', 0xc0000100],
          ['GS.base', 0xc0000101],
          ['KERNEL_GS_BASE', 0xc0000102],
          ['LSTAR', 0xc0000082],
          ['CSTAR', 0xc0000083],
          ['SYSENTER_EIP', 0x176],
        ])
          yield one(family, `WRMSR of ${at} to ${name}`, 0, [0x0f, 0x30], fault('GP', 0), {
            registers: { rcx: msr, rax: address & 0xffffffffn, rdx: address >> 32n },
          });
    }
}

/** Gone in 64-bit code. SDM Vol. 2, "64-Bit Mode Exceptions": #UD. */
const GONE = {
  'PUSH ES': [0x06],
  'POP ES': [0x07],
  'PUSH CS': [0x0e],
  'PUSH SS': [0x16],
  'PUSH DS': [0x1e],
  DAA: [0x27],
  DAS: [0x2f],
  AAA: [0x37],
  AAS: [0x3f],
  PUSHAD: [0x60],
  POPAD: [0x61],
  'far CALL': [0x9a, 0, 0, 0, 0, 8, 0],
  INTO: [0xce],
  AAM: [0xd4, 10],
  AAD: [0xd5, 10],
  SALC: [0xd6],
  'far JMP': [0xea, 0, 0, 0, 0, 8, 0],
  'group 1 alias': [0x82, 0xc0, 0],
};

export function* longInstructions() {
  const family = 'instructions in IA-32e mode';
  for (let cpl = 0; cpl < 4; cpl++) {
    for (const [name, bytes] of Object.entries(GONE))
      yield one(family, `${name} in 64-bit code`, cpl, bytes, fault('UD'));
    for (const [name, bytes] of [
      ['SWAPGS', [0x0f, 0x01, 0xf8]],
      ['MOV RAX, CR8', [0x44, 0x0f, 0x20, 0xc0]],
      ['MOV CR8, RAX', [0x44, 0x0f, 0x22, 0xc0]],
      ['WBINVD', [0x0f, 0x09]],
      ['CLTS', [0x0f, 0x06]],
      ['MOV RAX, CR0', [0x0f, 0x20, 0xc0]],
    ])
      yield one(family, name, cpl, bytes, cpl === 0 ? done() : fault('GP', 0), { registers: { rax: 0 } });
    yield one(family, 'SWAPGS in compatibility mode', cpl, [0x0f, 0x01, 0xf8], fault('UD'), { code64: false });
    if (cpl > 0) yield one(family, 'SYSRET', cpl, [0x0f, 0x07], fault('GP', 0));
    yield one(family, 'SYSCALL without SCE', cpl, [0x0f, 0x05], fault('UD'), { efer: LONG_EFER & ~1 });
    yield one(family, 'SYSRET without SCE', cpl, [0x0f, 0x07], fault('UD'), { efer: LONG_EFER & ~1 });
    // SDM: 64-bit code only; compatibility mode is AMD's.
    yield one(family, 'SYSCALL in compatibility mode', cpl, [0x0f, 0x05], fault('UD'), { code64: false });
  }
  const cr = (name, bytes, rax, expect) => one(family, name, 0, bytes, expect, { registers: { rax } });
  yield cr('CR0: upper half', [0x0f, 0x22, 0xc0], 0x1_8001_0011n, fault('GP', 0));
  yield cr('CR0: PG off in 64-bit code', [0x0f, 0x22, 0xc0], 0x00010011n, fault('GP', 0));
  yield cr('CR4: PAE off', [0x0f, 0x22, 0xe0], 0n, fault('GP', 0));
  yield cr('CR4: upper half', [0x0f, 0x22, 0xe0], 0x1_0000_0020n, fault('GP', 0));
  yield cr('CR3: reserved upper bits', [0x0f, 0x22, 0xd8], 0x0010_0000_0023_0000n, fault('GP', 0));
  yield cr('CR8: reserved bits', [0x44, 0x0f, 0x22, 0xc0], 0x10n, fault('GP', 0));
  yield cr('DR7: upper half', [0x0f, 0x23, 0xf8], 0x1_0000_0400n, fault('GP', 0));
  yield cr('DR6: upper half', [0x0f, 0x23, 0xf0], 0x1_ffff_0ff0n, fault('GP', 0));
  yield one(family, 'CR4: PCIDE with CR3 bits set', 0, [0x0f, 0x22, 0xe0], done(), { registers: { rax: 0x20020n } });
  yield one(family, 'EFER: LME off while paging', 0, [0x0f, 0x30], fault('GP', 0), {
    registers: { rcx: 0xc0000080, rax: 0x801, rdx: 0 },
  });
  for (const type of [1, 3, 2, 12])
    yield one(family, `LTR of type ${type}`, 0, [0x0f, 0x00, 0xd8], fault('GP', GATE), {
      registers: { rax: GATE },
      descriptors: { [GATE]: [...descriptor(0, 0x67, PRESENT | type), 0, 0] },
    });
  yield one(family, 'LTR, the second half beyond the GDT', 0, [0x0f, 0x00, 0xd8], fault('GP', GDT_LIMIT - 7), {
    registers: { rax: GDT_LIMIT - 7 },
    descriptors: { [GDT_LIMIT - 7]: descriptor(0, 0x67, 0x89) },
  });
  yield one(family, 'LTR of the busy task', 0, [0x0f, 0x00, 0xd8], fault('GP', TSS64_SELECTOR), {
    registers: { rax: TSS64_SELECTOR },
  });
  for (const cpl of [0, 1, 2, 3])
    for (const rpl of [0, 1, 2, 3])
      yield one(
        family,
        `MOV SS of null with RPL ${rpl}`,
        cpl,
        [0x8e, 0xd0],
        cpl < 3 && rpl === cpl ? done() : fault('GP', 0),
        { registers: { rax: rpl } },
      );
}
