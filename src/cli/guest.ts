/** Which guest a command line means: files of the user, or the default image, pulled at first use. */
import { UsageError } from '../base/errors.js';
import { DEFAULT_INITRD_IMAGE, DEFAULT_KERNEL_IMAGE } from '../image/catalogue.js';
import { findImage, openImage, pullImage } from '../image/node/images.js';
import type { BootModule } from '../machine/boot/boot.js';
import { readGuestFile } from './files.js';
import { parseInitrd } from './options.js';
import type { CommandHost } from './product.js';
import { ProgressBar } from './progress.js';

export interface GuestOptions {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
}

export interface Guest {
  readonly kernel: Uint8Array;
  readonly kernelName: string;
  readonly modules: readonly BootModule[];
  readonly append: string;
  /** It is our own userland, which understands the parameters of image/busybox-initramfs.ts. */
  readonly hasDefaultInit: boolean;
  /** For the greeting. */
  readonly title: string;
}

/** What `run` starts: a guest as above, or firmware, which may have a kernel to offer. */
export interface FirmwareGuest extends Omit<Guest, 'kernel' | 'kernelName'> {
  readonly kernel?: Uint8Array;
  readonly kernelName?: string;
  readonly firmware?: Uint8Array;
  readonly firmwareName?: string;
}

/** What the default kernel is told first, whatever --append adds; --append "" shows the kernel's log. */
const DEFAULT_CONSOLE = 'console=ttyS0';
const DEFAULT_APPEND = 'quiet';

/** The firmware and, where one is named, the kernel it is to start; there is no default kernel. */
export async function openFirmwareGuest(
  path: string,
  options: GuestOptions,
  host: CommandHost,
): Promise<FirmwareGuest> {
  const firmware = await readGuestFile(path, '--firmware');
  const start = { firmware, firmwareName: path };
  if (options.kernel !== undefined) return { ...(await openGuest(options, host)), ...start };
  const [extra] = (['initrd', 'append'] as const).filter((name) => options[name] !== undefined);
  if (extra !== undefined) {
    throw new UsageError(`--${extra} needs a kernel, and firmware has none of its own; add --kernel FILE`);
  }
  return { ...start, modules: [], append: '', hasDefaultInit: false, title: path };
}

export async function openGuest(options: GuestOptions, host: CommandHost): Promise<Guest> {
  const modules: BootModule[] = [];
  // Read before anything is pulled, so that a wrong path costs no download.
  for (const { path, args } of options.initrd === undefined ? [] : parseInitrd(options.initrd)) {
    modules.push({ data: await readGuestFile(path, '--initrd'), args, name: path });
  }
  if (options.kernel !== undefined) {
    const kernel = await readGuestFile(options.kernel, '--kernel');
    const append = options.append ?? '';
    return { kernel, kernelName: options.kernel, modules, append, hasDefaultInit: false, title: options.kernel };
  }

  const kernel = await openDefault(DEFAULT_KERNEL_IMAGE, host);
  const hasDefaultInit = options.initrd === undefined;
  if (hasDefaultInit) {
    const initrd = await openDefault(DEFAULT_INITRD_IMAGE, host);
    modules.push({ data: initrd.bytes, args: '', name: DEFAULT_INITRD_IMAGE });
  }
  return {
    kernel: kernel.bytes,
    kernelName: DEFAULT_KERNEL_IMAGE,
    modules,
    append: `${DEFAULT_CONSOLE} ${options.append ?? DEFAULT_APPEND}`.trim(),
    hasDefaultInit,
    title: kernel.title,
  };
}

async function openDefault(name: string, host: CommandHost): Promise<{ bytes: Uint8Array; title: string }> {
  let record = await findImage(name);
  if (record === undefined) {
    const bar = new ProgressBar(host.errors);
    try {
      record = await pullImage(name, (progress) => bar.show(progress));
    } finally {
      bar.close();
    }
  }
  return { bytes: await openImage(record), title: `${record.name} ${record.packageVersion}` };
}
