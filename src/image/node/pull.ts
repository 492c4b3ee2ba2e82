/** Pulling guest images: package sources on one side, the cache on the other. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ImageSourceError } from '../../base/errors.js';
import { buildBusyboxInitramfs } from '../busybox-initramfs.js';
import { type ImageSpec, imageSpec } from '../catalogue.js';
import { TarPicker } from '../tar.js';
import { AptSource } from './apt.js';
import { BUSYBOX_FILE, FIRMWARE_FILE, type ImageCache, type ImageRecord, INITRD_FILE, KERNEL_FILE } from './cache.js';
import { runProgram } from './process.js';

export interface PullProgress {
  readonly image: string;
  readonly step: 'package lists' | 'package' | 'unpacking';
  /** 0 to 1 within the step. */
  readonly fraction: number;
  /** Package and version, once known. */
  readonly detail: string;
}

export type OnPullProgress = (progress: PullProgress) => void;

/** Fetches the newest version of an image; nothing is downloaded but lists when the cache has it already. */
export async function pull(
  name: string,
  onProgress: OnPullProgress = () => undefined,
  cache: ImageCache,
): Promise<ImageRecord> {
  const spec = imageSpec(name);
  return await cache.withWorkDirectory(async (directory) => {
    const report = (step: PullProgress['step'], fraction: number, detail = spec.package): void =>
      onProgress({ image: name, step, fraction, detail });
    report('package lists', 0);
    const source = await AptSource.open(join(directory, 'apt'), spec.architecture);
    await source.update((fraction) => report('package lists', fraction));
    const info = await source.resolve(spec.package);
    const detail = `${info.package} ${info.version}`;

    const known = await cache.record(name);
    if (known?.package === info.package && known.packageVersion === info.version && (await isWhole(cache, known))) {
      report('unpacking', 1, detail);
      return known;
    }
    const file = await source.download(info, (fraction) => report('package', fraction, detail));
    const checksum = await fileSha256(file);
    if (checksum !== info.sha256) {
      throw new ImageSourceError(`${detail} does not have the checksum its source names; try again later`);
    }
    report('unpacking', 0, detail);
    const files = await unpack(spec, file);
    const record = await cache.store(
      {
        name,
        package: info.package,
        packageVersion: info.version,
        architecture: info.architecture,
        packageSha256: info.sha256,
        pulledAt: new Date().toISOString(),
      },
      files,
    );
    report('unpacking', 1, detail);
    return record;
  });
}

async function isWhole(cache: ImageCache, record: ImageRecord): Promise<boolean> {
  try {
    for (const file of record.files) await cache.read(record, file.name);
    return true;
  } catch {
    return false;
  }
}

async function unpack(spec: ImageSpec, packageFile: string): Promise<Record<string, Uint8Array>> {
  if (spec.kind === 'kernel') {
    return { [KERNEL_FILE]: await pickFile(packageFile, (path) => path.startsWith('boot/vmlinuz-'), 'a kernel') };
  }
  if (spec.kind === 'firmware') {
    return { [FIRMWARE_FILE]: await pickFile(packageFile, (path) => path === spec.rom, 'firmware') };
  }
  const busybox = await pickFile(packageFile, (path) => /^(usr\/)?bin\/busybox$/.test(path), 'busybox');
  return { [BUSYBOX_FILE]: busybox, [INITRD_FILE]: buildBusyboxInitramfs(busybox) };
}

/** One file of a Debian package. dpkg-deb is there wherever apt is. */
async function pickFile(packageFile: string, isIt: (path: string) => boolean, what: string): Promise<Uint8Array> {
  const picker = new TarPicker(isIt);
  await runProgram('dpkg-deb', ['--fsys-tarfile', packageFile], { onOutput: (chunk) => picker.push(chunk) });
  if (picker.found !== undefined) return picker.found;
  throw new ImageSourceError(`${packageFile} holds no file for ${what}; use --kernel FILE --initrd FILE`);
}

async function fileSha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
