import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeAcpiTables } from './acpi.js';
import * as aml from './aml.js';

const RAM_SIZE = 2 << 20;
const OPTIONS = { vcpus: 2, serialPorts: 1, hpet: true };

interface Table {
  readonly signature: string;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

function tableAt(ram: Uint8Array, address: number): Table {
  const length = new DataView(ram.buffer).getUint32(address + 4, true);
  const bytes = ram.slice(address, address + length);
  return { signature: String.fromCharCode(...bytes.subarray(0, 4)), bytes, view: new DataView(bytes.buffer) };
}

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
}

/** Follows the pointers from the RSDP, as a system does. */
function collect(ram: Uint8Array, rsdp: number): Map<string, Table> {
  const view = new DataView(ram.buffer);
  const tables = new Map<string, Table>();
  const xsdt = tableAt(ram, Number(view.getBigUint64(rsdp + 24, true)));
  const rsdt = tableAt(ram, view.getUint32(rsdp + 16, true));
  tables.set('XSDT', xsdt).set('RSDT', rsdt);
  for (let at = 36; at < xsdt.bytes.length; at += 8) {
    const address = Number(xsdt.view.getBigUint64(at, true));
    assert.equal(rsdt.view.getUint32(36 + (at - 36) / 2, true), address);
    const table = tableAt(ram, address);
    tables.set(table.signature, table);
  }
  const fadt = tables.get('FACP');
  assert.ok(fadt);
  tables.set('DSDT', tableAt(ram, Number(fadt.view.getBigUint64(140, true))));
  return tables;
}

test('every table is reachable, has its checksum, and stays in the firmware area', () => {
  const ram = new Uint8Array(RAM_SIZE);
  const { rsdp } = writeAcpiTables(ram, OPTIONS);
  assert.equal(String.fromCharCode(...ram.subarray(rsdp, rsdp + 8)), 'RSD PTR ');
  assert.equal(sum(ram.subarray(rsdp, rsdp + 20)), 0);
  assert.equal(sum(ram.subarray(rsdp, rsdp + 36)), 0);
  const tables = collect(ram, rsdp);
  assert.deepEqual([...tables.keys()].sort(), ['APIC', 'DSDT', 'FACP', 'HPET', 'RSDT', 'XSDT']);
  for (const [signature, { bytes }] of tables) assert.equal(sum(bytes), 0, signature);
  assert.ok(ram.subarray(0, 0xe0000).every((byte) => byte === 0));
  assert.ok(ram.subarray(0x100000).every((byte) => byte === 0));
});

test('the FADT says where power management is', () => {
  const ram = new Uint8Array(RAM_SIZE);
  const fadt = collect(ram, writeAcpiTables(ram, OPTIONS).rsdp).get('FACP');
  assert.ok(fadt);
  assert.equal(fadt.bytes.length, 244);
  assert.equal(fadt.view.getUint32(56, true), 0x600);
  assert.equal(fadt.view.getUint32(64, true), 0x604);
  assert.equal(fadt.view.getUint32(76, true), 0x608);
  assert.equal(fadt.view.getBigUint64(120, true), 0xcf9n);
  assert.equal(fadt.view.getUint32(36, true) % 64, 0, 'FACS alignment');
});

test('the MADT lists every processor and the two overrides', () => {
  const ram = new Uint8Array(RAM_SIZE);
  const madt = collect(ram, writeAcpiTables(ram, { ...OPTIONS, vcpus: 8 }).rsdp).get('APIC');
  assert.ok(madt);
  const kinds: number[] = [];
  for (let at = 44; at < madt.bytes.length; at += madt.bytes[at + 1]) kinds.push(madt.bytes[at]);
  assert.deepEqual(kinds, [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 4]);
});

test('AML lengths change width where the specification says', () => {
  assert.deepEqual(aml.buffer([1, 2]), [0x11, 5, 0x0a, 2, 1, 2]);
  const long = aml.buffer(new Array(100).fill(7));
  assert.deepEqual(long.slice(0, 5), [0x11, 0x40 | (104 & 15), 104 >> 4, 0x0a, 100]);
  assert.deepEqual(aml.eisaId('PNP0A03'), [0x0c, 0x41, 0xd0, 0x0a, 0x03]);
  assert.deepEqual(aml.path('\\_SB.PCI0'), [0x5c, 0x2e, ...Buffer.from('_SB_PCI0')]);
});

const hasIasl = spawnSync('iasl', ['-v']).status === 0;

test('iasl disassembles and recompiles every table', { skip: hasIasl ? false : 'iasl is not installed' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'acpi-'));
  try {
    const ram = new Uint8Array(RAM_SIZE);
    for (const [signature, { bytes }] of collect(ram, writeAcpiTables(ram, OPTIONS).rsdp)) {
      const file = join(folder, `${signature}.aml`);
      writeFileSync(file, bytes);
      const decoded = spawnSync('iasl', ['-d', file], { cwd: folder, encoding: 'utf8' });
      assert.equal(decoded.status, 0, decoded.stderr);
      assert.doesNotMatch(decoded.stderr + decoded.stdout, /error|warning|invalid/i);
      const compiled = spawnSync('iasl', ['-ve', `${signature}.dsl`], { cwd: folder, encoding: 'utf8' });
      assert.equal(compiled.status, 0, compiled.stdout + compiled.stderr);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
