// Far JMP, CALL and RET between code segments. SDM Vol. 2A, "CALL—Call Procedure", "JMP—Jump"; Vol. 2B, "RET—Return From
// Procedure"; Vol. 3A, "Privilege Level Checking When Transferring Program Control Between Code Segments".
import { done, fault, makeCase, writeBytes } from '../case.mjs';
import { dword, word } from '../code.mjs';
import { DONE, DS, descriptor, GDT, GDT_LIMIT, LANDING, stackOf, TEST } from '../layout.mjs';

const PRESENT = 0x80;
export const LAND = writeBytes(LANDING, [0xcd, DONE]);

const isCode = (x) => !x.isSystem && (x.type & 8) !== 0;
const isConforming = (x) => isCode(x) && (x.type & 4) !== 0;

/** JMP and CALL with a selector of a segment, not of a gate. */
export function direct({ cpl, rpl, dpl, isPresent, selector, ...x }) {
  if (!isCode(x)) return fault('GP', selector);
  if (isConforming(x) ? dpl > cpl : rpl > cpl || dpl !== cpl) return fault('GP', selector);
  if (!isPresent) return fault('NP', selector);
  return done({ cs: selector | cpl, eip: LANDING + 2 });
}

const access = (x, dpl, isPresent) => x.type | (x.isSystem ? 0 : 0x10) | (dpl << 5) | (isPresent ? PRESENT : 0);
const told = (x) => `${x.isSystem ? 'system ' : ''}type ${x.type.toString(16)}`;

export function* codeSegments() {
  for (let cpl = 0; cpl < 4; cpl++)
    for (let rpl = 0; rpl < 4; rpl++)
      for (let dpl = 0; dpl < 4; dpl++)
        for (let n = 0; n < 32; n++)
          for (const isPresent of [true, false]) {
            const x = { type: n & 15, isSystem: n < 16 };
            // Gates and task states are families of their own; data and the rest are refused alike.
            if (x.isSystem && (![0, 2, 6, 7, 8, 10, 13, 14, 15].includes(x.type) || rpl !== 0 || !isPresent)) continue;
            if (!x.isSystem && (x.type & 8) === 0 && (rpl !== cpl || !isPresent)) continue;
            for (const isCall of [false, true]) {
              const selector = TEST[0];
              const values = descriptor(0, 0xffffffff, 0xc000 | access(x, dpl, isPresent));
              const expect = direct({ ...x, cpl, rpl, dpl, isPresent, selector });
              if (expect.done) {
                expect.probe0 = (values[1] | 0x100) >>> 0;
                expect.stackPointer = stackOf(cpl) - (isCall ? 8 : 0);
              }
              yield makeCase({
                family: `far ${isCall ? 'CALL' : 'JMP'} to a segment`,
                section: isCall ? 'CALL—Call Procedure' : 'JMP—Jump',
                name: `CPL ${cpl} RPL ${rpl} DPL ${dpl} ${told(x)} ${isPresent ? '' : 'not '}present`,
                cpl,
                code: [isCall ? 0x9a : 0xea, ...dword(LANDING), ...word(selector | rpl)],
                descriptors: { [selector]: values },
                writes: LAND,
                probes: [GDT + selector + 4],
                expect,
              });
            }
          }
  yield* edges();
}

function* edges() {
  for (let cpl = 0; cpl < 4; cpl++)
    for (const isCall of [false, true]) {
      const make = (name, target, selector, expect, more = {}) =>
        makeCase({
          family: `far ${isCall ? 'CALL' : 'JMP'} to a segment`,
          section: isCall ? 'CALL—Call Procedure' : 'JMP—Jump',
          name: `CPL ${cpl}: ${name}`,
          cpl,
          code: [isCall ? 0x9a : 0xea, ...dword(target), ...word(selector)],
          writes: LAND,
          expect,
          ...more,
        });
      yield make('null selector', LANDING, cpl, fault('GP', 0));
      yield make('beyond the GDT', LANDING, (GDT_LIMIT + 1) | cpl, fault('GP', GDT_LIMIT + 1));
      // The new EIP is checked before anything changes.
      yield make('EIP beyond the limit', LANDING, TEST[0] | cpl, fault('GP', 0), {
        descriptors: { [TEST[0]]: descriptor(0, LANDING - 1, 0xc09b | (cpl << 5)) },
      });
    }
}

