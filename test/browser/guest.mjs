// The guest of these tests: vmlinuz and initrd.cpio of the directory $TRAPEZE_GUESTS, or the default images, which the
// host's package sources give at first use.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DEFAULT_INITRD_IMAGE, DEFAULT_KERNEL_IMAGE } from '../../dist/image/catalogue.js';
import { findImage, openImage, pullImage } from '../../dist/image/node/images.js';

/** {kernel, initrd}, or {missing: reason}. */
export async function openTestGuest(directory = process.env.TRAPEZE_GUESTS) {
  try {
    if (directory !== undefined) {
      return {
        kernel: await readFile(join(directory, 'vmlinuz')),
        initrd: await readFile(join(directory, 'initrd.cpio')),
      };
    }
    const open = async (name) => await openImage((await findImage(name)) ?? (await pullImage(name)));
    return { kernel: await open(DEFAULT_KERNEL_IMAGE), initrd: await open(DEFAULT_INITRD_IMAGE) };
  } catch (error) {
    return { missing: `no guest to boot: ${error.message}` };
  }
}
