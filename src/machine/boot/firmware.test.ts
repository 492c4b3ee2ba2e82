import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BadImageError, OutOfMemoryError } from '../../base/errors.js';
import { checkFirmware, resetState } from './firmware.js';
import { type FirmwareGuest, LINUX_ROM_NAME, linuxItems } from './firmware-linux.js';
import { assemble, label, line, near8, near16, offset16 } from './machine-code.js';
import { linuxOptionRom } from './option-rom.js';
import { type BzImageFields, bzImage, MIB } from './test-images.js';

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

function offer(more: Partial<FirmwareGuest> = {}, fields: BzImageFields = {}) {
  const guest = { kernel: bzImage(fields), kernelName: 'k', modules: [], append: '', ramSizeBytes: 64 * MIB, ...more };
  const { items, files } = linuxItems(guest);
  const item = (key: number): Uint8Array => items.get(key) ?? assert.fail(`no item ${key}`);
  const dword = (key: number): number => new DataView(item(key).buffer).getUint32(0, true);
  return { item, dword, files };
}

test('the processor starts 16 bytes below 4 GiB in real mode', () => {
  const { segments, rip, cr0, gpr } = resetState();
  const code = segments[1] ?? assert.fail();
  assert.equal(code.selector, 0xf000);
  assert.equal(code.base + rip, 0xfffffff0n);
  assert.equal(cr0, 0x60000010n);
  assert.equal((gpr[2] ?? 0n) >> 8n, 6n);
});

test('sizes of a ROM', () => {
  for (const size of [64 << 10, 128 << 10, 256 << 10, 16 << 20]) checkFirmware(new Uint8Array(size));
  for (const size of [0, 1, 65535, 65537, 100_000, (16 << 20) + 65536]) {
    assert.throws(() => checkFirmware(new Uint8Array(size), 'rom.bin'), BadImageError);
  }
});

test('the parts of a kernel and its header', () => {
  const modules = [
    { data: Uint8Array.of(1, 2, 3), args: '' },
    { data: Uint8Array.of(4, 5), args: '' },
  ];
  const { item, dword, files } = offer({ append: 'quiet', modules });
  const setup = item(0x18);
  const view = new DataView(setup.buffer, setup.byteOffset);
  assert.deepEqual([dword(0x16), dword(0x17)], [0x10000, setup.length]);
  assert.equal(setup.length, 3 * 512);
  assert.deepEqual([dword(0x07), dword(0x08), item(0x11).length], [MIB, 0x1000, 0x1000]);
  assert.deepEqual([dword(0x14), new TextDecoder().decode(item(0x15))], [6, 'quiet\0']);
  assert.equal(view.getUint32(0x228, true), dword(0x13));
  // Several files are one initrd, each at a multiple of four.
  assert.deepEqual([dword(0x0b), ...item(0x12)], [6, 1, 2, 3, 0, 4, 5]);
  assert.equal(setup[0x210], 0xff);
  assert.equal((setup[0x211] ?? 0) & 0x81, 0x81);
  // Heap and stack end below the command line, and behind the setup code.
  const heapEnd = view.getUint16(0x224, true) + 0x200;
  assert.ok(heapEnd > setup.length && 0x10000 + heapEnd <= dword(0x13));
  assert.equal(view.getUint32(0x22c, true), 0x7fffffff);
  assert.deepEqual([...files.keys()], [LINUX_ROM_NAME, 'bootorder']);
  assert.equal(new TextDecoder().decode(files.get('bootorder')), `/rom@${LINUX_ROM_NAME}\0`);
});

test('kernels that cannot be started say why', () => {
  assert.throws(() => offer({ kernel: Uint8Array.of(0x7f, 0x45, 0x4c, 0x46) }), /Linux bzImages only/);
  assert.throws(() => offer({ append: 'x'.repeat(2048) }), /shorten --append/);
  assert.throws(() => offer({ append: 'a\0b' }), /zero byte/);
  assert.throws(() => offer({ modules: [{ data: Uint8Array.of(1), args: 'x' }] }), /takes no arguments/);
  assert.throws(() => offer({ ramSizeBytes: 16 * MIB }), OutOfMemoryError);
  const damaged = bzImage();
  damaged[0x1f1] = 200;
  assert.throws(() => offer({ kernel: damaged }), BadImageError);
});

test('whatever a header says, only TrapezeErrors come out', () => {
  let seed = 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed >>> 8;
  };
  let started = 0;
  for (let round = 0; round < 3000; round++) {
    const kernel = bzImage();
    for (let n = random() % 6; n >= 0; n--) kernel[0x1f1 + (random() % 0x80)] = random();
    try {
      offer({ kernel });
      started++;
    } catch (error) {
      assert.ok(error instanceof BadImageError || error instanceof OutOfMemoryError, `${error}`);
    }
  }
  assert.ok(started > 100, `${started}`);
});

test('the option ROM has a header, an expansion header and sums that firmware accepts', () => {
  const rom = linuxOptionRom();
  const view = new DataView(rom.buffer);
  assert.equal(view.getUint16(0, true), 0xaa55);
  assert.equal(rom.length, (rom[2] ?? 0) * 512);
  assert.equal(sum(rom), 0);
  const header = view.getUint16(0x1a, true);
  assert.equal(String.fromCharCode(...rom.subarray(header, header + 4)), '$PnP');
  assert.equal(sum(rom.subarray(header, header + 16 * (rom[header + 5] ?? 0))), 0);
  const text = (at: number): string => String.fromCharCode(...rom.subarray(at, rom.indexOf(0, at)));
  assert.equal(text(view.getUint16(header + 0x0e, true)), 'Trapeze');
  assert.equal(text(view.getUint16(header + 0x10, true)), 'Linux kernel');
  // push cs, pop ds: the bootstrap entry vector leads to the code.
  assert.equal(view.getUint16(view.getUint16(header + 0x1a, true), true), 0x1f0e);
});

test('machine code: references forwards and backwards, and those out of reach', () => {
  const code = [
    label('a'),
    line('', 0xe8, near16('b')),
    line('', 0xeb, near8('a')),
    label('b'),
    line('', offset16('b')),
  ];
  const { bytes, labels } = assemble(code, 0x100);
  assert.deepEqual([...bytes], [0xe8, 2, 0, 0xeb, 0xfb, 0x05, 0x01]);
  assert.equal(labels.get('b'), 0x105);
  assert.throws(() => assemble([line('', near8('nowhere'))], 0), /no label/);
  const far = [line('', near8('end')), line('', ...new Array<number>(200).fill(0x90)), label('end')];
  assert.throws(() => assemble(far, 0), /far/);
});
