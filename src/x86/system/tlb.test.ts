import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import * as S from '../state.js';
import { TestMachine } from './test-machine.js';

const m = new TestMachine();

// Two pages of one slot of the TLB, and what they are mapped to.
const A = 0x600000n;
const B = A + BigInt(S.TLB_ENTRIES * 4096);
const FIRST = 0x300000n;
const SECOND = 0x301000n;
const THIRD = 0x302000n;
const PRESENT = 7n;
const [A_ENTRY, B_ENTRY] = [0x8000, 0x9000];

beforeEach(() => {
  m.long(0);
  m.setRam64(0x3000 + 8 * Number(A >> 21n), BigInt(A_ENTRY) | PRESENT);
  m.setRam64(0x3000 + 8 * Number(B >> 21n), BigInt(B_ENTRY) | PRESENT);
  m.setRam64(A_ENTRY, FIRST | PRESENT);
  m.setRam64(B_ENTRY, SECOND | PRESENT);
  for (const [n, page] of [FIRST, SECOND, THIRD].entries()) m.setRam64(Number(page), BigInt(n + 1));
  m.call('writeCr', 3, 0x1000n);
});

function read(address: bigint): bigint {
  m.put32(S.STATUS, 0);
  return m.wide('loadSlow')(address, 8);
}
function write(address: bigint, value: bigint): void {
  m.put32(S.STATUS, 0);
  m.wide('storeSlow')(address, value, 8);
}
function walks(work: () => void): bigint {
  const before = m.get64(S.COUNT_PAGE_WALK);
  work();
  return m.get64(S.COUNT_PAGE_WALK) - before;
}
function readBoth(): void {
  assert.deepEqual([read(A), read(B)], [1n, 2n]);
}

test('two pages of one slot are walked for once, by turns', () => {
  assert.equal(walks(readBoth), 2n);
  assert.equal(
    walks(() => {
      for (let n = 0; n < 10; n++) readBoth();
    }),
    0n,
  );
  const writeBoth = (): void => {
    write(A, 1n);
    write(B, 2n);
  };
  assert.equal(walks(writeBoth), 2n);
  assert.equal(walks(writeBoth), 0n);
});

test('more pages of one slot than are kept: all are right', () => {
  const pages = Array.from({ length: 2 * S.VICTIMS_OF_VIEW }, (_, n) => A + BigInt(n * S.TLB_ENTRIES * 4096));
  for (const [n, page] of pages.entries()) {
    const table = 0x30000 + n * 4096;
    m.setRam64(0x3000 + 8 * Number(page >> 21n), BigInt(table) | PRESENT);
    m.setRam64(table, (FIRST + BigInt(n * 4096)) | PRESENT);
    m.setRam64(Number(FIRST) + n * 4096, BigInt(n));
  }
  for (let round = 0; round < 3; round++) for (const [n, page] of pages.entries()) assert.equal(read(page), BigInt(n));
});

for (const [name, flush] of [
  ['INVLPG', () => m.call('invlpg', A)],
  ['MOV to CR3', () => m.call('writeCr', 3, 0x1000n)],
  ['MOV to CR4 that changes PGE', () => m.call('writeCr', 4, m.get64(S.CR4) ^ 0x80n)],
] as const) {
  test(`${name} forgets what was pushed out`, () => {
    readBoth();
    m.setRam64(A_ENTRY, THIRD | PRESENT);
    flush();
    assert.equal(read(A), 3n);
    assert.equal(read(B), 2n);
    assert.equal(read(A), 3n);
  });
}

test('a page pushed out of the write view gets code', () => {
  write(A, 1n);
  write(B, 2n);
  m.routine('dropWrites')(S.RAM + Number(FIRST));
  assert.equal(
    walks(() => write(A, 1n)),
    1n,
  );
});

test('a page brought back goes with the next flush, although its slot held a global one meanwhile', () => {
  m.setRam64(B_ENTRY, SECOND | PRESENT | 0x100n);
  readBoth();
  assert.equal(read(A), 1n);
  m.setRam64(A_ENTRY, THIRD | PRESENT);
  m.call('writeCr', 3, 0x1000n);
  assert.equal(read(A), 3n);
  assert.equal(read(B), 2n);
});
