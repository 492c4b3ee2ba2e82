/** The guest images that can be pulled by name, and what each is made of. */
import { UsageError } from '../base/errors.js';

export type ImageKind = 'kernel' | 'busybox' | 'firmware';

export interface ImageSpec {
  readonly name: string;
  readonly summary: string;
  /**
   * `kernel`: the bzImage of a kernel package. `busybox`: an initramfs around the static busybox of a package. `firmware`:
   * the ROM of a BIOS package.
   */
  readonly kind: ImageKind;
  /** Debian package; a metapackage is resolved to the newest real one. */
  readonly package: string;
  readonly architecture: 'amd64' | 'i386';
  /** The ROM's path in a package of firmware. */
  readonly rom?: string;
}

export const IMAGES: readonly ImageSpec[] = [
  {
    name: 'debian-cloud',
    summary: "Debian's kernel for cloud guests",
    kind: 'kernel',
    package: 'linux-image-cloud-amd64',
    architecture: 'amd64',
  },
  {
    name: 'debian',
    summary: "Debian's kernel for PCs and servers",
    kind: 'kernel',
    package: 'linux-image-amd64',
    architecture: 'amd64',
  },
  {
    name: 'debian-rt',
    summary: "Debian's real-time kernel",
    kind: 'kernel',
    package: 'linux-image-rt-amd64',
    architecture: 'amd64',
  },
  {
    name: 'debian-686',
    summary: "Debian's 32-bit kernel without PAE",
    kind: 'kernel',
    package: 'linux-image-686',
    architecture: 'i386',
  },
  {
    name: 'debian-686-pae',
    summary: "Debian's 32-bit kernel with PAE",
    kind: 'kernel',
    package: 'linux-image-686-pae',
    architecture: 'i386',
  },
  {
    name: 'busybox',
    summary: 'initramfs with a shell and the usual small tools',
    kind: 'busybox',
    package: 'busybox-static',
    architecture: 'amd64',
  },
  {
    name: 'busybox-i386',
    summary: 'the same with a 32-bit busybox',
    kind: 'busybox',
    package: 'busybox-static',
    architecture: 'i386',
  },
  {
    name: 'seabios',
    summary: 'a BIOS for --firmware',
    kind: 'firmware',
    package: 'seabios',
    architecture: 'amd64',
    rom: 'usr/share/seabios/bios-256k.bin',
  },
  {
    name: 'ovmf',
    summary: 'a UEFI firmware for --firmware',
    kind: 'firmware',
    package: 'ovmf',
    architecture: 'amd64',
    rom: 'usr/share/ovmf/OVMF.fd',
  },
];

/** What `trapeze run` boots when no kernel is named. */
export const DEFAULT_KERNEL_IMAGE = 'debian-cloud';
export const DEFAULT_INITRD_IMAGE = 'busybox';

export function imageSpec(name: string): ImageSpec {
  const spec = IMAGES.find((image) => image.name === name);
  if (spec !== undefined) return spec;
  throw new UsageError(`there is no image named "${name}"; there are ${IMAGES.map((image) => image.name).join(', ')}`);
}
