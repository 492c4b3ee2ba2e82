import assert from 'node:assert/strict';
import test from 'node:test';
import type { BootOptions } from './boot.js';
import { loadGuest } from './load-guest.js';
import {
  bootOptions,
  concatenate,
  elf,
  headerTag,
  MIB,
  multiboot1Header,
  multiboot2Header,
  stringAt,
  withSections,
  words,
} from './test-images.js';

const SIZE = 16 * MIB;
const RSDP = 0xe0000;

function load(kernel: Uint8Array, more: Partial<BootOptions> = {}) {
  const ram = new Uint8Array(SIZE);
  ram.set(new TextEncoder().encode('RSD PTR '), RSDP);
  ram[RSDP + 15] = 2;
  const { protocol, cpu } = loadGuest(ram, bootOptions(kernel, SIZE, more));
  return { ram, protocol, cpu, view: new DataView(ram.buffer), info: Number(cpu.gpr[3]) };
}

function padded(header: Uint8Array, size = 0x200): Uint8Array {
  return concatenate([header, new Uint8Array(size - header.length).fill(0x90)]);
}

test('a Multiboot 1 ELF image gets memory, map, modules and command line', () => {
  const modules = [{ data: Uint8Array.of(1, 2, 3), args: 'a b', name: 'mod.bin' }];
  const kernel = elf({ bits: 32, data: padded(multiboot1Header(3)), entry: 0x200040 });
  const { ram, protocol, cpu, view, info } = load(kernel, { modules, append: 'x=1' });
  assert.equal(protocol, 'multiboot1');
  assert.equal(cpu.rip, 0x200040n);
  assert.equal(cpu.gpr[0], 0x2badb002n);
  assert.equal(cpu.cr0, 0x11n);
  assert.equal(view.getUint32(info, true) & 0x24d, 0x24d);
  assert.equal(view.getUint32(info + 4, true), 639);
  assert.equal(view.getUint32(info + 8, true), 15 * 1024);
  assert.equal(stringAt(ram, view.getUint32(info + 16, true)), 'test.img x=1');
  assert.equal(view.getUint32(info + 20, true), 1);
  const module = view.getUint32(info + 24, true);
  const start = view.getUint32(module, true);
  assert.equal(start % 4096, 0);
  assert.equal(view.getUint32(module + 4, true) - start, 3);
  assert.deepEqual([...ram.subarray(start, start + 3)], [1, 2, 3]);
  assert.equal(stringAt(ram, view.getUint32(module + 8, true)), 'mod.bin a b');
  const map = view.getUint32(info + 48, true);
  assert.equal(view.getUint32(info + 44, true), 4 * 24);
  assert.equal(view.getUint32(map, true), 20);
  assert.equal(view.getUint32(map + 3 * 24 + 4, true), 0x100000);
});

test('section headers come along, and what was not loaded gets a place', () => {
  for (const header of [multiboot1Header(0), multiboot2Header(headerTag(1, 0, 9))]) {
    const image = withSections(elf({ bits: 32, data: padded(header) }), 0x200000, 'symbols');
    const { ram, view, info, protocol } = load(image);
    const tag = protocol === 'multiboot2' ? tagsOf(tags(view, info), 9)[0] : new DataView(view.buffer, info + 20);
    assert.deepEqual([tag.getUint32(8, true), tag.getUint32(12, true)], [3, 40]);
    const table = protocol === 'multiboot2' ? tag.byteOffset + 20 : tag.getUint32(16, true);
    assert.equal(view.getUint32(table + 40 + 12, true), 0x200000);
    assert.equal(stringAt(ram, view.getUint32(table + 80 + 12, true)), 'symbols');
  }
  // Sections that claim more than the file holds are left out, not an error.
  const hostile = withSections(elf({ bits: 32, data: padded(multiboot1Header(0)) }), 0x200000, 'x');
  new DataView(hostile.buffer).setUint32(hostile.length - 20, 0x7fffffff, true);
  const { view, info } = load(hostile);
  assert.equal(view.getUint32(info, true) & 0x20, 0);
});

