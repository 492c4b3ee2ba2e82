// Parsers of guest images: what loads a kernel, and what unpacks one.
import { gzipSync } from 'node:zlib';
import { busyboxApplets } from '../../dist/image/busybox-initramfs.js';
import { decompressLz4Legacy } from '../../dist/image/lz4.js';
import { parsePackage } from '../../dist/image/node/apt.js';
import { TarPicker } from '../../dist/image/tar.js';
import { extractVmlinux } from '../../dist/image/vmlinux.js';
import { linuxItems } from '../../dist/machine/boot/firmware-linux.js';
import { loadGuest } from '../../dist/machine/boot/load-guest.js';
import {
  bootOptions,
  bzImage,
  concatenate,
  elf,
  headerTag,
  MIB,
  multiboot1Header,
  multiboot2Header,
  pvhNote,
  withSections,
  words,
} from '../../dist/machine/boot/test-images.js';
import { mutate, text } from './mutate.mjs';

export const GUEST_RAM = 4 * MIB;
/** The BIOS data area, the hole below 1 MiB: no loader may write there. */
const HOLE = [0x9fc00, 0x100000];
const GUARD = 0x5a;

/** Every 1, 2, 4 and 8 bytes of the setup header. Linux documentation, "The Linux/x86 Boot Protocol", "The Real-Mode Kernel Header". */
const LINUX_FIELDS = [
  ...[0x1f1, 0x210, 0x211, 0x227, 0x234, 0x235].map((at) => [at, 1]),
  ...[0x1f2, 0x1fa, 0x1fc, 0x1fe, 0x200, 0x206, 0x20c, 0x20e, 0x212, 0x224, 0x236].map((at) => [at, 2]),
  ...[0x1f4, 0x202, 0x214, 0x218, 0x21c, 0x228, 0x22c, 0x230, 0x238, 0x23c, 0x248, 0x24c, 0x260, 0x264].map((at) => [
    at,
    4,
  ]),
  ...[0x240, 0x250, 0x258].map((at) => [at, 8]),
];
/** ELF header and two program headers, as test-images.ts lays them out. */
const ELF32_FIELDS = [
  ...[4, 5, 6].map((at) => [at, 1]),
  ...[16, 18, 40, 42, 44, 46, 48, 50].map((at) => [at, 2]),
  ...[24, 28, 32, ...Array.from({ length: 16 }, (_, n) => 52 + n * 4)].map((at) => [at, 4]),
  ...[0x400, 0x404, 0x408, 0x40c, 0x410].map((at) => [at, 4]),
];
const ELF64_FIELDS = [
  ...[4, 5, 6].map((at) => [at, 1]),
  ...[16, 18, 52, 54, 56, 58, 60, 62].map((at) => [at, 2]),
  ...[24, 32, 40].map((at) => [at, 8]),
  ...[64, 120].flatMap((at) => [[at, 4], [at + 4, 4], ...[8, 16, 24, 32, 40, 48].map((n) => [at + n, 8])]),
  ...[0x400, 0x404, 0x408, 0x40c, 0x410].map((at) => [at, 4]),
];
const run = (from, count) => Array.from({ length: count }, (_, n) => [from + n * 4, 4]);

