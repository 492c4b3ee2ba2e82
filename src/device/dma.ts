/** A device's view of guest RAM. Addresses and lengths are guest-controlled; outside RAM the access fails whole. */
export interface DmaMemory {
  /** Fills `target` from `gpa`; false if any byte of it is not RAM. */
  read(gpa: number, target: Uint8Array): boolean;
  write(gpa: number, source: Uint8Array): boolean;
}

/** RAM that is one array from GPA 0. */
export function flatDma(ram: Uint8Array): DmaMemory {
  const inside = (gpa: number, length: number): boolean => gpa >= 0 && gpa + length <= ram.length;
  return {
    read: (gpa, target) => {
      if (!inside(gpa, target.length)) return false;
      target.set(ram.subarray(gpa, gpa + target.length));
      return true;
    },
    write: (gpa, source) => {
      if (!inside(gpa, source.length)) return false;
      ram.set(source, gpa);
      return true;
    },
  };
}