/** RET to a code segment: of the same ring, or of an outer one with a stack segment. */
export function far({ cpl, rpl, dpl, isPresent, selector, stack, ...x }) {
  if (!isCode(x) || rpl < cpl) return fault('GP', selector);
  if (isConforming(x) ? dpl > rpl : dpl !== rpl) return fault('GP', selector);
  if (!isPresent) return fault('NP', selector);
  if (rpl > cpl) {
    if (stack.selector === 0) return fault('GP', 0);
    const isWritableData = (stack.type & 10) === 2;
    if (stack.rpl !== rpl || !isWritableData || stack.dpl !== rpl) return fault('GP', stack.selector);
    if (!stack.isPresent) return fault('SS', stack.selector);
  }
  return done({ cs: selector | rpl, eip: LANDING + 2 });
}

/** Stack segments that a return finds: a right one, and one wrong in each way. */
function stacks(rpl) {
  const right = { selector: TEST[1], rpl, dpl: rpl, type: 2, isPresent: true };
  return [
    right,
    { ...right, selector: 0, name: 'null stack' },
    { ...right, rpl: (rpl + 1) & 3, name: 'RPL of the stack' },
    { ...right, dpl: (rpl + 3) & 3, name: 'DPL of the stack' },
    { ...right, type: 0, name: 'stack not writable' },
    { ...right, type: 10, name: 'stack is code' },
    { ...right, isPresent: false, name: 'stack not present' },
  ];
}

const RETURNS = {
  'far RET': { code: [0xcb], section: 'RET—Return From Procedure' },
  IRET: { code: [0xcf], section: 'IRET/IRETD/IRETQ—Interrupt Return' },
};

export function* returns() {
  for (const kind of Object.keys(RETURNS))
    for (let cpl = 0; cpl < 4; cpl++)
      for (let rpl = 0; rpl < 4; rpl++)
        for (let dpl = 0; dpl < 4; dpl++)
          for (let type = 0; type < 16; type++)
            for (const isPresent of [true, false]) {
              if ((type & 8) === 0 && (type !== 2 || !isPresent)) continue;
              if (!isPresent && dpl !== rpl) continue;
              const others = (type & 9) === 8 && rpl > cpl && isPresent ? stacks(rpl) : stacks(rpl).slice(0, 1);
              for (const stack of others) {
                const selector = TEST[0];
                const x = { type, isSystem: false };
                const expect = far({ ...x, cpl, rpl, dpl, isPresent, selector, stack });
                const image = [LANDING, selector | rpl];
                if (kind === 'IRET') image.push(2);
                const outer = 0x222e00;
                if (rpl > cpl) image.push(outer, stack.selector | (stack.selector === 0 ? 0 : stack.rpl));
                if (expect.done) {
                  // Of DS and ES, one is of the old ring and one of ring 3.
                  expect.ds = cpl < rpl ? 0 : DS[cpl];
                  expect.es = DS[3];
                  expect.stackPointer = rpl > cpl ? outer : stackOf(cpl);
                  if (rpl > cpl) expect.outerSs = stack.selector | stack.rpl;
                }
                yield makeCase({
                  family: kind,
                  section: RETURNS[kind].section,
                  name: `CPL ${cpl} RPL ${rpl} DPL ${dpl} type ${type.toString(16)} ${isPresent ? '' : 'not '}present${stack.name ? `, ${stack.name}` : ''}`,
                  cpl,
                  code: RETURNS[kind].code,
                  stack: image,
                  esp: stackOf(cpl),
                  segments: { es: DS[3] },
                  descriptors: {
                    [selector]: descriptor(0, 0xffffffff, 0xc000 | access(x, dpl, isPresent)),
                    [TEST[1]]: descriptor(
                      0,
                      0xffffffff,
                      0xc010 | stack.type | (stack.dpl << 5) | (stack.isPresent ? PRESENT : 0),
                    ),
                  },
                  writes: LAND,
                  expect,
                });
              }
            }
  for (const kind of Object.keys(RETURNS))
    for (let cpl = 0; cpl < 4; cpl++) {
      const make = (name, image, expect) =>
        makeCase({
          family: kind,
          section: RETURNS[kind].section,
          name: `CPL ${cpl}: ${name}`,
          cpl,
          code: RETURNS[kind].code,
          stack: [...image, 2, 0, 0],
          esp: stackOf(cpl),
          expect,
        });
      yield make('to a null selector', [LANDING, cpl], fault('GP', 0));
      yield make('to a selector beyond the GDT', [LANDING, (GDT_LIMIT + 1) | cpl], fault('GP', GDT_LIMIT + 1));
      yield make('to a call gate', [LANDING, TEST[2] | cpl], fault('GP', TEST[2]));
    }
}