test('a virtual entry address of an ELF image becomes physical', () => {
  const kernel = elf({ bits: 32, data: padded(multiboot1Header(0)), vaddr: 0xc0200000, entry: 0xc0200010 });
  assert.equal(load(kernel).cpu.rip, 0x200010n);
});

test('a Multiboot 1 image without ELF loads by its address fields', () => {
  const addresses = [0x300020, 0x300000, 0x300100, 0x300400, 0x300050];
  const kernel = concatenate([new Uint8Array(0x20).fill(0xaa), padded(multiboot1Header(0x10000, ...addresses))]);
  const { ram, cpu } = load(kernel);
  assert.equal(cpu.rip, 0x300050n);
  assert.equal(ram[0x300000], 0xaa);
  assert.equal(ram[0x3000ff], 0x90);
  assert.equal(ram[0x300100], 0);
  // load_end_addr and bss_end_addr may be 0: all of the file, nothing behind it.
  addresses[2] = 0;
  addresses[3] = 0;
  const whole = concatenate([new Uint8Array(0x20).fill(0xaa), padded(multiboot1Header(0x10000, ...addresses))]);
  assert.equal(load(whole).ram[0x300000 + whole.length - 1], 0x90);
});

test('Multiboot 1 demands that cannot be met are refused', () => {
  const cases: [RegExp, Uint8Array][] = [
    [/video mode/, multiboot1Header(4)],
    [/no loader knows \(flags 0x100\)/, multiboot1Header(0x100)],
    [/no ELF file/, multiboot1Header(0)],
    [/below the load address/, multiboot1Header(0x10000, 0x200000, 0x300000, 0, 0, 0)],
    [/out of order/, multiboot1Header(0x10000, 0x300000, 0x300000, 0x200000, 0, 0)],
    [/not free RAM/, multiboot1Header(0x10000, 0xa0000, 0xa0000, 0, 0, 0)],
    [/--memory 32M/, multiboot1Header(0x10000, 0x300000, 0x300000, 0x300100, 0x1400000, 0)],
  ];
  for (const [expected, header] of cases) assert.throws(() => load(padded(header)), expected);
  const wrongChecksum = multiboot1Header(0);
  wrongChecksum[8] ^= 1;
  // No bytes, and none of them in RAM.
  const nothing = multiboot1Header(0x10000, 0xc2c2c2c2, 0xc2c2c2c2, 0xc2c2c2c2, 0xc2c2c2c2, 0xc2c2c2c2);
  assert.throws(() => load(padded(nothing)), /not free RAM/);
  assert.throws(() => load(padded(wrongChecksum)), /not a kernel/);
});

/** The tags of the information by type. */
function tags(view: DataView, info: number): Map<number, DataView[]> {
  const found = new Map<number, DataView[]>();
  const end = info + view.getUint32(info, true);
  for (let at = info + 8; at < end; ) {
    assert.equal(at % 8, 0);
    const type = view.getUint32(at, true);
    const size = view.getUint32(at + 4, true);
    found.set(type, [...(found.get(type) ?? []), new DataView(view.buffer, at, size)]);
    at += Math.ceil(size / 8) * 8;
  }
  return found;
}

function tagsOf(found: Map<number, DataView[]>, type: number): DataView[] {
  return found.get(type) ?? assert.fail(`no tag ${type}`);
}

test('a Multiboot 2 ELF image gets its tags', () => {
  const modules = [
    { data: Uint8Array.of(1, 2, 3), args: 'a b', name: 'mod.bin' },
    { data: new Uint8Array(0), args: '' },
  ];
  const header = multiboot2Header(headerTag(1, 0, 1, 4, 6, 14, 15), headerTag(3, 0, 0x200080), headerTag(6, 0));
  const { ram, protocol, cpu, view, info } = load(elf({ bits: 64, data: padded(header) }), {
    modules,
    append: 'x=1',
    rsdp: RSDP,
  });
  assert.equal(protocol, 'multiboot2');
  assert.equal(cpu.rip, 0x200080n);
  assert.equal(cpu.gpr[0], 0x36d76289n);
  const found = tags(view, info);
  assert.equal(stringAt(ram, tagsOf(found, 1)[0].byteOffset + 8), 'x=1');
  assert.equal(tagsOf(found, 4)[0].getUint32(12, true), 15 * 1024);
  assert.equal(tagsOf(found, 3).length, 2);
  const module = tagsOf(found, 3)[0];
  assert.equal(module.getUint32(12, true) - module.getUint32(8, true), 3);
  assert.equal(stringAt(ram, module.byteOffset + 16), 'a b');
  assert.equal(tagsOf(found, 6)[0].getUint32(8, true), 24);
  assert.equal(tagsOf(found, 6)[0].getUint32(16 + 3 * 24, true), 0x100000);
  assert.equal(tagsOf(found, 14)[0].byteLength, 28);
  assert.equal(tagsOf(found, 15)[0].byteLength, 44);
  assert.equal(tagsOf(found, 0)[0].byteLength, 8);
});

