/** The one entry point of the boot loaders: what a file is, its content says. */

import { ByteView } from '../../base/byte-view.js';
import { BadImageError } from '../../base/errors.js';
import type { BootOptions, InitialState } from './boot.js';
import { isElf, readElf } from './elf.js';
import { GuestWriter } from './guest-writer.js';
import { isLinux, loadLinux } from './linux.js';
import { findMultiboot1, loadMultiboot1 } from './multiboot1.js';
import { findMultiboot2, loadMultiboot2 } from './multiboot2.js';
import { loadPvh, pvhEntry } from './pvh.js';

const ACCEPTED = 'a Linux bzImage, an ELF file with a PVH note, or a Multiboot 1 or 2 image';

/** Writes the guest into `ram` (GPA 0 first) and returns the first processor's state. Throws TrapezeError only. */
export function loadGuest(ram: Uint8Array, options: BootOptions): InitialState {
  const image = new ByteView(options.kernel, options.kernelName ?? 'the kernel');
  if (image.length === 0) throw image.fail(`the file is empty; give ${ACCEPTED}`);
  if (options.append.includes('\0')) throw new BadImageError('the command line holds a zero byte; remove it');
  const guest = new GuestWriter(ram, options);

  if (isLinux(image)) return loadLinux(image, guest, options);
  if (isElf(image)) {
    const elf = readElf(image);
    const entry = pvhEntry(image, elf);
    if (entry !== undefined) return loadPvh(image, elf, entry, guest, options);
  }
  const multiboot2 = findMultiboot2(image);
  if (multiboot2 !== undefined) return loadMultiboot2(image, multiboot2, guest, options);
  const multiboot1 = findMultiboot1(image);
  if (multiboot1 !== undefined) return loadMultiboot1(image, multiboot1, guest, options);
  throw image.fail(`this is not a kernel that can be started here; give ${ACCEPTED}`);
}
