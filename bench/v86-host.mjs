// v86 as a command: node bench/v86-host.mjs PACKAGE BIOS KERNEL INITRD APPEND
// The guest's first serial port is standard output; a line DONE ends the run, for this machine has no power switch.
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [directory, bios, kernel, initrd, append] = process.argv.slice(2);
const { V86 } = await import(pathToFileURL(join(directory, 'build/libv86.mjs')).href);

const image = (path) => {
  const bytes = readFileSync(path);
  return { buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) };
};

const machine = new V86({
  wasm_path: join(directory, 'build/v86.wasm'),
  memory_size: 512 * 2 ** 20,
  vga_memory_size: 2 * 2 ** 20,
  bios: image(bios),
  bzimage: image(kernel),
  initrd: image(initrd),
  cmdline: append,
  disable_speaker: true,
  autostart: true,
});
let line = '';
machine.add_listener('serial0-output-byte', (byte) => {
  line += String.fromCharCode(byte);
  if (byte !== 10) return;
  writeSync(1, line);
  if (/^DONE\r?\n$/.test(line)) process.exit(0);
  line = '';
});
