// Boots Debian's kernels, unmodified, in Trapeze and in QEMU's TCG, runs a few commands in the shell of each, powers it off,
// and names every complaint in our kernel's log that QEMU's log does not have.
//   node tools/judge-guests.mjs [GUEST...] [--guests DIR] [--dist DIR] [--keep DIR] [--all] [--no-qemu] [--timeout SECONDS]
// --guests: where vmlinuz, vmlinux, vmlinuz-amd64, vmlinuz-rt, vmlinuz-686, vmlinuz-686-pae, initrd.cpio,
// initrd-i386.cpio, bios-256k.bin and OVMF.fd are; default: the image cache.
// --keep: write both logs there. --all: print every line that differs in kind, complaint or not.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openGuestFile } from '../test/guest/files.mjs';
import { kernelLines, onlyIn } from '../test/guest/kernel-log.mjs';
import { bootQemu, hasQemu } from '../test/guest/qemu.mjs';
import { bootTrapeze, distUrl } from '../test/guest/trapeze.mjs';

const APPEND = 'console=ttyS0 loglevel=8';
const MEMORY_MIB = 512;
/** More boots of a guest whose log has complaints. */
const AGAIN = 2;

const GUESTS = [
  { name: 'cloud', kernel: 'vmlinuz', initrd: 'initrd.cpio' },
  { name: 'cloud-pvh', kernel: 'vmlinux', initrd: 'initrd.cpio' },
  { name: 'cloud-i386', kernel: 'vmlinuz', initrd: 'initrd-i386.cpio' },
  { name: 'amd64', kernel: 'vmlinuz-amd64', initrd: 'initrd.cpio' },
  { name: 'rt', kernel: 'vmlinuz-rt', initrd: 'initrd.cpio' },
  { name: '686', kernel: 'vmlinuz-686', initrd: 'initrd-i386.cpio', is32: true },
  { name: '686-pae', kernel: 'vmlinuz-686-pae', initrd: 'initrd-i386.cpio', is32: true },
  // Under SeaBIOS by the real-mode entry, as QEMU always starts them.
  { name: 'cloud-bios', kernel: 'vmlinuz', initrd: 'initrd.cpio', firmware: 'bios-256k.bin' },
  { name: '686-bios', kernel: 'vmlinuz-686', initrd: 'initrd-i386.cpio', is32: true, firmware: 'bios-256k.bin' },
  // By the EFI entry; QEMU starts the same ROM.
  { name: 'cloud-uefi', kernel: 'vmlinuz', initrd: 'initrd.cpio', firmware: 'OVMF.fd' },
];

/** Command, and what its output must be where that is known. */
const COMMANDS = [
  ['echo $((6 * 7))', /^42\n$/],
  ['printf "abc" | sha256sum', /^ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad {2}-\n$/],
  ['printf "abc" | md5sum', /^900150983cd24fb0d6963f7d28e17f72 {2}-\n$/],
  ['seq 1 20000 | gzip | gunzip | md5sum', /^e071f707df7bbeee2a6a1eb48011ddd0 {2}-\n$/],
  ['seq 1 3000 | sort -r | head -n 1', /^999\n$/],
  ['echo "scale=30; 4*a(1)" | bc -l', /^3\.14159265358979323846264338327\d\n$/],
  [
    `awk 'BEGIN { x = 1; for (i = 1; i < 30; i++) x = x * 1.1; printf "%.15g %d\\n", x, x * x }'`,
    /^15\.8630929717149 251\n$/,
  ],
  ['i=0; while [ $i -lt 300 ]; do i=$((i+1)); /bin/true; done; echo $i', /^300\n$/],
  ['(sleep 1; echo one) & wait; echo two', /one\n.*two\n$/s],
  ['cat /proc/interrupts', /timer|LOC/],
  ['cat /proc/cpuinfo', /processor/],
  ['cat /sys/devices/system/clocksource/clocksource0/current_clocksource', /\S/],
  ['a=$(cut -d. -f1 /proc/uptime); sleep 2; b=$(cut -d. -f1 /proc/uptime); echo $((b-a))', /^[23]\n$/],
];

const NAME_64 = ['uname -srm', /^Linux \S+ x86_64\n$/];
const NAME_32 = ['uname -srm', /^Linux \S+ i686\n$/];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    guests: { type: 'string' },
    dist: { type: 'string' },
    keep: { type: 'string' },
    all: { type: 'boolean', default: false },
    'no-qemu': { type: 'boolean', default: false },
    timeout: { type: 'string', default: '240' },
  },
});
const timeoutMs = Number(options.timeout) * 1000;
const dist = options.dist === undefined ? undefined : distUrl(options.dist);

