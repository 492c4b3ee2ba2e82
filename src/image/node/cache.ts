/**
 * Pulled images on the host's disk: one directory each under ~/.cache/trapeze/images, with a record of what is in it.
 * Directories are made aside and renamed into place, so an interrupted pull leaves nothing half-done and two at a time
 * do no harm.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { HostFileError, ImageSourceError } from '../../base/errors.js';
import type { ImageKind } from '../catalogue.js';
import { readShared } from './shared-file.js';

export interface CachedFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** `image.json` of an image's directory. */
export interface ImageRecord {
  readonly version: 1;
  readonly name: string;
  readonly package: string;
  readonly packageVersion: string;
  readonly architecture: string;
  readonly packageSha256: string;
  readonly pulledAt: string;
  readonly files: readonly CachedFile[];
}

/** Names of files in an image's directory. */
export const KERNEL_FILE = 'vmlinuz';
export const BUSYBOX_FILE = 'busybox';
export const INITRD_FILE = 'initrd.cpio';
export const FIRMWARE_FILE = 'firmware.rom';
/** The file an image is there for. */
export const MAIN_FILE: Readonly<Record<ImageKind, string>> = {
  kernel: KERNEL_FILE,
  busybox: INITRD_FILE,
  firmware: FIRMWARE_FILE,
};

const RECORD = 'image.json';
const WORK_PREFIX = '.work-';

/** XDG Base Directory Specification: a relative XDG_CACHE_HOME is to be ignored. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment.XDG_CACHE_HOME;
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), '.cache'), 'trapeze');
}

export class ImageCache {
  private readonly directory: string;

  constructor(directory = join(cacheDirectory(), 'images')) {
    this.directory = directory;
  }

  async records(): Promise<ImageRecord[]> {
    const names = await readdir(this.directory).catch(() => []);
    const records = await Promise.all(names.filter((name) => !name.startsWith('.')).map((name) => this.record(name)));
    return records.filter((record) => record !== undefined).sort((a, b) => a.name.localeCompare(b.name));
  }

  /** undefined when the image is not there or its record is damaged: pulling again mends both. */
  async record(name: string): Promise<ImageRecord | undefined> {
    try {
      const record: unknown = JSON.parse(await readFile(join(this.directory, name, RECORD), 'utf8'));
      return isRecord(record) && record.name === name ? record : undefined;
    } catch {
      return undefined;
    }
  }

  path(record: ImageRecord, file: string): string {
    return join(this.directory, record.name, file);
  }

  /** A file's bytes, checked against the record. */
  async read(record: ImageRecord, name: string): Promise<Uint8Array> {
    const path = this.path(record, name);
    const expected = record.files.find((file) => file.name === name);
    const bytes = await readShared(path).catch(() => undefined);
    if (expected !== undefined && bytes !== undefined && sha256(bytes) === expected.sha256) return bytes;
    throw new ImageSourceError(
      `${path} is missing or damaged; run "trapeze image remove ${record.name}" and "trapeze image pull ${record.name}"`,
    );
  }

  /** A directory for work in progress, removed afterwards whatever happens. */
  async withWorkDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
    const directory = await this.makeWorkDirectory();
    try {
      return await work(directory);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** Writes the files and their record, replacing an image of the same name. */
  async store(
    image: Omit<ImageRecord, 'version' | 'files'>,
    files: Readonly<Record<string, Uint8Array>>,
  ): Promise<ImageRecord> {
    const record: ImageRecord = {
      version: 1,
      ...image,
      files: Object.entries(files).map(([name, bytes]) => ({ name, sizeBytes: bytes.length, sha256: sha256(bytes) })),
    };
    const fresh = await this.makeWorkDirectory();
    const old = await this.makeWorkDirectory();
    const target = join(this.directory, image.name);
    try {
      for (const [name, bytes] of Object.entries(files)) await writeFile(join(fresh, name), bytes);
      await writeFile(join(fresh, RECORD), `${JSON.stringify(record, null, 2)}\n`);
      await rename(target, join(old, 'image')).catch(ignoreMissing);
      await rename(fresh, target);
    } finally {
      await rm(fresh, { recursive: true, force: true });
      await rm(old, { recursive: true, force: true });
    }
    return record;
  }

  /** False when there was no such image. */
  async remove(name: string): Promise<boolean> {
    const existed = (await readdir(join(this.directory, name)).catch(() => undefined)) !== undefined;
    await rm(join(this.directory, name), { recursive: true, force: true });
    return existed;
  }

  private async makeWorkDirectory(): Promise<string> {
    try {
      await mkdir(this.directory, { recursive: true });
      return await mkdtemp(join(this.directory, WORK_PREFIX));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new HostFileError(`the image cache ${this.directory} cannot be written (${reason}); set XDG_CACHE_HOME`, {
        cause,
      });
    }
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

function isRecord(value: unknown): value is ImageRecord {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Partial<Record<keyof ImageRecord, unknown>>;
  const texts = [record.name, record.package, record.packageVersion, record.architecture, record.pulledAt];
  return record.version === 1 && texts.every((text) => typeof text === 'string') && isFileList(record.files);
}

function isFileList(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every(
      (file: Partial<Record<keyof CachedFile, unknown>> | null) =>
        typeof file?.name === 'string' &&
        !/[/\\]/.test(file.name) &&
        typeof file.sha256 === 'string' &&
        typeof file.sizeBytes === 'number',
    )
  );
}
