/**
 * The ELF kernel inside a bzImage: its payload, decompressed. Linux documentation, "The Linux/x86 Boot Protocol",
 * payload_offset and payload_length. The last four bytes of the payload are the size of what it decompresses to.
 */
import { ByteView } from '../base/byte-view.js';
import { isLinux } from '../machine/boot/linux.js';
import { SETUP } from '../spec/boot/linux.js';
import { decompressLz4Legacy } from './lz4.js';

/** More than any kernel unpacks to; keeps a hostile size field from reserving the host's memory. */
const MAX_VMLINUX_SIZE = 512 * 1024 * 1024;
const ELF_MAGIC = 0x464c457f;
const VERSION_PAYLOAD = 0x0208;

/** First bytes of what kernels are compressed with. */
const COMPRESSIONS: readonly { readonly name: string; readonly magic: readonly number[] }[] = [
  { name: 'LZ4', magic: [0x02, 0x21, 0x4c, 0x18] },
  { name: 'gzip', magic: [0x1f, 0x8b] },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68] },
  { name: 'LZMA', magic: [0x5d, 0x00, 0x00] },
  { name: 'LZO', magic: [0x89, 0x4c, 0x5a, 0x4f] },
];

export async function extractVmlinux(bzImage: Uint8Array, name = 'the kernel'): Promise<Uint8Array> {
  const image = new ByteView(bzImage, name);
  if (!isLinux(image)) throw image.fail('this is not a Linux bzImage; give one');
  if (image.u16(SETUP.VERSION) < VERSION_PAYLOAD) {
    throw image.fail(
      'its boot protocol is older than 2.08 and does not say where the ELF kernel is; use it as a bzImage',
    );
  }
  const start = ((image.u8(SETUP.SETUP_SECTS) || 4) + 1) * 512 + image.u32(SETUP.PAYLOAD_OFFSET);
  const payload = image.slice(start, image.u32(SETUP.PAYLOAD_LENGTH));
  const kind = COMPRESSIONS.find(({ magic }) => magic.every((byte, index) => payload[index] === byte));
  if (payload.length < 8 || kind === undefined) {
    throw image.fail('its payload is not compressed in a known way; use it as a bzImage');
  }
  const body = payload.subarray(0, payload.length - 4);
  const size = new DataView(payload.buffer, payload.byteOffset + payload.length - 4, 4).getUint32(0, true);
  if (size > MAX_VMLINUX_SIZE) throw image.fail(`the header is damaged: it claims an ELF kernel of ${size} bytes`);

  const vmlinux = await decompress(image, kind.name, body, size);
  if (vmlinux.length !== size || new ByteView(vmlinux, name).u32(0) !== ELF_MAGIC) {
    throw image.fail('the payload does not decompress to the ELF kernel it promises; get a complete copy of it');
  }
  return vmlinux;
}

async function decompress(image: ByteView, kind: string, body: Uint8Array, size: number): Promise<Uint8Array> {
  if (kind === 'LZ4') return decompressLz4Legacy(body, size);
  if (kind === 'gzip') return await gunzip(image, body, size);
  throw image.fail(`its payload is compressed with ${kind}, which is not unpacked here; use the kernel as a bzImage`);
}

/** The format has no bound of its own, so reading stops one chunk after the promised size. */
async function gunzip(image: ByteView, body: Uint8Array, size: number): Promise<Uint8Array> {
  const output = new Uint8Array(size);
  let filled = 0;
  const reader = new Blob([body as BlobPart]).stream().pipeThrough(new DecompressionStream('gzip')).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (value.length > size - filled) break;
      output.set(value, filled);
      filled += value.length;
    }
  } catch (cause) {
    throw image.fail('its gzip payload is damaged; get a complete copy of it', cause);
  } finally {
    // An error of the stream was reported above.
    await reader.cancel().catch(() => undefined);
  }
  return output.subarray(0, filled);
}
