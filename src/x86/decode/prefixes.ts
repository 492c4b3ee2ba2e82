/** Legacy and REX prefixes by byte value. Intel SDM Vol. 2, "Instruction Prefixes" and "REX Prefixes". */
import { SEG } from '../insn.js';

export const PREFIX = {
  none: 0,
  operandSize: 1,
  addressSize: 2,
  lock: 3,
  repne: 4,
  rep: 5,
  rex: 6,
  ignoredSegment: 7,
  /** Plus a SEG value. */
  segment: 8,
} as const;

const SEGMENT_BYTES: readonly (readonly [byte: number, segment: number])[] = [
  [0x26, SEG.es],
  [0x2e, SEG.cs],
  [0x36, SEG.ss],
  [0x3e, SEG.ds],
  [0x64, SEG.fs],
  [0x65, SEG.gs],
];

function prefixTable(mode64: boolean): Uint8Array {
  const table = new Uint8Array(256);
  table[0x66] = PREFIX.operandSize;
  table[0x67] = PREFIX.addressSize;
  table[0xf0] = PREFIX.lock;
  table[0xf2] = PREFIX.repne;
  table[0xf3] = PREFIX.rep;
  for (const [byte, segment] of SEGMENT_BYTES) {
    // In 64-bit mode CS, DS, ES and SS overrides are null prefixes.
    table[byte] = mode64 && segment < SEG.fs ? PREFIX.ignoredSegment : PREFIX.segment + segment;
  }
  if (mode64) table.fill(PREFIX.rex, 0x40, 0x50);
  return table;
}

export const PREFIXES_LEGACY: Uint8Array = prefixTable(false);
export const PREFIXES_64: Uint8Array = prefixTable(true);

/** REX bits. */
export const REX_W = 8;
export const REX_R = 4;
export const REX_X = 2;
export const REX_B = 1;