test('Multiboot 2 relocation moves the image and its entry', () => {
  const data = (relocatable: Uint8Array): Uint8Array =>
    padded(multiboot2Header(relocatable, headerTag(3, 0, 0x200080)));
  const high = load(elf({ bits: 32, data: data(headerTag(10, 0, 0x400000, 0x7fffff, 0x100000, 2)) }));
  assert.equal(high.cpu.rip, 0x700080n);
  assert.equal(tagsOf(tags(high.view, high.info), 21)[0].getUint32(8, true), 0x700000);
  const low = load(elf({ bits: 32, data: data(headerTag(10, 0, 0x400000, 0x7fffff, 0x100000, 1)) }));
  assert.equal(low.cpu.rip, 0x400080n);
  const linked = load(elf({ bits: 32, data: data(headerTag(10, 0, 0x100000, 0x7fffff, 0x1000, 0)) }));
  assert.equal(linked.cpu.rip, 0x200080n);
  assert.throws(
    () => load(elf({ bits: 32, data: data(headerTag(10, 0, 0x400000, 0x400010, 0x1000, 0)) })),
    /leaves no room/,
  );
});

test('Multiboot 2 loads by an address tag', () => {
  const header = multiboot2Header(headerTag(2, 0, 0x300000, 0x300000, 0, 0), headerTag(3, 0, 0x300040));
  const { ram, cpu } = load(padded(header));
  assert.equal(cpu.rip, 0x300040n);
  assert.equal(ram[0x3001ff], 0x90);
  assert.throws(
    () => load(padded(multiboot2Header(headerTag(2, 0, 0x300000, 0x300000, 0, 0)))),
    /no entry address tag/,
  );
});

test('Multiboot 2 demands that cannot be met are refused unless they are optional', () => {
  const cases: [RegExp, Uint8Array, Uint8Array][] = [
    [/information this machine does not have \(tag 0xc/, headerTag(1, 0, 12), headerTag(1, 1, 12)],
    [/a framebuffer/, headerTag(5, 0, 0, 0, 0), headerTag(5, 1, 0, 0, 0)],
    [/a console it knows/, headerTag(4, 0, 1), headerTag(4, 1, 1)],
    [/does not know \(tag 77\)/, headerTag(77, 0), headerTag(77, 1)],
    [/not there \(tag 14\)/, headerTag(1, 0, 14), headerTag(1, 1, 14)],
  ];
  for (const [expected, demanded, optional] of cases) {
    assert.throws(() => load(elf({ bits: 32, data: padded(multiboot2Header(demanded)) })), expected);
    load(elf({ bits: 32, data: padded(multiboot2Header(optional)) }));
  }
  // Boot services of EFI matter on EFI only.
  load(elf({ bits: 64, data: padded(multiboot2Header(headerTag(7, 0), headerTag(9, 0, 0x1234))) }));
});

test('damaged Multiboot 2 headers are refused', () => {
  const noEnd = words(0xe85250d6, 0, 16, -(0xe85250d6 + 16));
  assert.throws(() => load(elf({ bits: 32, data: padded(noEnd) })), /end tag is missing/);
  const arm = words(0xe85250d6, 4, 24, -(0xe85250d6 + 28), 0, 8);
  assert.throws(() => load(elf({ bits: 32, data: padded(arm) })), /another architecture \(4\)/);
  assert.throws(() => load(elf({ bits: 32, data: padded(multiboot2Header(words(2, 4), words(0, 0))) })), /cut off/);
});
