// What is checked at an access to a segment: its limit, up or down, its type, and whether there is a segment at all. SDM Vol. 3A,
// "Limit Checking", "Type Checking", "Null Segment Selector Checking".
import { done, fault, makeCase, writeBytes } from '../case.mjs';
import { CODE, DONE, descriptor, SYSTEM_CODE, TEST } from '../layout.mjs';

const SECTION = 'Vol. 3A, "Limit Checking", "Type Checking"';
const BASE = 0x250000;
const PRESENT = 0x80;
const [BIG, GRANULAR] = [0x4000, 0x8000];

/** Is every byte from `offset` on inside? `up`: offsets up to the limit; down: from behind it to 64 KiB or 4 GiB. */
export function isInside({ offset, size, limit, isDown, isBig }) {
  const last = offset + size - 1;
  if (!isDown) return last <= limit;
  return offset > limit && last <= (isBig ? 0xffffffff : 0xffff);
}

/** name, segment type, attributes, limit in bytes, offsets worth a try. */
const SEGMENTS = [
  ['up, bytes', 2, BIG, 0x123, [0, 0x120, 0x121, 0x122, 0x123, 0x124, 0x200, 0xfffffffe]],
  ['up, pages', 2, BIG | GRANULAR, 0x1fff, [0, 0x1ffc, 0x1ffd, 0x1ffe, 0x1fff, 0x2000, 0xffffffff]],
  ['up, nothing but one byte', 2, BIG, 0, [0, 1, 2]],
  ['down, bytes, 64 KiB', 6, 0, 0xfff, [0, 0xffe, 0xfff, 0x1000, 0xfffc, 0xfffd, 0xffff, 0x10000]],
  ['down, bytes, 4 GiB', 6, BIG, 0xfff, [0, 0xffe, 0xfff, 0x1000, 0xfffc, 0x10000, 0x20000]],
  ['down, pages', 6, BIG | GRANULAR, 0x1fff, [0, 0x1fff, 0x2000, 0x30000]],
  ['down, nothing', 6, 0, 0xffff, [0, 0x8000, 0xffff]],
];

/** Segment override, and what its limit raises. */
const REGISTERS = { ds: [0x3e, 'GP'], es: [0x26, 'GP'], fs: [0x64, 'GP'], gs: [0x65, 'GP'], ss: [0x36, 'SS'] };
const ACCESSES = [
  ['MOV AL', 1, [0x8a, 0x07], [0x88, 0x07]],
  ['MOV AX', 2, [0x66, 0x8b, 0x07], [0x66, 0x89, 0x07]],
  ['MOV EAX', 4, [0x8b, 0x07], [0x89, 0x07]],
  ['MOVQ MM0', 8, [0x0f, 0x6f, 0x07], [0x0f, 0x7f, 0x07]],
];

export function* limits() {
  const cpl = 3;
  const dpl = cpl << 5;
  for (const [what, type, attributes, limit, offsets] of SEGMENTS)
    for (const offset of offsets)
      for (const [n, [name, size, load, store]] of ACCESSES.entries())
        for (const [register, [prefix, vector]] of Object.entries(REGISTERS)) {
          const isStack = register === 'ss';
          // A segment that the stack cannot be in is not entered with.
          if (isStack && (type !== 2 || limit < 0x100)) continue;
          const isStore = (n + offset) % 2 === 0;
          const isDown = type === 6;
          const inside = isInside({ offset, size, limit, isDown, isBig: (attributes & BIG) !== 0 });
          yield makeCase({
            family: 'limits of segments',
            section: SECTION,
            name: `${name} ${isStore ? 'stored' : 'loaded'} at ${offset.toString(16)} of ${register}: ${what}, limit ${limit.toString(16)}`,
            cpl,
            code: [prefix, ...(isStore ? store : load)],
            registers: { edi: offset },
            descriptors: { [TEST[0]]: descriptor(BASE, limit, 0x10 | PRESENT | dpl | type | attributes) },
            segments: isStack ? {} : { [register]: TEST[0] | cpl },
            ...(isStack ? { ss: TEST[0] | cpl, esp: 0x80 } : {}),
            expect: inside ? done() : fault(vector, 0),
          });
        }
  yield* types();
  yield* stackLimits();
  yield* codeLimits();
}

