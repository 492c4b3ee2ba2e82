// Kernels and initramfs images for tests: from a directory, or from the image cache, which is filled at first use.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** File name in a directory of guests -> image in the catalogue. */
const IMAGES = {
  vmlinuz: 'debian-cloud',
  'vmlinuz-amd64': 'debian',
  'vmlinuz-rt': 'debian-rt',
  'vmlinuz-686': 'debian-686',
  'vmlinuz-686-pae': 'debian-686-pae',
  'bios-256k.bin': 'seabios',
  'OVMF.fd': 'ovmf',
  'initrd.cpio': 'busybox',
  'initrd-i386.cpio': 'busybox-i386',
};

export async function openGuestFile(name, directory) {
  if (directory !== undefined) return await readFile(join(directory, name));
  if (name === 'vmlinux') {
    const { extractVmlinux } = await import('../../dist/image/vmlinux.js');
    return extractVmlinux(await openGuestFile('vmlinuz'));
  }
  const { findImage, openImage, pullImage } = await import('../../dist/image/node/images.js');
  const image = IMAGES[name];
  return await openImage((await findImage(image)) ?? (await pullImage(image)));
}
