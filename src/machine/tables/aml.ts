/**
 * An encoder for the ACPI Machine Language: just the terms a static namespace needs. ACPI, "ACPI Machine Language (AML)
 * Specification" and "Resource Data Types for ACPI". Every function returns the bytes of one term.
 */
export type Aml = readonly number[];

function littleEndian(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff);
}

/** "Package Length Encoding": the length counts its own bytes. */
function withLength(body: Aml): number[] {
  for (let bytes = 1; bytes <= 4; bytes++) {
    const length = body.length + bytes;
    if (bytes === 1 && length < 64) return [length, ...body];
    if (bytes > 1 && length < 2 ** (4 + 8 * (bytes - 1))) {
      return [((bytes - 1) << 6) | (length & 15), ...littleEndian(length >> 4, bytes - 1), ...body];
    }
  }
  throw new RangeError(`AML package of ${body.length} bytes`);
}

function segment(name: string): number[] {
  if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(name)) throw new RangeError(`AML name ${name}`);
  return [...name.padEnd(4, '_')].map((letter) => letter.charCodeAt(0));
}

/** "Name Objects Encoding": `\_SB.PCI0`, `_HID`. */
export function path(name: string): number[] {
  const root = name.startsWith('\\');
  const segments = (root ? name.slice(1) : name).split('.');
  const prefix = segments.length === 1 ? [] : segments.length === 2 ? [0x2e] : [0x2f, segments.length];
  return [...(root ? [0x5c] : []), ...prefix, ...segments.flatMap(segment)];
}

export function integer(value: number): number[] {
  if (value === 0 || value === 1) return [value];
  if (value < 0x100) return [0x0a, value];
  if (value < 0x10000) return [0x0b, ...littleEndian(value, 2)];
  if (value < 0x100000000) return [0x0c, ...littleEndian(value, 4)];
  return [0x0e, ...littleEndian(value, 8)];
}

export function text(value: string): number[] {
  return [0x0d, ...[...value].map((letter) => letter.charCodeAt(0) & 0x7f), 0];
}

/** "EISAID": three letters of five bits and four hexadecimal digits, big-endian. */
export function eisaId(id: string): number[] {
  const letters = [...id.slice(0, 3)].reduce((bits, letter) => (bits << 5) | (letter.charCodeAt(0) - 0x40), 0);
  const product = Number.parseInt(id.slice(3), 16);
  return [0x0c, letters >> 8, letters & 0xff, product >> 8, product & 0xff];
}

export function named(name: string, value: Aml): number[] {
  return [0x08, ...path(name), ...value];
}

export function aPackage(...elements: Aml[]): number[] {
  return [0x12, ...withLength([elements.length, ...elements.flat()])];
}

export function buffer(bytes: Aml): number[] {
  return [0x11, ...withLength([...integer(bytes.length), ...bytes])];
}

export function scope(name: string, ...terms: Aml[]): number[] {
  return [0x10, ...withLength([...path(name), ...terms.flat()])];
}

export function device(name: string, ...terms: Aml[]): number[] {
  return [0x5b, 0x82, ...withLength([...path(name), ...terms.flat()])];
}

/** Not serialized. */
export function method(name: string, args: number, ...terms: Aml[]): number[] {
  return [0x14, ...withLength([...path(name), args, ...terms.flat()])];
}

export function argument(index: number): number[] {
  return [0x68 + index];
}

export function store(value: Aml, target: Aml): number[] {
  return [0x70, ...value, ...target];
}

export function returns(value: Aml): number[] {
  return [0xa4, ...value];
}

export function when(condition: Aml, ...terms: Aml[]): number[] {
  return [0xa0, ...withLength([...condition, ...terms.flat()])];
}

/** A resource template: descriptors and the end tag. */
export function resources(...descriptors: Aml[]): number[] {
  return buffer([...descriptors.flat(), 0x79, 0]);
}

/** "I/O Port Descriptor", 16-bit decode, fixed. */
export function ioPorts(first: number, count: number): number[] {
  return [0x47, 1, ...littleEndian(first, 2), ...littleEndian(first, 2), 1, count];
}

/** "IRQ Descriptor" without flags: edge, active high, exclusive. */
export function irq(number: number): number[] {
  return [0x22, ...littleEndian(1 << number, 2)];
}

/** "32-Bit Fixed Memory Range Descriptor", read-write. */
export function memory32Fixed(base: number, size: number): number[] {
  return [0x86, 9, 0, 1, ...littleEndian(base, 4), ...littleEndian(size, 4)];
}

/** Producer, fixed minimum and maximum. */
const FIXED_WINDOW = 0x0c;

function addressSpace(width: 2 | 4, type: number, flags: number, first: number, last: number): number[] {
  const fields = [0, first, last, 0, last - first + 1].flatMap((value) => littleEndian(value, width));
  const body = [type, FIXED_WINDOW, flags, ...fields];
  return [width === 2 ? 0x88 : 0x87, ...littleEndian(body.length, 2), ...body];
}

/** "Word Address Space Descriptor" for bus numbers. */
export function busWindow(first: number, last: number): number[] {
  return addressSpace(2, 2, 0, first, last);
}

/** ... and for I/O ports, entire range. */
export function ioWindow(first: number, last: number): number[] {
  return addressSpace(2, 1, 3, first, last);
}

/** "DWord Address Space Descriptor" for memory, read-write; cacheable for the VGA window as firmware says it. */
export function memoryWindow(first: number, last: number, cacheable = false): number[] {
  return addressSpace(4, 0, cacheable ? 3 : 1, first, last);
}
