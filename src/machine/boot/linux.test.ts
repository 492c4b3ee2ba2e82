import assert from 'node:assert/strict';
import test from 'node:test';
import { BadImageError, OutOfMemoryError } from '../../base/errors.js';
import type { BootOptions } from './boot.js';
import { loadGuest } from './load-guest.js';
import { bootOptions, bzImage, MIB, stringAt } from './test-images.js';

const SIZE = 64 * MIB;

function load(kernel: Uint8Array, more: Partial<BootOptions> = {}, size = SIZE) {
  const ram = new Uint8Array(size).fill(0xcc, 0, 0x9fc00);
  const { protocol, cpu } = loadGuest(ram, bootOptions(kernel, size, more));
  return { ram, protocol, cpu, view: new DataView(ram.buffer), bootParams: Number(cpu.gpr[6]) };
}

function message(action: () => unknown, type: typeof BadImageError | typeof OutOfMemoryError): string {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof type, `${error}`);
    assert.equal(error.exitCode, 2);
    return error.message;
  }
  return assert.fail('nothing was thrown');
}

test('a 64-bit bzImage starts in 64-bit mode behind identity page tables', () => {
  const { ram, protocol, cpu, view } = load(bzImage());
  assert.equal(protocol, 'linux-64');
  assert.equal(cpu.rip, 0x1000200n);
  assert.equal(cpu.cr0, 0x80000011n);
  assert.equal(cpu.cr4, 0x20n);
  assert.equal(cpu.efer, 0x500n);
  assert.equal(cpu.rflags & 0x200n, 0n);
  assert.deepEqual(cpu.segments[1], { base: 0n, limit: 0xffffffff, attributes: 0xa09b, selector: 0x10 });
  assert.equal(cpu.segments[3].selector, 0x18);
  assert.equal(ram[0x1000200], 0x20);

  // Walk the tables for an address in each GiB.
  for (const address of [0, 0x1000200, 0x7fe00000, 0xfee00000]) {
    const entry = (table: number, shift: number): number =>
      view.getUint32(table + (Math.floor(address / 2 ** shift) % 512) * 8, true);
    const pdpt = entry(Number(cpu.cr3), 39);
    const directory = entry(pdpt & ~0xfff, 30);
    assert.equal(directory & 3, 3);
    assert.equal(entry(directory & ~0xfff, 21), Math.floor(address / 0x200000) * 0x200000 + 0x83);
  }
  // The descriptors the selectors name are in memory.
  const gdt = Number(cpu.gdtr.base);
  assert.equal(view.getBigUint64(gdt + 0x10, true), 0x00af9b000000ffffn);
  assert.equal(view.getBigUint64(gdt + 0x18, true), 0x00cf93000000ffffn);
});

test('a 32-bit bzImage starts in flat protected mode at its load address', () => {
  const { protocol, cpu } = load(bzImage({ is64: false }));
  assert.equal(protocol, 'linux-32');
  assert.equal(cpu.rip, 0x1000000n);
  assert.equal(cpu.cr0, 0x11n);
  assert.equal(cpu.segments[1].attributes, 0xc09b);
  assert.equal(cpu.gpr[3], 0n);
  assert.equal(cpu.gpr[5], 0n);
  assert.equal(cpu.gpr[7], 0n);
});

