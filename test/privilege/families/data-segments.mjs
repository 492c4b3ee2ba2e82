// Loading DS, ES, FS, GS and SS. SDM Vol. 2B, "MOV—Move", Operation; Vol. 3A, "Privilege Level Checking When Accessing Data
// Segments" and "Privilege Level Checking When Loading the SS Register".
import { done, fault, makeCase } from '../case.mjs';
import { descriptor, GDT, GDT_LIMIT, LDT, TEST } from '../layout.mjs';

const SECTION = 'MOV—Move';
/** ModRM register numbers. */
const REGISTERS = { es: 0, ss: 2, ds: 3, fs: 4, gs: 5 };
const DATA = ['ds', 'es', 'fs', 'gs'];
const PRESENT = 0x80;
const S = 0x10;

/** The manual's rules. `selector` without RPL is the error code. */
export function loadData({ cpl, rpl, dpl, type, isSystem, isPresent, selector }) {
  const isCode = (type & 8) !== 0;
  const isReadable = (type & 2) !== 0;
  const isConforming = isCode && (type & 4) !== 0;
  if (isSystem || (isCode && !isReadable)) return fault('GP', selector);
  if (!isConforming && (rpl > dpl || cpl > dpl)) return fault('GP', selector);
  if (!isPresent) return fault('NP', selector);
  return done();
}

export function loadStack({ cpl, rpl, dpl, type, isSystem, isPresent, selector }) {
  const isWritableData = !isSystem && (type & 8) === 0 && (type & 2) !== 0;
  if (rpl !== cpl || !isWritableData || dpl !== cpl) return fault('GP', selector);
  if (!isPresent) return fault('SS', selector);
  return done();
}

function* all() {
  for (let cpl = 0; cpl < 4; cpl++)
    for (let rpl = 0; rpl < 4; rpl++)
      for (let dpl = 0; dpl < 4; dpl++)
        for (let type = 0; type < 32; type++)
          for (const isPresent of [true, false]) {
            const isSystem = type < 16;
            // Types of system segments are all refused alike.
            if (isSystem && (!isPresent || rpl !== cpl || dpl !== 3)) continue;
            yield { cpl, rpl, dpl, type: type & 15, isSystem, isPresent };
          }
}

export function* dataSegments() {
  let turn = 0;
  for (const x of all()) {
    for (const isStack of [false, true]) {
      const register = isStack ? 'ss' : DATA[turn++ % 4];
      const table = turn & 8 ? 4 : 0;
      const selector = table === 0 ? TEST[0] : 0x28 | table;
      const access = x.type | (x.isSystem ? 0 : S) | (x.dpl << 5) | (x.isPresent ? PRESENT : 0);
      // An expand-down segment of this limit has all but its first page.
      const values = descriptor(0, (x.type & 12) === 4 ? 0xfff : 0xffffffff, 0xc000 | access);
      const expect = { ...(isStack ? loadStack : loadData)({ ...x, selector }) };
      // The accessed bit is set by a load and by nothing else.
      expect.probe0 = (values[1] | (expect.done && !x.isSystem ? 0x100 : 0)) >>> 0;
      if (expect.done) expect[register] = selector | x.rpl;
      yield makeCase({
        family: isStack ? 'loading SS' : 'loading data segments',
        section: SECTION,
        name: `mov ${register}: CPL ${x.cpl} RPL ${x.rpl} DPL ${x.dpl} ${x.isSystem ? 'system ' : ''}type ${x.type.toString(16)} ${x.isPresent ? '' : 'not '}present ${table ? 'LDT' : 'GDT'}`,
        cpl: x.cpl,
        code: [0x8e, 0xc0 | (REGISTERS[register] << 3)],
        registers: { eax: selector | x.rpl },
        descriptors: { [selector | (table ? 4 : 0)]: values },
        probes: [(table ? LDT : GDT) + (selector & 0xfff8) + 4],
        expect: isStack && expect.done ? withoutStack(expect, x.cpl, selector | x.rpl) : expect,
      });
    }
  }
  yield* outside();
}

/** After a load of SS the frame of the gate shows it: pushed from outer rings, the stack itself at CPL 0. */
function withoutStack(expect, cpl, value) {
  const { ss, ...rest } = expect;
  return cpl === 0 ? { ...rest, ss: value } : { ...rest, outerSs: value };
}

/** Null selectors, and selectors outside of their table. */
function* outside() {
  for (let cpl = 0; cpl < 4; cpl++) {
    for (const register of Object.keys(REGISTERS)) {
      for (let rpl = 0; rpl < 4; rpl++) {
        const isStack = register === 'ss';
        const make = (what, value, expect, more = {}) =>
          makeCase({
            family: 'selectors that are null or outside of their table',
            section: SECTION,
            name: `mov ${register} of ${what}: CPL ${cpl} RPL ${rpl}`,
            cpl,
            code: [0x8e, 0xc0 | (REGISTERS[register] << 3)],
            registers: { eax: value },
            expect,
            ...more,
          });
        yield make('null', rpl, isStack ? fault('GP', 0) : done({ [register]: rpl }));
        const beyond = GDT_LIMIT + 1;
        yield make('beyond the GDT', beyond | rpl, fault('GP', beyond));
        yield make('beyond the LDT', 0x80 | 4 | rpl, fault('GP', 0x84));
        // All eight bytes must lie inside: the limit is the last one.
        yield make('the last descriptor but one byte', 0x3f8 | rpl, fault('GP', 0x3f8), { gdtLimit: 0x3fe });
        yield make('an LDT where there is none', 0x0c | rpl, fault('GP', 0x0c), { ldt: 0 });
      }
    }
  }
}
