import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeAcpiTables } from './acpi.js';
import { writeSmbiosTables } from './smbios.js';

const ENTRY = 0xf0040;

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
}

test('the entry point and every structure hold together', () => {
  const ram = new Uint8Array(2 << 20);
  const { rsdp } = writeAcpiTables(ram, { vcpus: 8, serialPorts: 1, hpet: true });
  writeSmbiosTables(ram, { vcpus: 8, ramSizeBytes: 512 << 20, version: '1.2.3' });
  assert.equal(String.fromCharCode(...ram.subarray(rsdp, rsdp + 8)), 'RSD PTR ');
  const view = new DataView(ram.buffer);
  assert.equal(String.fromCharCode(...ram.subarray(ENTRY, ENTRY + 4)), '_SM_');
  assert.equal(sum(ram.subarray(ENTRY, ENTRY + 31)), 0);
  assert.equal(sum(ram.subarray(ENTRY + 16, ENTRY + 31)), 0);
  const start = view.getUint32(ENTRY + 24, true);
  const end = start + view.getUint16(ENTRY + 22, true);
  const types: number[] = [];
  const lengths = new Map<number, number>();
  let at = start;
  while (at < end) {
    types.push(ram[at]);
    lengths.set(ram[at], ram[at + 1]);
    at += ram[at + 1];
    while (ram[at] !== 0 || ram[at + 1] !== 0) at++;
    at += 2;
  }
  assert.equal(at, end);
  assert.equal(types.length, view.getUint16(ENTRY + 28, true));
  assert.deepEqual(types, [0, 1, 3, 4, 4, 4, 4, 4, 4, 4, 4, 16, 17, 19, 32, 127]);
  // The lengths that the specification gives for 2.8.
  const expected: [number, number][] = [
    [0, 0x18],
    [1, 0x1b],
    [3, 0x16],
    [4, 0x2a],
    [16, 0x17],
    [17, 0x28],
    [19, 0x1f],
    [32, 0x0b],
    [127, 4],
  ];
  for (const [type, length] of expected) assert.equal(lengths.get(type), length, `type ${type}`);
});
