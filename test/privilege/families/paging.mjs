// Rights of pages: U/S, R/W, P and NX at each level against ring, kind of access, WP, SMEP, SMAP and AC; reserved bits; accessed
// and dirty bits; error code and CR2. SDM Vol. 3A, "Access Rights", "Accessed and Dirty Flags", "Page-Fault Exceptions".
import { done, fault, makeCase, writeBytes, writeDwords } from '../case.mjs';
import { CODE, DONE, GDT, PAGE, PAGE_TABLES, stackOf } from '../layout.mjs';

const SECTION = 'Vol. 3A, "Access Rights", "Page-Fault Exceptions"';
/** Where the page under test is seen. */
export const AT = 0xc00000;
const [P, RW, US, A, D, PS] = [1, 2, 4, 0x20, 0x40, 0x80];
const CR0 = { PE: 0x11, WP: 0x10000, PG: 0x80000000 };
const CR4 = { PSE: 0x10, PAE: 0x20, SMEP: 1 << 20, SMAP: 1 << 21 };
const NXE = 0x800;
const AC = 0x40000;

const PD = PAGE_TABLES;
const PT0 = PAGE_TABLES + 0x1000;
const PT = PAGE_TABLES + 0x2000;
const PDPT = PAGE_TABLES + 0x3000;
const PAE_PD = PAGE_TABLES + 0x4000;
const PAE_PT0 = PAGE_TABLES + 0x5000;
const PAE_PT = PAGE_TABLES + 0x7000;

/** Identity for the monitor; only code and stack of CPL 3 belong to everyone. */
const isForUser = (page) => page === CODE || (page >= stackOf(3) - 0xe00 && page < stackOf(3) + 0x200);
const entry = (page) => page | P | RW | (isForUser(page) ? US : 0);

/** The page tables of all cases, as they are in the image: the first 4 MiB. */
export function pages() {
  const wide = (value) => [value, 0];
  const low = Array.from({ length: 1024 }, (_, n) => n * 4096);
  return [
    [PD, [PT0 | P | RW | US]],
    [PT0, low.map(entry)],
    [PDPT, [PAE_PD | P, 0]],
    [PAE_PD, [...wide(PAE_PT0 | P | RW | US), ...wide((PAE_PT0 + 0x1000) | P | RW | US)]],
    [PAE_PT0, low.flatMap((page) => wide(entry(page)))],
  ];
}

/** Which kind of access a page lets through, from the manual's list. `rights`: of all levels together. */
export function isAllowed({ kind, isUser, rights, wp, smep, smap, ac }) {
  const { user, write, nx } = rights;
  if (kind === 'fetch') {
    if (nx) return false;
    return isUser ? user : !(user && smep);
  }
  if (isUser) return user && (kind === 'read' || write);
  if (user && smap && !ac) return false;
  return kind === 'read' || write || !wp;
}

/** Error code of a page fault: P, W/R, U/S, RSVD, I/D. I/D is only told where NX or SMEP is on. */
export function errorOf({ kind, isUser, isPresent, isReserved, hasNx, smep }) {
  return (
    (isPresent ? 1 : 0) |
    (kind === 'write' ? 2 : 0) |
    (isUser ? 4 : 0) |
    (isReserved ? 8 : 0) |
    (kind === 'fetch' && (hasNx || smep) ? 16 : 0)
  );
}

const KINDS = {
  read: [0x8a, 0x07], // mov al, [edi]
  write: [0x88, 0x07], // mov [edi], al
  fetch: [0xff, 0xe7], // jmp edi
};
/** What is on the page: a way back for fetches. */
const CONTENT = writeBytes(PAGE, [0xcd, DONE]);

const bits = (entryBits) => ({
  user: (entryBits & US) !== 0,
  write: (entryBits & RW) !== 0,
  isPresent: (entryBits & P) !== 0,
});

/**
 * One access. `directory`, `table`: low bits of the entries (`table` undefined: a large page); `nx`: level that has it;
 * `reserved`: a reserved bit is set in the last entry.
 */
