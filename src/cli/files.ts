/** Host files the command reads and writes, with errors that say which one and why. */
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { HostFileError } from '../base/errors.js';
import { readShared } from '../image/node/shared-file.js';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission is denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is not a directory',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only',
  ELOOP: 'there are too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  EMFILE: 'too many files are open',
};

/** More than any guest's memory: a larger file cannot be loaded whatever it is. */
const MAX_FILE_SIZE = 3 * 1024 * 1024 * 1024;

export async function readGuestFile(path: string, option: string): Promise<Uint8Array> {
  try {
    const status = statSync(path);
    // Devices and pipes may never end.
    if (!status.isFile()) {
      const what = status.isDirectory() ? 'a directory' : 'not a regular file';
      throw new HostFileError(`${option} ${path}: this is ${what}; give a file`);
    }
    if (status.size > MAX_FILE_SIZE) {
      throw new HostFileError(
        `${option} ${path}: the file has ${status.size} bytes and no guest has more than 3 GiB of memory`,
      );
    }
    return await readShared(path);
  } catch (cause) {
    if (cause instanceof HostFileError) throw cause;
    throw new HostFileError(`${option} ${path} cannot be read: ${reasonOf(cause)}; check the path`, { cause });
  }
}

/** A file that grows while the guest runs; written at once, so that nothing is lost whatever happens to us. */
export class OutputFile {
  private readonly path: string;
  private readonly option: string;
  private descriptor: number | undefined;

  constructor(path: string, option: string) {
    this.path = path;
    this.option = option;
    try {
      this.descriptor = openSync(path, 'w');
    } catch (cause) {
      throw this.failure(cause);
    }
  }

  write(bytes: Uint8Array): void {
    try {
      for (let at = 0; at < bytes.length && this.descriptor !== undefined; )
        at += writeSync(this.descriptor, bytes, at);
    } catch (cause) {
      throw this.failure(cause);
    }
  }

  close(): void {
    if (this.descriptor !== undefined) closeSync(this.descriptor);
    this.descriptor = undefined;
  }

  private failure(cause: unknown): HostFileError {
    return new HostFileError(`${this.option} ${this.path} cannot be written: ${reasonOf(cause)}; check the path`, {
      cause,
    });
  }
}

export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code !== undefined && code in REASONS) return REASONS[code];
  return error instanceof Error ? error.message : String(error);
}
