// Call gates, and INT n through interrupt and trap gates: privilege, stack switches, what lands on the new stack. SDM Vol. 2A,
// "CALL—Call Procedure", "INT n/INTO/INT3/INT1—Call to Interrupt Procedure"; Vol. 3A, "Accessing a Code Segment Through a Call
// Gate", "Stack Switching", "Error Code".
import { done, fault, makeCase, writeDwords } from '../case.mjs';
import { dword, word } from '../code.mjs';
import { CS, descriptor, GDT_LIMIT, gate, IDT, LANDING, stackOf, TEST, TSS, TSS_SELECTOR } from '../layout.mjs';
import { LAND } from './code-segments.mjs';

const PRESENT = 0x80;
const GATE = TEST[0];
const TARGET = TEST[1];
const STACK = TEST[2];
/** Where the inner ring's stack is in these cases. */
const INNER = 0x226000;

/** The stack that the task state has for an inner ring: right, or wrong in one way. SDM, the same sections. */
const STACKS = [
  {},
  { name: 'null stack', selector: 0, error: ['TS', 0] },
  { name: 'stack beyond the GDT', selector: GDT_LIMIT + 1, error: ['TS', GDT_LIMIT + 1] },
  { name: 'RPL of the stack', rpl: 1, error: ['TS', STACK] },
  { name: 'DPL of the stack', dpl: 1, error: ['TS', STACK] },
  { name: 'stack not writable', type: 0, error: ['TS', STACK] },
  { name: 'stack is code', type: 10, error: ['TS', STACK] },
  { name: 'stack not present', isPresent: false, error: ['SS', STACK] },
];

/** Writes and descriptors for the inner stack of ring `dpl`. */
function innerStack(stack, dpl) {
  const rpl = (dpl + (stack.rpl ?? 0)) & 3;
  const selector = (stack.selector ?? STACK) | (stack.selector === 0 ? 0 : rpl);
  const access =
    0xc010 | (stack.type ?? 2) | (((dpl + (stack.dpl ?? 0)) & 3) << 5) | (stack.isPresent === false ? 0 : PRESENT);
  return {
    selector,
    writes: dpl === 3 ? [] : writeDwords(TSS + 4 + dpl * 8, [INNER, selector]),
    descriptors: { [STACK]: descriptor(0, 0xffffffff, access) },
  };
}

/** A transfer through a gate that lets this code in: to which ring, and whether through a new stack. */
function target({ cpl, dpl, type, isPresent, selector, isJump, ext = 0 }) {
  const isCode = (type & 8) !== 0;
  const isConforming = isCode && (type & 4) !== 0;
  if (!isCode || dpl > cpl) return fault('GP', selector | ext);
  if (isJump && !isConforming && dpl !== cpl) return fault('GP', selector | ext);
  if (!isPresent) return fault('NP', selector | ext);
  return { ring: isConforming ? cpl : dpl };
}

function* codeTargets() {
  for (let dpl = 0; dpl < 4; dpl++)
    for (const [type, isPresent] of [
      [10, true],
      [14, true],
      [8, false],
      [12, false],
      [2, true],
    ])
      yield { dpl, type, isPresent };
}

export function* callGates() {
  for (const isJump of [false, true])
    for (let cpl = 0; cpl < 4; cpl++)
      for (let rpl = 0; rpl < 4; rpl++)
        for (let gateDpl = 0; gateDpl < 4; gateDpl++)
          for (const gatePresent of [true, false])
            for (const x of codeTargets()) {
              // A gate that is refused is refused whatever it leads to.
              if ((!gatePresent || gateDpl < Math.max(cpl, rpl)) && (x.type !== 10 || x.dpl !== 0)) continue;
              yield* callGate({ isJump, cpl, rpl, gateDpl, gatePresent, x });
            }
  yield* badTargets();
}

