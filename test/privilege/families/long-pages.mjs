// Pages of four-level paging: 4 KiB, 2 MiB and 1 GiB, with rights at every level. The rules are those of paging.mjs.
import { done, fault, writeBytes } from '../case.mjs';
import { makeCase64, writeQuads } from '../case64.mjs';
import { CODE, DONE, LANDING, PAGE, PAGE_TABLES, PML4, stackOf } from '../layout.mjs';
import { LONG_CR0, PAE } from '../monitor64.mjs';
import { errorOf, isAllowed } from './paging.mjs';

const SECTION = 'Vol. 3A, "4-Level Paging", "Access Rights", "Page-Fault Exceptions"';
const [P, RW, US, A, D, PS] = [1, 2, 4, 0x20, 0x40, 0x80];
const ALL = P | RW | US;
const NX = 1n << 63n;
const [WP, SMEP, SMAP, AC] = [0x10000, 1 << 20, 1 << 21, 0x40000];
/** The page under test is at 512 GiB: every level of its walk is its own. */
const AT = 1n << 39n;
const [LOW_PDPT, LOW_PD, LOW_PT0, LOW_PT1] = [1, 2, 3, 4].map((n) => PAGE_TABLES + n * 0x1000);
const [PDPT, PD, PT] = [5, 6, 7].map((n) => PAGE_TABLES + n * 0x1000);

const isForUser = (page) =>
  [CODE, LANDING, 0x228000].includes(page) || (page >= stackOf(3) - 0xe00 && page < stackOf(3) + 0x200);

export function longPages() {
  const pt = (base) =>
    Array.from({ length: 512 }, (_, n) => (base + n * 4096) | P | RW | (isForUser(base + n * 4096) ? US : 0));
  // Cases lie from 4 MiB on.
  const large = Array.from({ length: 30 }, (_, n) => ((n + 2) * 0x200000) | P | RW | PS);
  return [
    [PML4, [LOW_PDPT | ALL]],
    [LOW_PDPT, [LOW_PD | ALL]],
    [LOW_PD, [LOW_PT0 | ALL, LOW_PT1 | ALL, ...large]],
    [LOW_PT0, pt(0)],
    [LOW_PT1, pt(0x200000)],
  ];
}

const KINDS = { read: [0x8a, 0x07], write: [0x88, 0x07], fetch: [0xff, 0xe7] };

/** `levels`: low bits of PML4E, PDPTE, PDE, PTE down to the last one, a large page where there are fewer; `nx`: level or -1. */
function access({
  kind,
  cpl,
  levels,
  wp = false,
  smep = false,
  smap = false,
  ac = false,
  nxe = true,
  nx = -1,
  reserved = false,
}) {
  const isUser = cpl === 3;
  const size = [0, 0, 1 << 30, 1 << 21, 1 << 12][levels.length];
  const inside = levels.length === 4 ? 0 : PAGE & (size - 1);
  const at = AT + BigInt(inside);
  const absent = levels.findIndex((bits) => (bits & P) === 0);
  // Reserved bits count where the walk gets to them.
  const isReserved = (reserved && absent < 0) || (!nxe && nx >= 0 && (absent < 0 || nx < absent));
  const rights = {
    user: levels.every((bits) => bits & US),
    write: levels.every((bits) => bits & RW),
    nx: nxe && nx >= 0,
  };
  const isPresent = absent < 0;
  const isFine = isPresent && !isReserved && isAllowed({ kind, isUser, rights, wp, smep, smap, ac });
  const error = errorOf({ kind, isUser, isPresent: isPresent || isReserved, isReserved, hasNx: nxe, smep });
  const where = Number(BigInt.asUintN(32, at));
  const expect = isFine
    ? done()
    : fault('PF', error, { cr2: where, ...(kind === 'fetch' ? { elsewhere: true, eip: where } : {}) });
  const places = [PML4 + 8, PDPT, PD, PT];
  const targets = [PDPT, PD, PT, PAGE];
  const writes = [];
  const values = levels.map((bits, n) => {
    const isLast = n === levels.length - 1;
    const isLarge = isLast && n < 3;
    let value = BigInt(bits | (isLarge ? (PAGE & ~(size - 1)) | PS : targets[n]));
    if (nx === n) value |= NX;
    if (isLast && reserved) value |= isLarge ? 0x2000n : 1n << 51n;
    writes.push(...writeQuads(places[n], [value]));
    return value;
  });
  const last = levels.length - 1;
  if (isFine) {
    const used = A | (kind === 'write' ? D : 0);
    expect.probe0 = Number(BigInt.asUintN(32, values[last])) | used;
    expect.probe1 = Number(BigInt.asUintN(32, values[0])) | A;
  } else if (kind !== 'fetch') {
    expect.probe0 = 0;
    expect.mask = { probe0: D };
  }
  const flag = (value, name) => (value ? ` ${name}` : '');
  return makeCase64({
    family: 'four-level pages',
    section: SECTION,
    name: `${kind} at CPL ${cpl}, entries ${levels.map((bits) => bits.toString(16)).join('/')}${flag(wp, 'WP')}${flag(smep, 'SMEP')}${flag(smap, 'SMAP')}${flag(ac, 'AC')}${flag(nxe, 'NXE')}${flag(nx >= 0, `NX at ${nx}`)}${flag(reserved, 'reserved bit')}`,
    cpl,
    code: KINDS[kind],
    flags: ac ? AC : 0,
    registers: { rdi: at, rax: 0xcd },
    cr0: wp ? LONG_CR0 : LONG_CR0 - WP,
    cr4: PAE | (smep ? SMEP : 0) | (smap ? SMAP : 0),
    // LME and SCE stay.
    efer: nxe ? 0x901 : 0x101,
    writes: [...writes, ...writeBytes(PAGE, [0xcd, DONE])],
    probes: [places[last], places[0]],
    expect,
  });
}

export function* longPaging() {
  const rights = [P, P | RW, P | US, ALL];
  for (const cpl of [0, 1, 3])
    for (const kind of Object.keys(KINDS))
      for (const length of [2, 3, 4]) {
        const whole = new Array(length).fill(ALL);
        for (let level = 0; level < length; level++) {
          const at = (bits) => whole.map((other, n) => (n === level ? bits : other));
          for (const bits of rights)
            for (const wp of [false, true])
              for (const [smep, smap, ac] of [
                [false, false, false],
                [true, false, false],
                [false, true, false],
                [false, true, true],
                [true, true, true],
              ])
                yield access({ kind, cpl, levels: at(bits), wp, smep, smap, ac, nxe: (level & 1) === 0 });
          for (const nxe of [false, true]) {
            yield access({ kind, cpl, levels: whole, nx: level, nxe });
            yield access({ kind, cpl, levels: at(P), nx: level, nxe });
            yield access({ kind, cpl, levels: at(RW | US), nxe });
            yield access({ kind, cpl, levels: at(0), nxe, smep: true });
          }
        }
        yield access({ kind, cpl, levels: whole, reserved: true });
        yield access({ kind, cpl, levels: [...whole.slice(0, -1), RW], reserved: true });
      }
}
