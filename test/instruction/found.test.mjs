// What the instruction judge has found, as rows that need no processor to ask: code, and the exception or end that follows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, CODE_BYTES, CODE_SIZE, descriptorOf, LOW, MODES, RECORD, SEL, USER_DS } from './layout.mjs';
import { UserMachine } from './machine.mjs';

const [DB, BP, GP, PF, MF, AC] = [1, 3, 13, 14, 16, 17];
const TF = 0x100;
const AC_FLAG = 0x40000;
const PLACE = CODE + 0x4000;
const [EAX, ECX, ESP, EDI, EBX] = [0, 1, 4, 7, 3];
const { protected32, protected16 } = MODES;
const SS = 2;
const DS = 3;
const ES = 0;

/** [what, mode, code, { gpr, flags, selectors, place, fcw, fsw }, vector, distance of RIP from the instruction] */
const ROWS = [
  [
    'a store through a read-only segment',
    protected32,
    '8907',
    { gpr: { [EDI]: 0 }, selectors: { [DS]: SEL.readOnly } },
    GP,
    0,
  ],
  [
    'a load from a read-only segment',
    protected32,
    '8b07',
    { gpr: { [EDI]: 0 }, selectors: { [DS]: SEL.readOnly } },
    BP,
    3,
  ],
  ['a store through CS, however flat', protected32, '2e890500000010', {}, GP, 0],
  [
    'REP STOS through a read-only segment',
    protected32,
    'f3ab',
    { gpr: { [ECX]: 4, [EDI]: 0 }, selectors: { [ES]: SEL.readOnly } },
    GP,
    0,
  ],
  [
    'STOS through a read-only segment',
    protected32,
    'ab',
    { gpr: { [EDI]: 0 }, selectors: { [ES]: SEL.readOnly } },
    GP,
    0,
  ],
  [
    'BTS through a read-only segment',
    protected32,
    '0fab07',
    { gpr: { [EDI]: 0 }, selectors: { [DS]: SEL.readOnly } },
    GP,
    0,
  ],
  [
    'FNSTENV through a read-only segment',
    protected32,
    'd937',
    { gpr: { [EDI]: 0 }, selectors: { [DS]: SEL.readOnly } },
    GP,
    0,
  ],
  ['an instruction across the end of its segment', protected16, '01c8', { place: CODE + CODE_SIZE - 1 }, GP, 0],
  ['an instruction at the end of its segment', protected16, '40', { place: CODE + CODE_SIZE - 1 }, GP, 1],
  ['the same at the end of what is mapped', protected32, '40', { place: CODE + CODE_SIZE - 1 }, PF, 1],
  ['a near jump beyond the segment', protected16, '66e900000100', {}, GP, 0],
  ['a near call beyond the segment', protected16, '66e800000100', {}, GP, 0],
  ['a near branch beyond the segment, taken', protected16, '660f8400000100', { flags: 0x40 }, GP, 0],
  ['a near branch beyond the segment, not taken', protected16, '660f8400000100', {}, BP, 8],
  ['an indirect jump beyond the segment', protected16, '66ffe0', { gpr: { [EAX]: 0x10000 } }, GP, 0],
  ['INT3 under TF', protected32, 'cc', { flags: TF }, BP, 1],
  ['an instruction under TF', protected32, '40', { flags: TF }, DB, 1],
  ['MOV SS under TF holds the trap back', protected32, '8ed0', { gpr: { [EAX]: USER_DS }, flags: TF }, BP, 3],
  ['POP SS under TF holds the trap back', protected32, '17', { flags: TF, stack: USER_DS }, BP, 2],
  ['POPF that sets TF traps after the next one', protected32, '9d', { stack: 0x302 }, BP, 2],
  [
    'a trap before a page that is not there',
    protected32,
    '0fa1',
    { place: CODE + CODE_SIZE - 2, flags: TF, stack: 0 },
    DB,
    2,
  ],
  ['FLDENV of misaligned words', protected32, 'd927', { gpr: { [EDI]: LOW + 2 }, flags: AC_FLAG }, AC, 0],
  ['FNOP waits for exceptions', protected32, 'd9d0', { fcw: 0x37e, fsw: 0x8081 }, MF, 0],
  ['FNENI does not', protected32, 'dbe0', { fcw: 0x37e, fsw: 0x8081 }, BP, 3],
  ['FNDISI does not', protected32, 'dbe1', { fcw: 0x37e, fsw: 0x8081 }, BP, 3],
  ['FNSETPM does not', protected32, 'dbe4', { fcw: 0x37e, fsw: 0x8081 }, BP, 3],
];

function requestOf(mode, code, { gpr = {}, flags = 0, selectors = {}, place = PLACE, fcw = 0x37f, fsw = 0, stack }) {
  const view = new DataView(new ArrayBuffer(RECORD.SIZE));
  const bytes = new Uint8Array(view.buffer);
  const data = mode === protected16 ? SEL.data16 : USER_DS;
  const all = [data, mode.cs, data, data, data, data];
  for (const [n, selector] of Object.entries(selectors)) all[n] = selector;
  for (const [n, selector] of all.entries()) view.setUint16(RECORD.SELECTOR + 2 * n, selector, true);
  const top = LOW + 128;
  const registers = { [ESP]: top - Number(descriptorOf(all[SS]).base), [EBX]: LOW, ...gpr };
  for (const [n, value] of Object.entries(registers)) view.setBigUint64(8 * n, BigInt(value), true);
  if (stack !== undefined) view.setUint32(RECORD.LOW + 128, stack, true);
  view.setUint32(RECORD.FLAGS, flags | 0x202, true);
  view.setBigUint64(RECORD.RIP, BigInt(place) - descriptorOf(mode.cs).base, true);
  view.setUint32(RECORD.PLACE, place, true);
  view.setUint16(RECORD.FX, fcw, true);
  view.setUint16(RECORD.FX + 2, fsw, true);
  view.setUint32(RECORD.FX + 24, 0x1f80, true);
  bytes.fill(0xcc, RECORD.CODE, RECORD.CODE + CODE_BYTES);
  bytes.set(code, RECORD.CODE);
  return view;
}

const machine = new UserMachine();
for (const [what, mode, hex, state, vector, distance] of ROWS) {
  test(what, () => {
    const code = Buffer.from(hex, 'hex');
    const request = requestOf(mode, code, state);
    const answer = new DataView(new ArrayBuffer(RECORD.SIZE));
    machine.run(request, answer, 0, code.length);
    assert.equal(answer.getUint32(RECORD.TRAP, true), vector);
    const before = request.getBigUint64(RECORD.RIP, true);
    assert.equal(answer.getBigUint64(RECORD.RIP, true) - before, BigInt(distance));
  });
}
