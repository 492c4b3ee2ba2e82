/** Files for guests, read into memory that the vCPU thread shares: nothing of them is copied on the way there. */
import { open } from 'node:fs/promises';

export function allocateShared(size: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(size));
}

/** Rejects with the system's error. A file that shrinks meanwhile is shorter. */
export async function readShared(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const bytes = allocateShared(size);
    let length = 0;
    while (length < size) {
      const { bytesRead } = await file.read(bytes, length, size - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}
