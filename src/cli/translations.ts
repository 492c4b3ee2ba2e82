/** Where `run` keeps the translations of a guest from one start to the next: a file for each guest and each translator. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { HostFileError } from '../base/errors.js';
import { cacheDirectory } from '../image/node/cache.js';
import type { FirmwareGuest } from './guest.js';

/** In place of a directory. */
const NONE = 'none';
const SUFFIX = '.regions';
/** All files together; the ones that were not used for longest go first. */
const MAX_BYTES = 512 << 20;
/** What tells one image from another: its size, its beginning and its end. */
const SAMPLE = 65536;

/** `where`: a directory, or none; absent: under the cache. Undefined where nothing is kept. */
export async function translationsFile(where: string | undefined, guest: FirmwareGuest): Promise<string | undefined> {
  if (where === NONE) return undefined;
  const directory = where ?? join(cacheDirectory(), 'translations');
  try {
    const translator = await readFile(new URL('../translator-id', import.meta.url), 'utf8');
    await mkdir(directory, { recursive: true });
    const path = join(directory, `${guestId(guest)}-${translator.trim()}${SUFFIX}`);
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
    await prune(directory, path);
    return path;
  } catch (error) {
    // A directory that was asked for must be there; without our own, guests only start as they did the first time.
    if (where !== undefined) {
      const reason = error instanceof Error ? error.message : String(error);
      const message = `--translations ${where} cannot be used: ${reason}; give a directory, or none`;
      throw new HostFileError(message, { cause: error });
    }
    return undefined;
  }
}

function guestId({ kernel, firmware, modules }: FirmwareGuest): string {
  const hash = createHash('sha256');
  for (const image of [kernel, firmware, ...modules.map(({ data }) => data)]) {
    const bytes = image ?? new Uint8Array(0);
    hash.update(`${bytes.length}\n`).update(bytes.subarray(0, SAMPLE)).update(bytes.subarray(-SAMPLE));
  }
  return hash.digest('hex').slice(0, 16);
}

async function prune(directory: string, kept: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(SUFFIX));
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(directory, name);
      const { size, mtimeMs } = await stat(path);
      return { path, size, mtimeMs };
    }),
  );
  let bytes = 0;
  for (const { path, size } of files.sort((a, b) => b.mtimeMs - a.mtimeMs)) {
    bytes += size;
    if (bytes > MAX_BYTES && path !== kept) await rm(path, { force: true });
  }
}