function access({ kind, cpl, format, directory, table, wp, smep, smap, ac, nxe, nxLevel, reserved }) {
  const isPae = format === 'PAE';
  const isUser = cpl === 3;
  const d = bits(directory);
  const t = table === undefined ? { user: true, write: true, isPresent: true } : bits(table);
  const isPresent = d.isPresent && t.isPresent;
  const nx = nxe && nxLevel > 0;
  const rights = { user: d.user && t.user, write: d.write && t.write, nx };
  // NX without EFER.NXE is a reserved bit; a reserved bit counts where its entry is present.
  const isReserved =
    (reserved && isPresent) ||
    (!nxe && nxLevel > 0 && (nxLevel === 2 ? d.isPresent && table !== undefined && t.isPresent : d.isPresent));
  const facts = { kind, isUser, rights, wp, smep, smap, ac };
  const isFine = isPresent && !isReserved && isAllowed(facts);
  const isWholeWalk = isPresent || isReserved;
  const error = errorOf({ kind, isUser, isPresent: isWholeWalk, isReserved, hasNx: nxe, smep });
  const expect = isFine
    ? done()
    : fault('PF', error, { cr2: AT, ...(kind === 'fetch' ? { elsewhere: true, eip: AT } : {}) });

  const high = (level) => (nxLevel === level ? 0x80000000 : 0);
  const isLarge = table === undefined;
  const directoryValue = directory | (isLarge ? (PAGE & ~(isPae ? 0x1fffff : 0x3fffff)) | PS : isPae ? PAE_PT : PT);
  // Large pages start at a multiple of their size: the page under test is further in.
  const at = isLarge ? AT + (PAGE & (isPae ? 0x1fffff : 0x3fffff)) : AT;
  if (isLarge && !isFine) expect.cr2 = at;
  if (isLarge && !isFine && kind === 'fetch') expect.eip = at;
  const size = isPae ? 8 : 4;
  const dirAt = isPae ? PAE_PD + (AT >>> 21) * 8 : PD + (AT >>> 22) * 4;
  const tableAt = (isPae ? PAE_PT : PT) + ((AT >>> 12) & (isPae ? 511 : 1023)) * size;
  const reservedBit = isLarge ? (isPae ? 0x2000 : 0) : 0;
  const writes = [[dirAt, (directoryValue | (reserved && isLarge ? reservedBit : 0)) >>> 0]];
  if (isPae) writes.push([dirAt + 4, high(1)]);
  const tableValue = isLarge ? 0 : PAGE | table;
  if (!isLarge) {
    writes.push([tableAt, tableValue]);
    if (isPae) writes.push([tableAt + 4, (high(2) | (reserved ? 0x00080000 : 0)) >>> 0]);
  }
  if (isFine) {
    // Used entries are marked, the last one of a write as dirty.
    const used = A | (kind === 'write' ? D : 0);
    const last = isLarge ? directoryValue : tableValue;
    expect.probe0 = (last | used) >>> 0;
    if (!isLarge) {
      expect.probe1 = (directoryValue | A) >>> 0;
    }
  } else if (expect.fault && kind !== 'fetch') {
    // A write that faults makes nothing dirty.
    expect.probe0 = 0;
    expect.mask = { probe0: D };
  }
  const flag = (value, text) => (value ? ` ${text}` : '');
  const levels = isLarge ? `large ${directory.toString(16)}` : `${directory.toString(16)}/${table.toString(16)}`;
  return makeCase({
    family: `${format} pages`,
    section: SECTION,
    name: `${kind} at CPL ${cpl}, entries ${levels}${flag(wp, 'WP')}${flag(smep, 'SMEP')}${flag(smap, 'SMAP')}${flag(ac, 'AC')}${flag(nxe, 'NXE')}${flag(nxLevel, `NX at level ${nxLevel}`)}${flag(reserved, 'reserved bit')}`,
    cpl,
    code: KINDS[kind],
    flags: ac ? AC : 0,
    registers: { edi: at, eax: 0xcd },
    cr0: (CR0.PE | CR0.PG | (wp ? CR0.WP : 0)) >>> 0,
    cr3: isPae ? PDPT : PD,
    cr4: (isPae ? CR4.PAE : CR4.PSE) | (smep ? CR4.SMEP : 0) | (smap ? CR4.SMAP : 0),
    efer: nxe ? NXE : 0,
    writes: [...writes, ...CONTENT],
    probes: [isLarge ? dirAt : tableAt, dirAt],
    expect,
  });
}

