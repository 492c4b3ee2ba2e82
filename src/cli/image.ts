/** `trapeze image pull|list|remove|extract`. */
import { writeFile } from 'node:fs/promises';
import { HostFileError, UsageError } from '../base/errors.js';
import { DEFAULT_INITRD_IMAGE, DEFAULT_KERNEL_IMAGE, IMAGES, imageSpec } from '../image/catalogue.js';
import { ImageCache, type ImageRecord, MAIN_FILE } from '../image/node/cache.js';
import { listImages, pullImage, removeImage } from '../image/node/images.js';
import { extractVmlinux } from '../image/vmlinux.js';
import { readGuestFile } from './files.js';
import type { CommandHost } from './product.js';
import { ProgressBar } from './progress.js';

interface JsonOption {
  readonly json?: boolean;
}

export async function imagePull(names: readonly string[], options: JsonOption, host: CommandHost): Promise<number> {
  const wanted = names.length > 0 ? names : [DEFAULT_KERNEL_IMAGE, DEFAULT_INITRD_IMAGE];
  // A wrong name is found before the first download.
  for (const name of wanted) imageSpec(name);
  const records: ImageRecord[] = [];
  for (const name of wanted) {
    const bar = new ProgressBar(host.errors);
    try {
      records.push(await pullImage(name, (progress) => bar.show(progress)));
    } finally {
      bar.close();
    }
  }
  print(records, options, host);
  return 0;
}

export async function imageList(options: JsonOption, host: CommandHost): Promise<number> {
  const records = await listImages();
  print(records, options, host);
  if (options.json === true) return 0;
  const missing = IMAGES.filter((image) => !records.some((record) => record.name === image.name));
  if (missing.length > 0) {
    const width = Math.max(...missing.map((image) => image.name.length));
    const lines = missing.map((image) => `  ${image.name.padEnd(width)}  ${image.summary}`);
    host.output.write(`${['can be pulled:', ...lines].join('\n')}\n`);
  }
  return 0;
}

export async function imageRemove(names: readonly string[], host: CommandHost): Promise<number> {
  for (const name of names) imageSpec(name);
  for (const name of names) {
    if (!(await removeImage(name))) throw new UsageError(`the image ${name} is not here; see "trapeze image list"`);
    host.output.write(`${name} removed\n`);
  }
  return 0;
}

export async function imageExtract(kernel: string, output: string, host: CommandHost): Promise<number> {
  const vmlinux = await extractVmlinux(await readGuestFile(kernel, 'the kernel'), kernel);
  try {
    await writeFile(output, vmlinux);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HostFileError(`${output} cannot be written: ${reason}; check the path`, { cause });
  }
  host.output.write(`${output}: ${vmlinux.length} bytes\n`);
  return 0;
}

function print(records: readonly ImageRecord[], options: JsonOption, host: CommandHost): void {
  const cache = new ImageCache();
  const main = (record: ImageRecord): string => cache.path(record, MAIN_FILE[imageSpec(record.name).kind]);
  const known = records.filter((record) => IMAGES.some((image) => image.name === record.name));
  if (options.json === true) {
    const list = known.map((record) => ({ ...record, path: main(record) }));
    host.output.write(`${JSON.stringify(list, null, 2)}\n`);
    return;
  }
  for (const record of known) {
    host.output.write(`${record.name}  ${record.package} ${record.packageVersion}\n  ${main(record)}\n`);
  }
}
