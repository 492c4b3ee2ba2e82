/**
 * Writing cpio archives in the "new ASCII" format, the form of an initramfs. Linux documentation, "initramfs buffer
 * format". Everything belongs to root and has time 0, so equal input gives equal bytes.
 *
 *   header: "070701", then 13 fields of 8 hexadecimal digits | name, zero, padding to 4 | data, padding to 4
 */

export type CpioEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode?: number }
  | { readonly kind: 'file'; readonly path: string; readonly data: Uint8Array | string; readonly mode?: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'character-device';
      readonly path: string;
      readonly major: number;
      readonly minor: number;
      readonly mode?: number;
    };

const MAGIC = '070701';
const HEADER_SIZE = 110;
const ALIGN = 4;
const TRAILER = 'TRAILER!!!';
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const S_IFCHR = 0o020000;
const MAX_FILE_SIZE = 0xffffffff;

/** `allocate` gives the zeroed memory of the archive. */
export function writeCpio(
  entries: readonly CpioEntry[],
  allocate = (size: number): Uint8Array => new Uint8Array(size),
): Uint8Array {
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [];
  entries.forEach((entry, index) => {
    const data = contents(entry, encoder);
    if (data.length > MAX_FILE_SIZE) throw new RangeError(`${entry.path} is too large for a cpio archive`);
    const [major, minor] = entry.kind === 'character-device' ? [entry.major, entry.minor] : [0, 0];
    const links = entry.kind === 'directory' ? 2 : 1;
    parts.push(header(index + 1, mode(entry), links, data.length, major, minor, entry.path, encoder), data);
  });
  parts.push(header(0, 0, 1, 0, 0, 0, TRAILER, encoder));
  const archive = allocate(parts.reduce((sum, part) => sum + roundUp(part.length), 0));
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += roundUp(part.length);
  }
  return archive;
}

function contents(entry: CpioEntry, encoder: TextEncoder): Uint8Array {
  if (entry.kind === 'symlink') return encoder.encode(entry.target);
  if (entry.kind !== 'file') return new Uint8Array(0);
  return typeof entry.data === 'string' ? encoder.encode(entry.data) : entry.data;
}

function mode(entry: CpioEntry): number {
  switch (entry.kind) {
    case 'directory':
      return S_IFDIR | (entry.mode ?? 0o755);
    case 'file':
      return S_IFREG | (entry.mode ?? 0o644);
    case 'symlink':
      return S_IFLNK | 0o777;
    case 'character-device':
      return S_IFCHR | (entry.mode ?? 0o600);
  }
}

function header(
  inode: number,
  fileMode: number,
  links: number,
  size: number,
  major: number,
  minor: number,
  path: string,
  encoder: TextEncoder,
): Uint8Array {
  const name = encoder.encode(`${path}\0`);
  // inode mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, fileMode, 0, 0, links, 0, size, 0, 0, major, minor, name.length, 0];
  const text = MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join('');
  const bytes = new Uint8Array(roundUp(HEADER_SIZE + name.length));
  bytes.set(encoder.encode(text));
  bytes.set(name, HEADER_SIZE);
  return bytes;
}

function roundUp(size: number): number {
  return Math.ceil(size / ALIGN) * ALIGN;
}