/** Boots, runs the commands, powers off; everything the kernel said, and what went wrong. */
async function visit(boot, guest) {
  const began = performance.now();
  const visited = await boot(guest);
  const terminal = visited.console;
  const wrong = [];
  const outputs = [];
  let shellSeconds = Number.NaN;
  let log = '';
  try {
    await terminal.waitForShell(timeoutMs);
    shellSeconds = (performance.now() - began) / 1000;
    // The kernel's lines would fall into the commands' output; dmesg has them all.
    await terminal.run('dmesg -n 1', timeoutMs);
    for (const [command, expected] of [guest.is32 ? NAME_32 : NAME_64, ...COMMANDS]) {
      const { output } = await terminal.run(command, timeoutMs);
      outputs.push(`# ${command}\n${output}`);
      if (!expected.test(output)) wrong.push(`"${command}" printed ${JSON.stringify(output.slice(0, 300))}`);
    }
    log = (await terminal.run('dmesg', timeoutMs)).output;
    const from = terminal.text.length;
    terminal.type('dmesg -n 8; poweroff -f\n');
    const { reason } = await within(visited.ended, timeoutMs);
    log += terminal.text.slice(from);
    if (reason !== 'power-off') wrong.push(`it ended with ${reason}`);
  } catch (error) {
    wrong.push(error.message);
    log ||= terminal.text;
  } finally {
    visited.close();
  }
  return { shellSeconds, wrong, outputs: outputs.join(''), lines: kernelLines(log), console: terminal.text };
}

function within(promise, ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('the guest did not power off')), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

let failures = 0;
let visitedGuests = 0;
const qemu = !options['no-qemu'] && hasQemu();
if (!qemu) console.log('judge-guests: without QEMU every complaint counts');
for (const guest of GUESTS) {
  if (positionals.length > 0 && !positionals.includes(guest.name)) continue;
  visitedGuests++;
  const machine = {
    kernel: await openGuestFile(guest.kernel, options.guests),
    initrd: await openGuestFile(guest.initrd, options.guests),
    firmware: guest.firmware === undefined ? undefined : await openGuestFile(guest.firmware, options.guests),
    is32: guest.is32 ?? false,
    append: APPEND,
    memoryMiB: MEMORY_MIB,
    timeoutMs: 2 * timeoutMs,
  };
  const ours = await visit((g) => bootTrapeze(g, dist), machine);
  const theirs = qemu
    ? await visit(bootQemu, machine)
    : { lines: [], wrong: [], shellSeconds: Number.NaN, outputs: '', console: '' };
  let complaints = onlyIn(ours.lines, theirs.lines, options.all);
  // A calibration that a busy host disturbed is not disturbed every time: only what comes again counts.
  for (let again = 0; again < AGAIN && complaints.length > 0 && !options.all; again++) {
    const { lines } = await visit((g) => bootTrapeze(g, dist), machine);
    const gone = onlyIn(complaints, lines, true);
    for (const line of gone) console.log(`  ${guest.name}, once only: ${line}`);
    complaints = complaints.filter((line) => !gone.includes(line));
  }
  const seconds = (value) => `${value.toFixed(1)} s`;
  console.log(`${guest.name}: shell after ${seconds(ours.shellSeconds)}, QEMU ${seconds(theirs.shellSeconds)}`);
  for (const line of ours.wrong) console.log(`  wrong: ${line}`);
  for (const line of theirs.wrong) console.log(`  QEMU: ${line}`);
  for (const line of complaints) console.log(`  + ${line}`);
  if (options.all) for (const line of onlyIn(theirs.lines, ours.lines, true)) console.log(`  - ${line}`);
  failures += ours.wrong.length + (options.all ? 0 : complaints.length);
  if (options.keep !== undefined) {
    mkdirSync(options.keep, { recursive: true });
    for (const [who, what] of Object.entries({ ours, theirs })) {
      writeFileSync(join(options.keep, `${guest.name}-${who}.log`), `${what.lines.join('\n')}\n`);
      writeFileSync(join(options.keep, `${guest.name}-${who}.console`), what.console);
      writeFileSync(join(options.keep, `${guest.name}-${who}.out`), what.outputs);
    }
  }
}
console.log(`judge-guests: ${visitedGuests} guests booted and powered off, ${failures} failures`);
process.exitCode = failures > 0 ? 1 : 0;