function* types() {
  const one = (cpl, name, code, type, expect, more = {}) =>
    makeCase({
      family: 'types of segments',
      section: SECTION,
      name: `${name}: CPL ${cpl}`,
      cpl,
      code,
      descriptors: { [TEST[0]]: descriptor(BASE, 0xffff, BIG | 0x10 | PRESENT | (cpl << 5) | type) },
      segments: { ds: TEST[0] | cpl },
      expect,
      ...more,
    });
  const [load, store, add] = [
    [0x8b, 0x07],
    [0x89, 0x07],
    [0x01, 0x07],
  ];
  for (const cpl of [0, 1, 2, 3]) {
    for (const [name, type, isWritable] of [
      ['read-only data', 0, false],
      ['read-only data, accessed', 1, false],
      ['writable data', 2, true],
      ['readable code', 10, false],
      ['readable conforming code', 14, false],
    ]) {
      yield one(cpl, `load of ${name}`, load, type, done());
      yield one(cpl, `store to ${name}`, store, type, isWritable ? done() : fault('GP', 0));
      yield one(cpl, `ADD to ${name}`, add, type, isWritable ? done() : fault('GP', 0));
    }
    for (const register of ['ds', 'es', 'fs', 'gs'])
      for (const [what, code] of [
        ['load', load],
        ['store', store],
      ])
        yield one(cpl, `${what} with null ${register}`, [REGISTERS[register][0], ...code], 2, fault('GP', 0), {
          segments: { [register]: cpl },
        });
    const own = cpl === 3 ? CODE : SYSTEM_CODE;
    yield one(cpl, 'store to its own code segment', [0x2e, 0x89, 0x07], 2, fault('GP', 0), {
      registers: { edi: own + 0x100 },
    });
    yield one(cpl, 'load from its own code segment', [0x2e, 0x8b, 0x07], 2, done(), { registers: { edi: own } });
    // Execute-only code cannot even be read by itself.
    yield one(cpl, 'load from execute-only code', [0x2e, 0x8b, 0x07], 2, fault('GP', 0), {
      cs: TEST[1] | cpl,
      registers: { edi: own },
      descriptors: {
        [TEST[1]]: descriptor(0, 0xffffffff, 0xc098 | (cpl << 5)),
        [TEST[0]]: descriptor(BASE, 0xffff, 0x4092 | (cpl << 5)),
      },
    });
  }
}

function* stackLimits() {
  const cpl = 3;
  const one = (name, code, esp, limit, expect, type = 2, attributes = BIG, more = {}) =>
    makeCase({
      family: 'limits of segments',
      section: SECTION,
      name: `${name} with ESP ${esp.toString(16)}, limit ${limit.toString(16)}, type ${type}`,
      cpl,
      code,
      ss: TEST[0] | cpl,
      esp,
      descriptors: { [TEST[0]]: descriptor(BASE, limit, 0x10 | PRESENT | (cpl << 5) | type | attributes) },
      expect,
      ...more,
    });
  for (const [name, code, size] of [
    ['PUSH EAX', [0x50], 4],
    ['PUSH AX', [0x66, 0x50], 2],
    ['PUSHFD', [0x9c], 4],
    ['PUSHAD', [0x60], 32],
    ['ENTER 0, 0', [0xc8, 0, 0, 0], 4],
    ['CALL', [0xe8, 0, 0, 0, 0], 4],
  ]) {
    for (const esp of [size, size - 1, 0x1000 + size, 0x100 + size, 0x101 + size])
      yield one(
        name,
        code,
        esp,
        0x1000 - 1,
        isInside({ offset: esp - size, size, limit: 0xfff }) && esp >= size ? done() : fault('SS', 0),
      );
    for (const esp of [0x1000 + size, 0xfff + size])
      yield one(name, code, esp, 0xfff, esp - size > 0xfff ? done() : fault('SS', 0), 6);
  }
  for (const [name, code, size] of [
    ['POP EAX', [0x58], 4],
    ['POP AX', [0x66, 0x58], 2],
    ['POPFD', [0x9d], 4],
    ['POPAD', [0x61], 32],
    ['LEAVE', [0xc9], 4],
  ])
    for (const esp of [0x1000 - size, 0x1001 - size, 0x1000]) {
      yield one(
        name,
        code,
        esp,
        0xfff,
        isInside({ offset: esp, size, limit: 0xfff }) ? done() : fault('SS', 0),
        2,
        BIG,
        {
          registers: { ebp: esp },
        },
      );
    }
}

/** Where the code segment ends. */
function* codeLimits() {
  const cpl = 3;
  const one = (name, code, limit, expect, more = {}) =>
    makeCase({
      family: 'limits of segments',
      section: SECTION,
      name: `${name}, code limit ${limit.toString(16)}`,
      cpl,
      cs: TEST[1] | cpl,
      base: CODE,
      code,
      descriptors: { [TEST[1]]: descriptor(CODE, limit, 0x409b | (cpl << 5)) },
      expect,
      ...more,
    });
  const nop5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];
  yield one('all of an instruction inside', nop5, 6, done());
  yield one('the last byte of an instruction outside', nop5, 3, fault('GP', 0));
  yield one('the first byte of an instruction outside', [0x90], 0, fault('GP', 0, { elsewhere: true, eip: 1 }));
  for (const [name, code] of [
    ['near JMP', [0xe9, 0xfb, 0, 0, 0]],
    ['near CALL', [0xe8, 0xfb, 0, 0, 0]],
    ['JZ that is taken', [0x0f, 0x84, 0xfa, 0, 0, 0]],
    ['JMP EAX', [0xff, 0xe0]],
    ['CALL EAX', [0xff, 0xd0]],
    ['RET', [0xc3]],
    ['RET 4', [0xc2, 4, 0]],
  ]) {
    const more = {
      registers: { eax: 0x100 },
      stack: [0x100],
      flags: 0x40,
      writes: writeBytes(CODE + 0x100, [0xcd, DONE]),
    };
    yield one(`${name} inside`, code, 0x101, done(), more);
    // The transfer is what faults, with nothing pushed.
    yield one(`${name} outside`, code, 0xff, fault('GP', 0, { stackPointer: 0x223dfc }), more);
  }
  yield one('JZ that is not taken', [0x0f, 0x84, 0xfa, 0, 0, 0], 0xff, done(), { flags: 0 });
}
