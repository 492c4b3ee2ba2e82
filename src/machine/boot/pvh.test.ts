import assert from 'node:assert/strict';
import test from 'node:test';
import { BadImageError, OutOfMemoryError } from '../../base/errors.js';
import type { BootOptions } from './boot.js';
import { loadGuest } from './load-guest.js';
import { bootOptions, concatenate, elf, MIB, memoryMapOf, pvhNote, stringAt, words } from './test-images.js';

const SIZE = 16 * MIB;

function load(kernel: Uint8Array, more: Partial<BootOptions> = {}) {
  const ram = new Uint8Array(SIZE).fill(0xcc);
  const { protocol, cpu } = loadGuest(ram, bootOptions(kernel, SIZE, more));
  return { ram, protocol, cpu, view: new DataView(ram.buffer), info: Number(cpu.gpr[3]) };
}

for (const bits of [32, 64] as const) {
  test(`an ELF${bits} image with a PVH note starts at the note's address in flat protected mode`, () => {
    const { ram, protocol, cpu } = load(elf({ bits, note: pvhNote(0x200010, bits === 64 ? 8 : 4), entry: 0x12345 }));
    assert.equal(protocol, 'pvh');
    assert.equal(cpu.rip, 0x200010n);
    assert.equal(cpu.cr0, 0x11n);
    assert.equal(cpu.cr4, 0n);
    assert.equal(cpu.segments[1].attributes, 0xc09b);
    assert.deepEqual(cpu.segments[7], { base: 0n, limit: 0x67, attributes: 0x8b, selector: 0x20 });
    assert.equal(ram[0x200011], 0x11);
    // Memory beyond the file's bytes is zero, memory beyond the segment untouched.
    assert.equal(ram[0x2008ff], 0);
    assert.equal(ram[0x200900], 0xcc);
  });
}

test('the start info lists command line, modules, memory map and RSDP', () => {
  const modules = [
    { data: Uint8Array.of(7, 8, 9), args: 'first args' },
    { data: new Uint8Array(5000).fill(6), args: '' },
  ];
  const { ram, view, info } = load(elf({ bits: 64, note: pvhNote(0x200000) }), {
    append: 'hello',
    modules,
    rsdp: 0xf0000,
  });
  assert.equal(view.getUint32(info, true), 0x336ec578);
  assert.equal(view.getUint32(info + 4, true), 1);
  assert.equal(view.getUint32(info + 12, true), 2);
  assert.equal(stringAt(ram, Number(view.getBigUint64(info + 24, true))), 'hello');
  assert.equal(view.getBigUint64(info + 32, true), 0xf0000n);

  const list = Number(view.getBigUint64(info + 16, true));
  const first = Number(view.getBigUint64(list, true));
  assert.deepEqual([...ram.subarray(first, first + 3)], [7, 8, 9]);
  assert.equal(view.getBigUint64(list + 8, true), 3n);
  assert.equal(stringAt(ram, Number(view.getBigUint64(list + 16, true))), 'first args');
  const second = Number(view.getBigUint64(list + 32, true));
  assert.equal(ram[second + 4999], 6);
  assert.equal(view.getBigUint64(list + 48, true), 0n);

  const map = Number(view.getBigUint64(info + 40, true));
  assert.equal(view.getUint32(info + 48, true), 4);
  memoryMapOf(SIZE).forEach((range, index) => {
    assert.equal(view.getBigUint64(map + index * 24, true), BigInt(range.base));
    assert.equal(view.getBigUint64(map + index * 24 + 8, true), BigInt(range.size));
    assert.equal(view.getUint32(map + index * 24 + 16, true), range.type);
  });
});

test('the note is found behind others and ignored under a foreign name', () => {
  const other = words(4, 6, 6, 0x006e6558, 0x756e696c, 0x78);
  assert.equal(load(elf({ bits: 64, note: concatenate([other, pvhNote(0x200020)]) })).cpu.rip, 0x200020n);
  const foreign = pvhNote(0x200020);
  foreign[12] = 0x59;
  assert.throws(() => load(elf({ bits: 64, note: foreign })), /not a kernel that can be started here/);
});

test('impossible addresses are refused', () => {
  const note = pvhNote(0x200000);
  const cases: [RegExp, Uint8Array][] = [
    [/entry point 0x300000 lies outside/, elf({ bits: 64, note: pvhNote(0x300000) })],
    [/memory that is not RAM/, elf({ bits: 64, paddr: 0xa0000, note: pvhNote(0xa0000) })],
    [/which no guest has/, elf({ bits: 64, memorySize: 2 ** 50, note })],
    [/more bytes in the file than in memory/, elf({ bits: 64, memorySize: 0x10, note })],
    [/truncated or damaged/, elf({ bits: 64, note }).subarray(0, 0x1400)],
  ];
  for (const [expected, kernel] of cases)
    assert.throws(
      () => load(kernel),
      (error) => error instanceof BadImageError && expected.test(error.message),
    );
  assert.throws(() => load(elf({ bits: 32, memorySize: 20 * MIB, note })), OutOfMemoryError);
  assert.throws(
    () => load(elf({ bits: 32, note }), { modules: [{ data: new Uint8Array(15 * MIB), args: '', name: 'm' }] }),
    /^OutOfMemoryError: m \(15 MiB\) .*--memory 32M/,
  );
});

test('an ELF file for another processor is named as such', () => {
  const arm = elf({ bits: 64, note: pvhNote(0x200000) });
  arm[18] = 183;
  assert.throws(() => load(arm), /another processor \(machine 183\)/);
});
