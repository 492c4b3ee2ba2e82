/**
 * LZ4 "legacy" frames, as Debian's kernels are compressed. LZ4 Frame Format Description, "Legacy frame", and LZ4 Block
 * Format Description.
 *
 *   frame:    magic 0x184c2102, then { u32 compressed size, block }*; the magic may recur between blocks
 *   sequence: token (literal length 7:4, match length - 4 in 3:0), length bytes, literals, u16 offset, length bytes
 */
import { BadImageError } from '../base/errors.js';

export const LZ4_LEGACY_MAGIC = 0x184c2102;
const MIN_MATCH = 4;
/** A legacy block decompresses to at most 8 MiB. */
const MAX_BLOCK_OUTPUT = 8 * 1024 * 1024;
/** Below this a byte loop beats the call of a bulk copy. */
const BULK_COPY = 24;

/** Decompresses `source` into at most `outputSize` bytes; damaged input is a BadImageError. */
export function decompressLz4Legacy(source: Uint8Array, outputSize: number): Uint8Array {
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  if (source.length < 4 || view.getUint32(0, true) !== LZ4_LEGACY_MAGIC) throw damaged('no LZ4 legacy magic');
  const output = new Uint8Array(outputSize);
  let at = 4;
  let filled = 0;
  while (at + 4 <= source.length) {
    const size = view.getUint32(at, true);
    at += 4;
    if (size === LZ4_LEGACY_MAGIC) continue;
    if (size === 0 || size > source.length - at) throw damaged('a block is cut off');
    filled = decompressBlock(source.subarray(at, at + size), output, filled);
    at += size;
  }
  return output.subarray(0, filled);
}

function decompressBlock(block: Uint8Array, output: Uint8Array, start: number): number {
  const limit = Math.min(output.length, start + MAX_BLOCK_OUTPUT);
  let from = 0;
  let to = start;
  while (from < block.length) {
    const token = block[from++];

    let literals = token >> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255) {
        if (from >= block.length) throw damaged('a length runs past its block');
        more = block[from++];
        literals += more;
      }
    }
    if (literals > block.length - from || literals > limit - to) throw damaged('literals run past the end');
    if (literals < BULK_COPY) for (let i = 0; i < literals; i++) output[to + i] = block[from + i];
    else output.set(block.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    // The last sequence is literals only.
    if (from >= block.length) break;

    if (from + 2 > block.length) throw damaged('an offset is cut off');
    const offset = block[from] | (block[from + 1] << 8);
    from += 2;
    let match = token & 15;
    if (match === 15) {
      let more = 255;
      while (more === 255) {
        if (from >= block.length) throw damaged('a length runs past its block');
        more = block[from++];
        match += more;
      }
    }
    match += MIN_MATCH;
    if (offset === 0 || offset > to - start || match > limit - to) throw damaged('a match points outside of the data');
    // A match may overlap what it writes (run-length coding), which only the byte loop copies rightly.
    if (offset >= match && match >= BULK_COPY) output.copyWithin(to, to - offset, to - offset + match);
    else for (let i = 0; i < match; i++) output[to + i] = output[to - offset + i];
    to += match;
  }
  return to;
}

function damaged(how: string): BadImageError {
  return new BadImageError(`the LZ4 data is damaged (${how}); get a complete copy of the kernel`);
}