/** Name -> file and the places of its fields. */
export const KERNELS = {
  bzImage: {
    file: bzImage({ preferredAddress: 0x200000, initSize: 0x100000 }),
    fields: LINUX_FIELDS,
  },
  'bzImage of 32 bits': {
    file: bzImage({ is64: false, relocatable: false, preferredAddress: 0x100000, initSize: 0x100000 }),
    fields: LINUX_FIELDS,
  },
  'PVH of 32 bits': { file: elf({ bits: 32, note: pvhNote(0x200000) }), fields: ELF32_FIELDS },
  'PVH of 64 bits': { file: elf({ bits: 64, note: pvhNote(0x200000, 8) }), fields: ELF64_FIELDS },
  'Multiboot 1, ELF': {
    file: elf({ bits: 32, data: concatenate([multiboot1Header(3), new Uint8Array(64)]) }),
    fields: [...ELF32_FIELDS, ...run(0x1000, 3)],
  },
  'Multiboot 1, sections': {
    file: withSections(
      elf({ bits: 32, data: concatenate([multiboot1Header(3), new Uint8Array(64)]) }),
      0x200000,
      'symbols',
    ),
    fields: [...ELF32_FIELDS, ...run(0x1000, 3), ...run(0x105c, 30)],
  },
  'Multiboot 1, a.out': {
    file: concatenate([multiboot1Header(0x10000, 0x200000, 0x200000, 0, 0, 0x200020), new Uint8Array(64)]),
    fields: run(0, 12),
  },
  'Multiboot 2': {
    file: elf({
      bits: 64,
      data: multiboot2Header(
        headerTag(1, 0, 1, 4),
        headerTag(10, 0, 0x100000, 0x600000, 0x1000, 2),
        headerTag(3, 0, 0x200000),
      ),
    }),
    fields: [...ELF64_FIELDS, ...run(0x1000, 24)],
  },
  'Multiboot 2, addresses': {
    file: concatenate([
      multiboot2Header(headerTag(2, 0, 0x200000, 0x200000, 0, 0x280000), headerTag(3, 0, 0x200000), headerTag(6, 0)),
      new Uint8Array(256),
    ]),
    fields: run(0, 24),
  },
};

/** Makes the sum of the header's words right again, where there still is a header: what is behind the checksum counts too. */
function mendChecksums(image) {
  const view = new DataView(image.buffer, image.byteOffset, image.length);
  for (const at of [0, 0x1000]) {
    if (at + 16 > image.length) continue;
    const magic = view.getUint32(at, true);
    if (magic === 0x1badb002) view.setUint32(at + 8, -(magic + view.getUint32(at + 4, true)), true);
    if (magic === 0xe85250d6) {
      view.setUint32(at + 12, -(magic + view.getUint32(at + 4, true) + view.getUint32(at + 8, true)), true);
    }
  }
}

export function mutateKernel(name, random) {
  const { file, fields } = KERNELS[name];
  const image = mutate(file, random, fields);
  if (random(4) > 0) mendChecksums(image);
  return image;
}

const ram = new Uint8Array(GUEST_RAM);

function load(kernel, random) {
  const count = random(4);
  const modules = Array.from({ length: count }, () => ({
    data: new Uint8Array(random(30) === 0 ? random(GUEST_RAM) : random(9000)),
    args: text(random, ['root=/dev/ram0', ' ', '\t', '"', "'", ',']),
    name: text(random, ['initrd', '/', '.', ' ']).slice(0, 100),
  }));
  const append = text(random, ['console=ttyS0', ' ', '=', '\0', '"', 'init=/bin/sh', '--']);
  const sizeBytes = random(4) > 0 ? GUEST_RAM : (1 + random(4)) * MIB;
  ram.fill(GUARD, ...HOLE);
  const options = bootOptions(kernel, sizeBytes, { modules, append, rsdp: random(2) * 0xe0000, kernelName: 'k' });
  let problem;
  try {
    const { cpu } = loadGuest(ram.subarray(0, sizeBytes), options);
    if (cpu.rip > 0xffff_ffff_ffff_ffffn) throw new RangeError('RIP has more than 64 bits');
  } catch (error) {
    problem = error;
  }
  const touched = ram.subarray(...HOLE).findIndex((byte) => byte !== GUARD);
  if (touched >= 0) throw new RangeError(`the loader wrote outside of RAM, at ${(HOLE[0] + touched).toString(16)}`);
  if (problem !== undefined) throw problem;
}

const lz4Block = [0x30, 97, 98, 99, 0x24, 97, 98, 2, 0, 0x1f, 120, 1, 0, 255, 10, 0x10, 33];
const LZ4 = concatenate([words(0x184c2102, lz4Block.length), Uint8Array.from(lz4Block)]);
const VMLINUX = elf({ bits: 64, note: pvhNote(0x200000, 8) });