const RIGHTS = [0, RW, US, RW | US];

export function* paging() {
  for (const cpl of [0, 1, 3])
    for (const kind of Object.keys(KINDS))
      for (const [n, directory] of RIGHTS.entries()) {
        for (const table of RIGHTS)
          for (const wp of [false, true])
            for (const [smep, smap, ac] of [
              [false, false, false],
              [true, false, false],
              [false, true, false],
              [false, true, true],
              [true, true, false],
            ]) {
              const x = { kind, cpl, directory: directory | P, table: table | P, wp, smep, smap, ac, nxLevel: 0 };
              yield access({ ...x, format: '32-bit' });
              yield access({ ...x, format: 'PAE', nxe: (n & 1) === 0 });
            }
        for (const wp of [false, true])
          for (const smap of [false, true])
            for (const nxe of [false, true]) {
              const x = { kind, cpl, directory: directory | P, wp, smep: false, smap, ac: false, nxLevel: 0 };
              yield access({ ...x, format: '32-bit' });
              yield access({ ...x, format: 'PAE', nxe });
              for (const nxLevel of [1, 2]) {
                yield access({ ...x, format: 'PAE', table: RW | US | P, nxe, nxLevel });
                if (nxLevel === 1) yield access({ ...x, format: 'PAE', nxe, nxLevel });
              }
            }
        // Not present at either level, and reserved bits.
        for (const nxe of [false, true]) {
          const x = { kind, cpl, wp: false, smep: false, smap: false, ac: false, nxLevel: 0, nxe };
          for (const format of ['32-bit', 'PAE']) {
            if (format === '32-bit' && nxe) continue;
            yield access({ ...x, format, directory, table: RW | US | P });
            yield access({ ...x, format, directory: directory | P, table: RW | US });
            yield access({ ...x, format, directory, table: 0 });
          }
          yield access({ ...x, format: 'PAE', directory: directory | P, table: RW | US | P, reserved: true });
          yield access({ ...x, format: 'PAE', directory: directory | P, table: RW | US, reserved: true });
          yield access({ ...x, format: 'PAE', directory: directory | P, reserved: true });
        }
      }
  yield* implicit();
}

/** What the processor reads for itself is a supervisor's access whatever the CPL: here, descriptor tables for user code. */
function* implicit() {
  for (const isUserPage of [false, true])
    for (const smap of [false, true])
      for (const cpl of [0, 3]) {
        const gdtEntry = PT0 + (GDT >>> 12) * 4;
        const isFaulty = isUserPage && smap;
        // Under SMAP even AC does not help an implicit access; there the monitor itself could not be reached.
        if (isFaulty) continue;
        yield makeCase({
          family: 'implicit supervisor accesses',
          section: SECTION,
          name: `MOV DS at CPL ${cpl}, descriptor table on a page of ${isUserPage ? 'everyone' : 'the supervisor'}${smap ? ' SMAP' : ''}`,
          cpl,
          code: [0x8e, 0xd8],
          registers: { eax: cpl === 0 ? 0x10 : 0x43 },
          cr0: (CR0.PE | CR0.PG | CR0.WP) >>> 0,
          cr3: PD,
          cr4: CR4.PSE | (smap ? CR4.SMAP : 0),
          writes: writeDwords(gdtEntry, [GDT | P | RW | (isUserPage ? US : 0)]),
          expect: done(),
        });
      }
}