test('boot_params carry the setup header, the memory map, the command line, the initrd and the RSDP', () => {
  const initrd = Uint8Array.from([1, 2, 3, 4, 5]);
  const modules = [
    { data: initrd, args: '' },
    { data: initrd, args: '' },
  ];
  const { ram, view, bootParams } = load(bzImage(), { append: 'console=ttyS0', modules, rsdp: 0xe1230 });
  assert.equal(view.getUint32(bootParams + 0x202, true), 0x53726448);
  assert.equal(view.getUint8(bootParams + 0x210), 0xff);
  assert.equal(view.getUint32(bootParams + 0x70, true), 0xe1230);
  assert.equal(stringAt(ram, view.getUint32(bootParams + 0x228, true)), 'console=ttyS0');
  assert.equal(view.getUint8(bootParams + 0x1e8), 4);
  assert.equal(view.getUint32(bootParams + 0x2d0 + 60, true), 0x100000);
  assert.equal(view.getUint32(bootParams + 0x2d0 + 68, true), SIZE - 0x100000);
  assert.equal(view.getUint32(bootParams + 0x2d0 + 76, true), 1);
  // The sentinel must be zero, or the kernel throws most of boot_params away.
  assert.equal(view.getUint8(bootParams + 0x1ef), 0);

  const address = view.getUint32(bootParams + 0x218, true);
  const size = view.getUint32(bootParams + 0x21c, true);
  assert.equal(address % 4096, 0);
  assert.deepEqual([...ram.subarray(address, address + size)], [1, 2, 3, 4, 5, 0, 0, 0, 1, 2, 3, 4, 5]);
  assert.equal(address, SIZE - 4096);
});

test('a relocatable kernel moves when its preferred address is not free', () => {
  const { cpu } = load(bzImage({ preferredAddress: 0x1000000, initSize: 0x400000 }), {}, 16 * MIB);
  assert.equal(cpu.rip, 0x200200n);
});

test('a kernel or an initrd that does not fit says how much memory would do, and that is enough', () => {
  const big = bzImage({ initSize: 40 * MIB, relocatable: false });
  const small = 32 * MIB;
  assert.match(
    message(() => load(big, {}, small), OutOfMemoryError),
    /test\.img .*use --memory 64M or more/,
  );

  const modules = [{ data: new Uint8Array(50 * MIB), args: '', name: 'root.cpio' }];
  const text = message(() => load(bzImage(), { modules }, small), OutOfMemoryError);
  const advised = Number(/root\.cpio \(50 MiB\) .*--memory (\d+)M/.exec(text)?.[1]);
  assert.ok(advised > 50 && advised <= 96, text);
  load(bzImage(), { modules }, advised * MIB);
});

test('an initrd respects initrd_addr_max', () => {
  const modules = [{ data: new Uint8Array(MIB), args: '' }];
  const { view, bootParams } = load(bzImage({ initrdAddressMax: 0x1ffffff }), { modules });
  assert.equal(view.getUint32(bootParams + 0x218, true), 0x1f00000);
  assert.match(
    message(
      () => load(bzImage({ initrdAddressMax: 0x1000fff }), { modules: [{ data: new Uint8Array(16 * MIB), args: '' }] }),
      BadImageError,
    ),
    /only below 0x1001000/,
  );
});

test('damaged and foreign headers are refused with their reason', () => {
  const cases: [RegExp, Uint8Array, Partial<BootOptions>?][] = [
    [/too old/, bzImage({ version: 0x0201 })],
    [/truncated: it has 5600 bytes and its header promises 5632/, bzImage().subarray(0, 5600)],
    [/alignment 0x3 is not a power of two/, bzImage({ alignment: 3 })],
    [/which no guest has/, bzImage({ initSize: 0xfffff000 })],
    [/takes 2047; shorten --append/, bzImage(), { append: 'x'.repeat(2048) }],
    [/takes no arguments/, bzImage(), { modules: [{ data: new Uint8Array(1), args: 'quiet' }] }],
    [/zero byte/, bzImage(), { append: 'a\0b' }],
    [/the file is empty/, new Uint8Array(0)],
    [
      /not a kernel that can be started here; give a Linux bzImage/,
      new TextEncoder().encode('#!/bin/sh\necho hello\n'),
    ],
  ];
  for (const [expected, kernel, more] of cases) {
    assert.match(
      message(() => load(kernel, more), BadImageError),
      expected,
    );
  }
});

test('old protocols without the later fields load at 1 MiB', () => {
  const { cpu, protocol } = load(bzImage({ version: 0x0203 }));
  assert.equal(protocol, 'linux-32');
  assert.equal(cpu.rip, 0x100000n);
});