function* callGate({ isJump, cpl, rpl, gateDpl, gatePresent, x }) {
  const parameters = (cpl + x.dpl) % 4;
  for (const [n, stack] of STACKS.entries()) {
    for (const isWide of [true, false]) {
      let expect;
      if (gateDpl < Math.max(cpl, rpl)) expect = fault('GP', GATE);
      else if (!gatePresent) expect = fault('NP', GATE);
      else expect = target({ ...x, cpl, isJump, selector: TARGET });
      const isInner = expect.ring !== undefined && expect.ring < cpl;
      // The stack matters for inner rings, the gate's width for what is pushed.
      if (!isInner && (n > 0 || (!isWide && expect.fault !== undefined))) continue;
      // Without ring 0's stack nobody could tell: interrupts try that.
      if (n > 0 && (!isWide || x.dpl === 0)) continue;
      const inner = innerStack(stack, x.dpl);
      const size = isWide ? 4 : 2;
      const offset = isWide ? LANDING : LANDING & 0xffff;
      if (expect.ring !== undefined) {
        const { ring } = expect;
        if (isInner && stack.error !== undefined) expect = fault(...stack.error);
        else if (isInner) {
          const pointer = INNER - (4 + parameters) * size;
          expect = done({ cs: TARGET | ring, eip: offset + 2, stackPointer: pointer });
          // Return address, parameters, and the outer stack's pointer.
          if (isWide) {
            expect.probe0 = (cpl === 3 ? 0x210000 : 0x211000) + 7;
            expect.probe1 = CS[cpl];
            expect.probe2 = parameters === 0 ? stackOf(cpl) - 12 : 0x11111111;
            expect.mask = { probe1: 0xffff };
          }
        } else {
          expect = done({
            cs: TARGET | ring,
            eip: offset + 2,
            stackPointer: stackOf(cpl) - 12 - (isJump ? 0 : 2 * size),
          });
        }
      }
      yield makeCase({
        family: `${isJump ? 'JMP' : 'CALL'} through a call gate`,
        section: isJump ? 'JMP—Jump' : 'CALL—Call Procedure',
        name: `CPL ${cpl} RPL ${rpl} gate DPL ${gateDpl} ${gatePresent ? '' : 'not present '}${isWide ? 32 : 16} bits to DPL ${x.dpl} type ${x.type.toString(16)} ${x.isPresent ? '' : 'not '}present${stack.name ? `, ${stack.name}` : ''}`,
        cpl,
        code: [isJump ? 0xea : 0x9a, ...dword(0), ...word(GATE | rpl)],
        stack: [0x11111111, 0x22222222, 0x33333333],
        descriptors: {
          [GATE]: gate(TARGET, offset, (isWide ? 12 : 4) | (gateDpl << 5) | (gatePresent ? PRESENT : 0), parameters),
          [TARGET]: descriptor(
            isWide ? 0 : LANDING & ~0xffff,
            0xffffffff,
            0xc010 | x.type | (x.dpl << 5) | (x.isPresent ? PRESENT : 0),
          ),
          ...inner.descriptors,
        },
        writes: [...LAND, ...inner.writes],
        probes: [0, 4, 8].map((at) => INNER - (4 + parameters) * size + at),
        expect,
      });
    }
  }
}

function* badTargets() {
  for (const isJump of [false, true])
    for (let cpl = 0; cpl < 4; cpl++) {
      const make = (name, values, expect, more = {}) =>
        makeCase({
          family: `${isJump ? 'JMP' : 'CALL'} through a call gate`,
          section: isJump ? 'JMP—Jump' : 'CALL—Call Procedure',
          name: `CPL ${cpl}: ${name}`,
          cpl,
          code: [isJump ? 0xea : 0x9a, ...dword(0), ...word(GATE | cpl)],
          writes: LAND,
          expect,
          ...more,
          descriptors: { [GATE]: values, ...more.descriptors },
        });
      yield make('null code segment', gate(0, LANDING, 0xec), fault('GP', 0));
      yield make('code segment beyond the GDT', gate(GDT_LIMIT + 1, LANDING, 0xec), fault('GP', GDT_LIMIT + 1));
      yield make('code segment is a call gate', gate(GATE, LANDING, 0xec), fault('GP', GATE));
      yield make('EIP beyond the limit', gate(TARGET, LANDING, 0xec), fault('GP', 0), {
        descriptors: { [TARGET]: descriptor(0, LANDING - 1, 0xc09b | (cpl << 5)) },
      });
    }
}

const VECTOR = 0x30;
/** Vector, and the bit that says so. */
const ERROR = VECTOR * 8 + 2;

export function* interrupts() {
  for (let cpl = 0; cpl < 4; cpl++)
    for (let gateDpl = 0; gateDpl < 4; gateDpl++)
      for (let gateType = 0; gateType < 32; gateType++)
        for (const gatePresent of [true, false])
          for (const x of codeTargets()) {
            const type = gateType & 15;
            const isGate = gateType < 16 && [6, 7, 14, 15].includes(type);
            const isPlain = x.type === 10 && x.dpl === 0;
            // Task gates are a family of their own.
            if (gateType < 16 && type === 5) continue;
            if ((!isGate || !gatePresent || gateDpl < cpl) && !isPlain) continue;
            yield* interrupt({ cpl, gateDpl, type, isGate, isSystem: gateType < 16, gatePresent, x });
          }
  yield* badVectors();
}