/** A bzImage with a packed ELF kernel. */
function packed(body, size) {
  const image = bzImage({ codeSize: 0x4000 });
  const view = new DataView(image.buffer);
  view.setUint32(0x248, 0x100, true);
  view.setUint32(0x24c, body.length + 4, true);
  image.set(body, 3 * 512 + 0x100);
  view.setUint32(3 * 512 + 0x100 + body.length, size, true);
  return image;
}
const PACKED = packed(gzipSync(VMLINUX), VMLINUX.length);
const PACKED_LZ4 = packed(LZ4, 300);

function tar() {
  const header = (name, size) => {
    const block = Buffer.alloc(512);
    block.write(name);
    block.write(`${size.toString(8).padStart(11, '0')}`, 124);
    block.write('0', 156);
    return block;
  };
  return Buffer.concat([
    header('./usr/doc', 600),
    Buffer.alloc(1024, 1),
    header('./boot/vmlinuz', 700),
    Buffer.alloc(1536),
  ]);
}
const TAR = tar();
const TAR_FIELDS = [0, 124, 156, 345, 1536, 1660, 1692].flatMap((at) => [
  [at, 1],
  [at, 4],
]);

const PACKAGE = `Package: linux-image
Version: 6.1-1
Architecture: amd64
Depends: linux-image-6.1 (= 6.1-1), kmod | module-init-tools
 , libc6
SHA256: ${'ab'.repeat(32)}
`;
const APPLETS = Buffer.from(
  `\x7fELF${'\0'.repeat(64)}[\0[[\0ash\0cttyhack\0mount\0poweroff\0setsid\0sh\0start-stop-daemon\0stty\0\0${'x'.repeat(200)}`,
  'latin1',
);

const loaders = Object.keys(KERNELS).map((name) => ({
  name,
  input: (random) => mutateKernel(name, random),
  run: load,
}));

/** name; input(random); run(input, random), which throws TrapezeError for what it refuses. */
export const IMAGE_PARSERS = [
  ...loaders,
  {
    name: 'kernel for a firmware',
    input: (random) => mutateKernel(random(2) === 0 ? 'bzImage' : 'bzImage of 32 bits', random),
    run: (kernel, random) => {
      const modules = Array.from({ length: random(3) }, () => ({
        data: new Uint8Array(random(9000)),
        args: '',
        name: 'i',
      }));
      const append = text(random, ['console=ttyS0', ' ', '\0', 'vga=ask']);
      linuxItems({ kernel, kernelName: 'k', modules, append, ramSizeBytes: (4 + random(60)) * MIB });
    },
  },
  {
    name: 'packed kernel',
    input: (random) => {
      const lz4 = random(2) === 0;
      const at = 3 * 512 + 0x100;
      const inside = [
        [at, 1],
        [at, 4],
        [at + 4, 4],
        [at + 8, 1],
        [at + (lz4 ? LZ4.length : PACKED.length - at - 4), 4],
      ];
      return mutate(lz4 ? PACKED_LZ4 : PACKED, random, [...LINUX_FIELDS, ...inside]);
    },
    run: (kernel) => extractVmlinux(kernel),
  },
  {
    name: 'LZ4',
    input: (random) => mutate(LZ4, random),
    run: (bytes, random) => void decompressLz4Legacy(bytes, random(1000)),
  },
  {
    name: 'tar',
    input: (random) => mutate(TAR, random, TAR_FIELDS),
    run: (bytes, random) => {
      const picker = new TarPicker((path) => path.startsWith('boot/'));
      for (let at = 0; at < bytes.length; ) {
        const size = 1 + random(random(2) === 0 ? 16 : 2000);
        if (picker.push(bytes.subarray(at, at + size))) break;
        at += size;
      }
    },
  },
  {
    name: 'package record',
    isText: true,
    input: (random) => Buffer.from(mutate(Buffer.from(PACKAGE), random)).toString(),
    run: (stanza) => void parsePackage(stanza),
  },
  {
    name: 'busybox',
    input: (random) => mutate(APPLETS, random),
    run: (bytes) => void busyboxApplets(bytes),
  },
];
