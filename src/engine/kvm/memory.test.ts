// Memory slots for what the chipset decides, without a kernel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as K from './abi.js';
import { KvmMemory } from './memory.js';
import type { System } from './system.js';

const RAM_BYTES = 4 << 20;
const ROM_BYTES = 256 << 10;
const OFFSET = 0x10000;
const ROM_AT = RAM_BYTES;

/** A kernel that remembers its slots and refuses those that overlap. */
function kernel() {
  const slots = new Map<number, { gpa: number; at: number; size: number; readOnly: boolean }>();
  const system = {
    addressOf: () => 0n,
    ioctlData(_fd: number, request: number, argument: Uint8Array): number {
      assert.equal(request, K.IOCTL.SET_USER_MEMORY_REGION);
      const [what, gpa, size, address] = new BigUint64Array(argument.buffer, argument.byteOffset, 4);
      const number = Number(what & 0xffffffffn);
      slots.delete(number);
      if (size === 0n) return 0;
      const slot = { gpa: Number(gpa), at: Number(address) - OFFSET, size: Number(size), readOnly: what >> 33n === 1n };
      for (const other of slots.values()) {
        assert.ok(slot.gpa >= other.gpa + other.size || other.gpa >= slot.gpa + slot.size, 'slots overlap');
      }
      slots.set(number, slot);
      return 0;
    },
  } as unknown as System;
  /** Place in RAM (or behind it, in the ROM) and whether it can be written; undefined: no memory. */
  const find = (gpa: number): { at: number; readOnly: boolean } | undefined => {
    for (const slot of slots.values()) {
      if (gpa >= slot.gpa && gpa < slot.gpa + slot.size) {
        return { at: slot.at + gpa - slot.gpa, readOnly: slot.readOnly };
      }
    }
    return undefined;
  };
  return { system, slots, find };
}

function memoryOf(romBytes: number) {
  const { system, slots, find } = kernel();
  const memory = new WebAssembly.Memory({ initial: 96, maximum: 96, shared: true });
  const map = new KvmMemory(system, 3, { memory, ramOffset: OFFSET, ramBytes: RAM_BYTES, romBytes });
  return { map, slots, find, bytes: new Uint8Array(memory.buffer) };
}

const ram = (at: number) => ({ at, readOnly: false });

test('RAM is two slots around the VGA window, the ROM ends at 4 GiB and cannot be written', () => {
  const { slots, find } = memoryOf(ROM_BYTES);
  assert.equal(slots.size, 3);
  assert.deepEqual([0, 0x9ffff, 0xc0000, RAM_BYTES - 1].map(find), [0, 0x9ffff, 0xc0000, RAM_BYTES - 1].map(ram));
  assert.deepEqual([0xa0000, 0xbffff, RAM_BYTES, 2 ** 32 - ROM_BYTES - 1].map(find), Array(4).fill(undefined));
  assert.deepEqual(find(2 ** 32 - 16), { at: ROM_AT + ROM_BYTES - 16, readOnly: true });
});

test('memory attributes: RAM, RAM that is read only, the end of the ROM, the bus', () => {
  const { map, slots, find, bytes } = memoryOf(ROM_BYTES);
  map.shadow(0xf0000, 0x10000, { readsRam: false, writesRam: true });
  map.shadow(0xc4000, 0x4000, { readsRam: false, writesRam: false });
  map.shadow(0xc8000, 0x4000, { readsRam: true, writesRam: false });
  assert.deepEqual(find(0xf1234), { at: ROM_AT + ROM_BYTES - 0x10000 + 0x1234, readOnly: true });
  assert.equal(find(0xc4000), undefined);
  assert.deepEqual(find(0xc8000), { at: 0xc8000, readOnly: true });
  assert.deepEqual(find(0xcc000), ram(0xcc000));
  // Writes reach RAM only where they are to.
  assert.equal(map.absorb(0xf1234, 4, 0x11223344n), true);
  assert.deepEqual([...bytes.subarray(OFFSET + 0xf1234, OFFSET + 0xf1238)], [0x44, 0x33, 0x22, 0x11]);
  assert.equal(map.absorb(0xc8000, 1, 1n), false);
  assert.equal(map.absorb(0xfee00000, 4, 1n), false);
  for (const [base, size] of [
    [0xf0000, 0x10000],
    [0xc4000, 0x8000],
  ]) {
    map.shadow(base, size, { readsRam: true, writesRam: true });
  }
  assert.equal(slots.size, 3);
});

test('a closed A20 gate shows the first megabyte again', () => {
  const { map, slots, find } = memoryOf(0);
  map.a20(false);
  assert.deepEqual([0x100000, 0x19ffff, 0x1c0000].map(find), [0, 0x9ffff, 0xc0000].map(ram));
  assert.equal(find(0x1a0000), undefined);
  assert.deepEqual(find(0x200000), ram(0x200000));
  map.a20(true);
  assert.deepEqual(find(0x1a0000), ram(0x1a0000));
  assert.equal(slots.size, 2);
});