function* interrupt({ cpl, gateDpl, type, isGate, isSystem, gatePresent, x }) {
  const isWide = type >= 8;
  const size = isWide ? 4 : 2;
  const offset = isWide ? LANDING : LANDING & 0xffff;
  for (const [n, stack] of STACKS.entries()) {
    let expect;
    if (!isGate || gateDpl < cpl) expect = fault('GP', ERROR);
    else if (!gatePresent) expect = fault('NP', ERROR);
    else expect = target({ ...x, cpl, isJump: false, selector: TARGET });
    const isInner = expect.ring !== undefined && expect.ring < cpl;
    // Without ring 0's stack nobody could tell: see shortTaskStates().
    if (n > 0 && (!isInner || type !== 14 || x.dpl === 0)) continue;
    const inner = innerStack(stack, x.dpl);
    if (expect.ring !== undefined) {
      const { ring } = expect;
      if (isInner && stack.error !== undefined) expect = fault(...stack.error);
      else {
        const top = isInner ? INNER : stackOf(cpl);
        expect = done({ cs: TARGET | ring, eip: offset + 2, stackPointer: top - (isInner ? 5 : 3) * size });
        // Interrupt gates clear IF, trap gates do not.
        expect.eflags = type & 1 ? 0x200 : 0;
        expect.mask = { eflags: 0x200 };
      }
    }
    yield makeCase({
      family: 'INT n',
      section: 'INT n/INTO/INT3/INT1—Call to Interrupt Procedure',
      name: `CPL ${cpl} gate DPL ${gateDpl} ${isSystem ? '' : 'segment '}type ${type.toString(16)}${gatePresent ? '' : ' not present'} to DPL ${x.dpl} type ${x.type.toString(16)} ${x.isPresent ? '' : 'not '}present${stack.name ? `, ${stack.name}` : ''}`,
      cpl,
      code: [0xcd, VECTOR],
      flags: 0x200,
      descriptors: {
        [TARGET]: descriptor(
          isWide ? 0 : LANDING & ~0xffff,
          0xffffffff,
          0xc010 | x.type | (x.dpl << 5) | (x.isPresent ? PRESENT : 0),
        ),
        ...inner.descriptors,
      },
      writes: [
        ...LAND,
        ...inner.writes,
        ...writeDwords(
          IDT + VECTOR * 8,
          gate(TARGET, offset, type | (isSystem ? 0 : 0x10) | (gateDpl << 5) | (gatePresent ? PRESENT : 0)),
        ),
      ],
      expect,
    });
  }
}

function* badVectors() {
  for (let cpl = 0; cpl < 4; cpl++) {
    const make = (name, expect, more = {}) =>
      makeCase({
        family: 'INT n',
        section: 'INT n/INTO/INT3/INT1—Call to Interrupt Procedure',
        name: `CPL ${cpl}: ${name}`,
        cpl,
        code: [0xcd, VECTOR],
        expect,
        ...more,
      });
    const idt = (...values) => writeDwords(IDT + VECTOR * 8, values);
    yield make('null code segment', fault('GP', 0), { writes: idt(...gate(0, LANDING, 0xee)) });
    yield make('code segment beyond the GDT', fault('GP', GDT_LIMIT + 1), {
      writes: idt(...gate(GDT_LIMIT + 1, LANDING, 0xee)),
    });
    yield make('beyond the IDT', fault('GP', 0xf0 * 8 + 2), { code: [0xcd, 0xf0], idtLimit: 0xf0 * 8 - 1 });
    yield make('the last byte of its gate beyond the IDT', fault('GP', 0xf0 * 8 + 2), {
      code: [0xcd, 0xf0],
      idtLimit: 0xf0 * 8 + 6,
    });
    yield make('EIP beyond the limit', fault('GP', 0), {
      writes: idt(...gate(TARGET, LANDING, 0xee)),
      descriptors: { [TARGET]: descriptor(0, LANDING - 1, 0xc09b | (cpl << 5)) },
    });
    // The gate of INT3 and INTO is checked like that of INT n; INT1 asks for no privilege.
    for (const [what, code, vector] of [
      ['INT3', [0xcc], 3],
      ['INTO', [0xce], 4],
      ['INT 3', [0xcd, 3], 3],
    ])
      yield make(
        `${what} through a gate of ring 0`,
        cpl > 0
          ? fault('GP', vector * 8 + 2)
          : fault(vector === 3 ? 'BP' : 'OF', undefined, { elsewhere: true, eip: 0x211000 + code.length }),
        { code, flags: 0x800 },
      );
    yield make(
      'INT1 through a gate of ring 0',
      fault('DB', undefined, { elsewhere: true, eip: (cpl === 3 ? 0x210000 : 0x211000) + 1 }),
      { code: [0xf1] },
    );
    yield make('INTO without OF', done(), { code: [0xce] });
    if (cpl === 3) yield* shortTaskStates(make);
  }
}

/** The stack pointers of the task state must lie within its limit. */
function* shortTaskStates(make) {
  // Of ring 0's pointers the last byte used is the ninth: ESP0 and SS0 without its upper half.
  for (const [limit, expect] of [
    [0x67, done()],
    [0x0b, done()],
    [0x09, done()],
    // #TS cannot be told without a stack either, nor can #DF.
    [0x08, { ends: 'shutdown' }],
    [0x07, { ends: 'shutdown' }],
  ]) {
    yield make(`task state with limit ${limit.toString(16)}`, expect, {
      descriptors: { [TSS_SELECTOR]: descriptor(TSS, limit, 0x89) },
      code: [0xcd, 0x80],
    });
  }
  for (const stack of STACKS.slice(1)) {
    const inner = innerStack(stack, 0);
    yield make(`ring 0: ${stack.name}`, { ends: 'shutdown' }, { ...inner, code: [0xcd, 0x80] });
  }
}
