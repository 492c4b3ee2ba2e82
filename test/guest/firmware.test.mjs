// Firmware from the reset vector on: a ROM of our own, and Debian's SeaBIOS with and without a kernel to start.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { linuxOptionRom } from '../../dist/machine/boot/option-rom.js';
import { Machine } from '../../dist/node.js';
import { IRQCHIP_NEEDS, lacks } from '../engine/engines.mjs';
import { openGuestFile } from './files.mjs';
import { INTERRUPTS_TOLD, interruptRom } from './firmware-interrupt-rom.mjs';
import { EXIT_CODE, HOT_TOLD, hotRom, RESETS_TOLD, resettingRom, TOLD, testRom } from './firmware-rom.mjs';
import { kernelLines } from './kernel-log.mjs';
import { hasQemu } from './qemu.mjs';
import { bootTrapeze } from './trapeze.mjs';

const DEBUG_PORT = 0x402;
const BOOT_MS = 200_000;

/** The files, or the reason why they cannot be had. */
async function open(...names) {
  try {
    return { files: await Promise.all(names.map((name) => openGuestFile(name))), skip: false };
  } catch (error) {
    return { files: [], skip: `${names.join(', ')} cannot be had: ${error.message}` };
  }
}

for (const [what, firmware, expected, needs = [], insideNeeds = needs] of [
  ['a ROM runs from the reset vector and finds memory attributes and the A20 gate at work', testRom(), TOLD],
  ['code that is hot follows the memory attributes', hotRom(), HOT_TOLD],
  // Hosts that emulate ring 0 do not look at the limit of the table of interrupts in real mode: no triple fault.
  ['every way to reset starts the ROM again and leaves memory alone', resettingRom(), RESETS_TOLD, ['ring0Native']],
  [
    'NMIs wait for each other and end HLT; a deadline follows the TSC that the guest set',
    interruptRom(),
    INTERRUPTS_TOLD,
    [],
    // Such a host's own local APIC interrupts some instructions later.
    ['ring0Native'],
  ],
]) {
  test(what, () => tells('dbt', firmware, expected));
  for (const irqchip of ['machine', 'split', 'kernel']) {
    const skip = lacks('kvm', [...(irqchip === 'machine' ? needs : insideNeeds), ...IRQCHIP_NEEDS[irqchip]]) ?? false;
    test(`kvm (irqchip ${irqchip}): ${what}`, { skip }, () => tells('kvm', firmware, expected, irqchip));
  }
}

async function tells(engine, firmware, expected, irqchip) {
  const options = { engine, irqchip, debugcon: DEBUG_PORT, debugExit: true, timeoutMs: 20_000, memoryBytes: 2 ** 24 };
  const machine = new Machine({ firmware, ...options });
  const told = [];
  machine.on('debugcon', (bytes) => told.push(...bytes));
  const result = await machine.run();
  assert.deepEqual(told, expected);
  assert.equal(result.reason, 'debug-exit');
  assert.equal(result.exitCode, EXIT_CODE);
}

test('without reboot a reset under firmware ends the run', async () => {
  const result = await new Machine({ firmware: resettingRom(), noReboot: true, timeoutMs: 20_000 }).run();
  assert.equal(result.reason, 'reset');
  assert.equal(result.exitCode, 4);
});

test('what cannot be a ROM, or cannot be started by one, is refused', async () => {
  const refuses = (options, message) => assert.rejects(new Machine(options).run(), { message, exitCode: 2 });
  await refuses({ firmware: new Uint8Array(0) }, /the file is empty/);
  await refuses({ firmware: new Uint8Array(1000), firmwareName: 'x.bin' }, /x\.bin: a firmware ROM has a multiple/);
  await refuses({ firmware: new Uint8Array(32 << 20) }, /up to 16 MiB/);
  await refuses({ firmware: testRom(), kernel: Uint8Array.of(1, 2, 3) }, /Linux bzImages only/);
  assert.throws(() => new Machine({}), /give a kernel or a firmware/);
});

const bios = await open('bios-256k.bin');
for (const [engine, irqchip] of [['dbt'], ['kvm', 'machine'], ['kvm', 'split'], ['kvm', 'kernel']]) {
  const skip = bios.skip || (lacks(engine, IRQCHIP_NEEDS[irqchip ?? 'machine']) ?? false);
  const title = `${engine}: SeaBIOS finds no bootable device${irqchip === undefined ? '' : ` (irqchip ${irqchip})`}`;
  test(title, { skip, timeout: 120_000 }, () => findsNothing(engine, irqchip));
}

