/**
 * Devices' access to guest RAM. What is written there may have been code: the engine is told.
 * @deviation the host bridge's memory attributes apply to the processor alone.
 */
import { type DmaMemory, flatDma } from '../device/dma.js';

export function guestDma(ram: Uint8Array, written: (gpa: number, sizeBytes: number) => void): DmaMemory {
  const flat = flatDma(ram);
  return {
    read: (gpa, target) => flat.read(gpa, target),
    write: (gpa, source) => {
      if (!flat.write(gpa, source)) return false;
      if (source.length > 0) written(gpa, source.length);
      return true;
    },
  };
}
