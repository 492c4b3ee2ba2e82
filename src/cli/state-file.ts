/** The file of `--save`: whole or not there, whatever happens while it is written. */
import { closeSync, openSync, rmSync, statSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { HostFileError } from '../base/errors.js';
import { reasonOf } from './files.js';

export class StateFile {
  readonly path: string;
  private readonly unfinished: string;

  /** Throws HostFileError for a place where no file can be written, before the guest runs for nothing. */
  constructor(path: string) {
    this.path = path;
    this.unfinished = `${path}.part`;
    try {
      if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) {
        throw new HostFileError(`--save ${path}: this is no regular file; give a file`);
      }
      closeSync(openSync(this.unfinished, 'w'));
      rmSync(this.unfinished);
    } catch (cause) {
      throw this.failure(cause);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      // The guest's secrets are in it.
      await writeFile(this.unfinished, bytes, { mode: 0o600 });
      await rename(this.unfinished, this.path);
    } catch (cause) {
      await rm(this.unfinished, { force: true });
      throw this.failure(cause);
    }
  }

  private failure(cause: unknown): HostFileError {
    if (cause instanceof HostFileError) return cause;
    return new HostFileError(`--save ${this.path} cannot be written: ${reasonOf(cause)}; check the path`, { cause });
  }
}