async function findsNothing(engine, irqchip) {
  const options = { engine, irqchip, debugcon: DEBUG_PORT, timeoutMs: 100_000 };
  const machine = new Machine({ firmware: bios.files[0], ...options });
  let log = '';
  let serial = '';
  machine.on('debugcon', (bytes) => {
    log += Buffer.from(bytes).toString('latin1');
    if (log.includes('No bootable device.')) machine.close();
  });
  machine.on('serial', (bytes) => {
    serial += Buffer.from(bytes).toString('latin1');
  });
  const { reason } = await machine.run();
  assert.equal(reason, 'closed', log);
  assert.match(log, /^SeaBIOS \(version /);
  // It found what it was told: memory, tables, DMA, the serial port for want of a display.
  assert.match(log, /fw_cfg DMA interface supported/);
  assert.match(log, /e820: addr 0x0000000000000000 len 0x0000000020000000 \[RAM\]/);
  assert.match(log, /ACPI: parse DSDT/);
  assert.match(log, /Copying SMBIOS/);
  assert.match(log, /No bootable device\./);
  assert.match(serial, /SeaBIOS/);
}

test('the option ROM starts Linux in QEMU as well', async (t) => {
  const { files, skip } = await open('bios-256k.bin', 'vmlinuz');
  if (skip !== false || !hasQemu()) return t.skip(skip === false ? 'this host has no qemu-system-x86_64' : skip);
  const directory = mkdtempSync(join(tmpdir(), 'trapeze-rom-'));
  try {
    const write = (name, bytes) => writeFileSync(join(directory, name), bytes);
    write('bios-256k.bin', files[0]);
    write('kernel', files[1]);
    // The name under which QEMU looks for its own.
    write('linuxboot_dma.bin', linuxOptionRom());
    write('kvmvapic.bin', new Uint8Array(0));
    const machine = ['-L', directory, '-accel', 'tcg', '-machine', 'pc,vmport=off', '-m', '256', '-vga', 'none'];
    const guest = ['-kernel', join(directory, 'kernel'), '-append', 'console=ttyS0 panic=-1'];
    const io = ['-nographic', '-nodefaults', '-serial', 'stdio', '-no-reboot'];
    const { stdout } = spawnSync('qemu-system-x86_64', [...machine, ...guest, ...io], { timeout: 90_000 });
    // Without an initrd it ends for want of a root file system, and by panic=-1 at once.
    assert.match(stdout.toString('latin1'), /Command line: console=ttyS0 panic=-1[\s\S]*Unable to mount root/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

for (const { what, rom, kernel, initrd, machine, log } of [
  {
    what: 'SeaBIOS starts a 64-bit Linux by its real-mode entry',
    rom: 'bios-256k.bin',
    kernel: 'vmlinuz',
    initrd: 'initrd.cpio',
    machine: 'x86_64',
    log: /^ACPI: RSDP 0x0*F[0-9A-F]{4} /i,
  },
  {
    what: 'SeaBIOS starts a 32-bit Linux by its real-mode entry',
    rom: 'bios-256k.bin',
    kernel: 'vmlinuz-686',
    initrd: 'initrd-i386.cpio',
    machine: 'i686',
    log: /^ACPI: RSDP 0x0*F[0-9A-F]{4} /i,
  },
  {
    what: 'OVMF starts a 64-bit Linux by its EFI entry',
    rom: 'OVMF.fd',
    kernel: 'vmlinuz',
    initrd: 'initrd.cpio',
    machine: 'x86_64',
    log: /^efi: .*ACPI 2\.0=0x/,
  },
]) {
  const { files, skip } = await open(rom, kernel, initrd);
  test(what, { skip, timeout: 2 * BOOT_MS }, async () => {
    const visited = await bootTrapeze({
      firmware: files[0],
      kernel: files[1],
      initrd: files[2],
      append: 'console=ttyS0 loglevel=8',
      memoryMiB: 256,
      timeoutMs: 2 * BOOT_MS,
    });
    try {
      await visited.console.waitForShell(BOOT_MS);
      await visited.console.run('dmesg -n 1', BOOT_MS);
      assert.equal((await visited.console.run('uname -m', BOOT_MS)).output, `${machine}\n`);
      const lines = kernelLines((await visited.console.run('dmesg', BOOT_MS)).output);
      const said = (pattern) =>
        assert.ok(
          lines.some((line) => pattern.test(line.replace(/^\[[^\]]*\] /, ''))),
          `${pattern}\n${lines.slice(0, 60).join('\n')}`,
        );
      // The memory map is the firmware's, the tables are ours where it put them.
      said(/^BIOS-e820: .* reserved/);
      said(/^ACPI: DSDT .*TRAPEZ/);
      said(log);
      visited.console.type('poweroff -f\n');
      assert.equal((await visited.ended).reason, 'power-off');
    } finally {
      visited.close();
    }
  });
}
