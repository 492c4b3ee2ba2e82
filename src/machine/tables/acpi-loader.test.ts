import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acpiFiles } from './acpi-loader.js';
import { smbiosTables } from './smbios.js';

const OPTIONS = { vcpus: 1, serialPorts: 2, hpet: true };
const RSDP = 0xf5a40;
const TABLES = 0x1ffe0000;

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const name = (bytes: Uint8Array, at: number): string => {
  const text = String.fromCharCode(...bytes.subarray(at, at + 56));
  return text.slice(0, text.indexOf('\0'));
};

/** What a firmware does with the script: the two files where it would put them. */
function load(): Map<string, Uint8Array> {
  const { tables, rsdp, loader } = acpiFiles(OPTIONS);
  const placed = new Map<string, { bytes: Uint8Array; address: number }>();
  const sources: Record<string, Uint8Array> = { 'etc/acpi/tables': tables, 'etc/acpi/rsdp': rsdp };
  const file = (wanted: string): { bytes: Uint8Array; address: number } =>
    placed.get(wanted) ?? assert.fail(`${wanted} was not allocated`);
  assert.equal(loader.length % 128, 0);
  for (let at = 0; at < loader.length; at += 128) {
    const entry = loader.subarray(at, at + 128);
    const view = new DataView(entry.buffer, entry.byteOffset, 128);
    const first = name(entry, 4);
    switch (view.getUint32(0, true)) {
      case 1: {
        const zone = entry[64];
        const address = zone === 2 ? RSDP : TABLES;
        assert.equal(address % view.getUint32(60, true), 0);
        placed.set(first, { bytes: (sources[first] ?? assert.fail(first)).slice(), address });
        break;
      }
      case 2: {
        const { bytes } = file(first);
        const target = new DataView(bytes.buffer);
        const offset = view.getUint32(116, true);
        const { address } = file(name(entry, 60));
        if (entry[120] === 4) target.setUint32(offset, target.getUint32(offset, true) + address, true);
        else target.setBigUint64(offset, target.getBigUint64(offset, true) + BigInt(address), true);
        break;
      }
      case 3: {
        const { bytes } = file(first);
        const start = view.getUint32(64, true);
        const field = view.getUint32(60, true);
        // SeaBIOS subtracts, OVMF overwrites.
        assert.equal(bytes[field], 0);
        bytes[field] = -sum(bytes.subarray(start, start + view.getUint32(68, true)));
        break;
      }
      default:
        assert.fail('an unknown command');
    }
  }
  return new Map([...placed].map(([key, { bytes }]) => [key, bytes]));
}

test('the script makes tables that point at each other and sum to zero', () => {
  const files = load();
  const rsdp = files.get('etc/acpi/rsdp') ?? assert.fail();
  const tables = files.get('etc/acpi/tables') ?? assert.fail();
  const view = new DataView(tables.buffer);
  assert.equal(sum(rsdp.subarray(0, 20)), 0);
  assert.equal(sum(rsdp), 0);
  const found: string[] = [];
  const visit = (address: number): number => {
    const at = address - TABLES;
    assert.ok(at >= 0 && at < tables.length, address.toString(16));
    found.push(String.fromCharCode(...tables.subarray(at, at + 4)));
    assert.equal(sum(tables.subarray(at, at + view.getUint32(at + 4, true))), 0, found.at(-1));
    return at;
  };
  const root = new DataView(rsdp.buffer);
  const xsdt = visit(Number(root.getBigUint64(24, true)));
  const rsdt = visit(root.getUint32(16, true));
  for (let i = 0; i < (view.getUint32(xsdt + 4, true) - 36) / 8; i++) {
    const address = view.getUint32(rsdt + 36 + 4 * i, true);
    assert.equal(Number(view.getBigUint64(xsdt + 36 + 8 * i, true)), address);
    const at = visit(address);
    if (found.at(-1) !== 'FACP') continue;
    const facs = view.getUint32(at + 36, true) - TABLES;
    assert.equal(facs % 64, 0);
    assert.equal(String.fromCharCode(...tables.subarray(facs, facs + 4)), 'FACS');
    assert.equal(visit(view.getUint32(at + 40, true)), Number(view.getBigUint64(at + 140, true)) - TABLES);
  }
  assert.deepEqual(found, ['XSDT', 'RSDT', 'FACP', 'DSDT', 'APIC', 'HPET']);
});

test('SMBIOS: the anchor tells the length of the tables, its two sums are zero', () => {
  const { anchor, tables } = smbiosTables({ vcpus: 1, ramSizeBytes: 2 ** 29 }, 0);
  assert.equal(anchor.length, 31);
  assert.equal(new DataView(anchor.buffer).getUint16(22, true), tables.length);
  assert.equal(sum(anchor), 0);
  assert.equal(sum(anchor.subarray(16)), 0);
});
