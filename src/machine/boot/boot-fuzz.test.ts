/**
 * Damaged images of every kind: each must either load or end with a TrapezeError, quickly, and never write where the
 * memory map says that there is no usable RAM.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { TrapezeError } from '../../base/errors.js';
import { loadGuest } from './load-guest.js';
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
} from './test-images.js';

const SIZE = 8 * MIB;
const GUARDED = new Uint8Array(0x100000 - 0x9fc00).fill(0x5a);
const ROUNDS = 1500;
const SEEDS: Record<string, Uint8Array> = {
  bzImage: bzImage({ preferredAddress: 0x200000, initSize: 0x100000 }),
  'bzImage 32': bzImage({ is64: false, relocatable: false, preferredAddress: 0x100000, initSize: 0x100000 }),
  'pvh 32': elf({ bits: 32, note: pvhNote(0x200000) }),
  'pvh 64': elf({ bits: 64, note: pvhNote(0x200000, 8) }),
  'multiboot1 elf': elf({ bits: 32, data: concatenate([multiboot1Header(3), new Uint8Array(64)]) }),
  'multiboot1 sections': withSections(
    elf({ bits: 32, data: concatenate([multiboot1Header(3), new Uint8Array(64)]) }),
    0x200000,
    'symbols',
  ),
  'multiboot1 a.out': concatenate([multiboot1Header(0x10000, 0x200000, 0x200000, 0, 0, 0x200020), new Uint8Array(64)]),
  multiboot2: elf({
    bits: 64,
    data: multiboot2Header(
      headerTag(1, 0, 1, 4),
      headerTag(10, 0, 0x100000, 0x600000, 0x1000, 2),
      headerTag(3, 0, 0x200000),
    ),
  }),
};
const INTERESTING = [0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffff000, 0x1000, 0xa0000];

/** mulberry32: small, seeded, so a failure can be had again. */
function randomSource(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function mutate(seed: Uint8Array, random: (below: number) => number): Uint8Array {
  const image = seed.slice();
  const view = new DataView(image.buffer);
  // Most fields that matter are in the first 0x500 bytes or at 0x1000 (the headers inside the segment).
  const place = (size: number): number => {
    const base = random(4) === 0 && image.length > 0x1080 ? 0x1000 : 0;
    return base + random(Math.min(image.length - base, 0x500) - size + 1);
  };
  for (let count = 1 + random(4); count > 0; count--) {
    if (random(2) === 0) image[place(1)] = random(256);
    else view.setUint32(place(4) & ~3, INTERESTING[random(INTERESTING.length)], true);
  }
  return random(5) === 0 ? image.subarray(0, random(image.length)) : image;
}

for (const [name, seed] of Object.entries(SEEDS)) {
  test(`mutations of ${name}`, () => {
    const random = randomSource(name.length * 7919 + seed.length);
    const ram = new Uint8Array(SIZE);
    const modules = [{ data: new Uint8Array(5000).fill(1), args: '', name: 'initrd' }];
    const options = { modules, append: 'console=ttyS0', rsdp: 0xe0000 };
    loadGuest(ram, bootOptions(seed, SIZE, options));
    let loaded = 0;
    const started = performance.now();
    for (let round = 0; round < ROUNDS; round++) {
      ram.set(GUARDED, 0x9fc00);
      const image = mutate(seed, random);
      try {
        const { cpu } = loadGuest(ram, bootOptions(image, SIZE, options));
        assert.ok(cpu.rip <= 0xffff_ffffn);
        loaded++;
      } catch (error) {
        if (!(error instanceof TrapezeError)) throw error;
        assert.match(error.message, /^[^\n]{20,400}$/);
      }
      assert.equal(Buffer.compare(ram.subarray(0x9fc00, 0x100000), GUARDED), 0, `round ${round} wrote outside of RAM`);
    }
    assert.ok(loaded > 0 && loaded < ROUNDS, `${loaded} of ${ROUNDS} loaded`);
    assert.ok(performance.now() - started < 60_000);
  });
}
