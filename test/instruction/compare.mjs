// What our processor and the host's made of a case, field by field.
import { undefinedFlags } from '../isa/undefined-flags.mjs';
import { FX, HIGH, LOW, RECORD, WINDOW_SIZE } from './layout.mjs';
import { hostVendor } from './native.mjs';

const DATA_FLAGS = 0x8d5n;
/** IOPL and IF are the kernel's. */
const FLAGS = 0x254dd5n;
const BREAKPOINT = 3;
const PAGE_FAULT = 14;
/** Of a page fault's error code: present. */
const PRESENT = 1;
/** Linux gives faults at the kernel's addresses that bit, so that nobody learns what is mapped there. */
const USER_END = 0x7fff_ffff_f000n;
const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];

/** The processor's own approximations: how far off the last place they may be. */
export const TRANSCENDENTAL = /^(f2xm1|fyl2x|fyl2xp1|fptan|fpatan|fsin|fsincos|fcos)$/;
const RECIPROCAL = /^(rcp|rsqrt)/;
const ULPS = 1n;
/** SDM Vol. 2, "RCPPS", "RSQRTPS": relative error at most 1.5 * 2^-12. */
const RECIPROCAL_BOUND = 1.5 * 2 ** -12;

const POINTER = /^f(op|ip|dp)$/;
/** AMD's processors keep opcode and pointers of the last x87 instruction only while an exception is pending. AMD APM Vol. 2, "FXSAVE". */
function hasNoPointers(offset, size, { ours, host, request, at }) {
  if (hostVendor !== 'AuthenticAMD') return false;
  const isPending = (view) => (view.getUint16(at + RECORD.FX + FX.FSW, true) & 0x80) !== 0;
  // Those of before are not kept either.
  const isOld = !isPending(request) && isEqual(ours, request, at + offset, size);
  return isOld || !isPending(host);
}

const hex = (view, at, size) =>
  Array.from({ length: size }, (_, n) =>
    view
      .getUint8(at + size - 1 - n)
      .toString(16)
      .padStart(2, '0'),
  ).join('');

/** The fields of a mode: [name, offset, bytes]. */
function fieldsOf(bits) {
  const wide = bits === 64;
  const size = wide ? 8 : 4;
  return [
    ['rip', RECORD.RIP, size],
    ...Array.from({ length: wide ? 16 : 8 }, (_, n) => [`r${n}`, 8 * n, size]),
    ...SEGMENT_NAMES.map((name, n) => [name, RECORD.SELECTOR + 2 * n, 2]),
    ...(wide
      ? [
          ['fs base', RECORD.FS_BASE, 8],
          ['gs base', RECORD.GS_BASE, 8],
        ]
      : []),
    ['fcw', RECORD.FX + FX.FCW, 2],
    ['fsw', RECORD.FX + FX.FSW, 2],
    ['ftw', RECORD.FX + FX.FTW, 1],
    ['fop', RECORD.FX + FX.FOP, 2],
    // The kernel keeps no selectors beside them.
    ['fip', RECORD.FX + FX.FIP, size],
    ['fdp', RECORD.FX + FX.FDP, size],
    ['mxcsr', RECORD.FX + FX.MXCSR, 4],
    ...Array.from({ length: 8 }, (_, n) => [`st${n}`, RECORD.FX + FX.ST + 16 * n, 10]),
    ...Array.from({ length: wide ? 16 : 8 }, (_, n) => [`xmm${n}`, RECORD.FX + FX.XMM + 16 * n, 16]),
  ];
}
const FIELDS = { 64: fieldsOf(64), 32: fieldsOf(32), 16: fieldsOf(16) };

function isEqual(a, b, at, size) {
  let n = 0;
  for (; n + 4 <= size; n += 4) if (a.getUint32(at + n, true) !== b.getUint32(at + n, true)) return false;
  for (; n < size; n++) if (a.getUint8(at + n) !== b.getUint8(at + n)) return false;
  return true;
}

/** Whether two 80-bit numbers are neighbours (or equal). */
function areNear(a, b, at) {
  const number = (v) =>
    (BigInt(v.getUint16(at + 8, true) & 0x7fff) << 63n) | (v.getBigUint64(at, true) & ((1n << 63n) - 1n));
  if ((a.getUint8(at + 9) ^ b.getUint8(at + 9)) & 0x80) return number(a) === 0n && number(b) === 0n;
  const distance = number(a) - number(b);
  return distance <= ULPS && distance >= -ULPS;
}

function areNearSingles(a, b, at) {
  for (let n = 0; n < 16; n += 4) {
    if (a.getUint32(at + n, true) === b.getUint32(at + n, true)) continue;
    const [x, y] = [a.getFloat32(at + n, true), b.getFloat32(at + n, true)];
    // The smallest normal number may be flushed to zero.
    if (Math.max(Math.abs(x), Math.abs(y)) <= 2 ** -126) continue;
    // Each is within the bound of the true value.
    if (!(Math.abs(x - y) <= 2 * RECIPROCAL_BOUND * Math.abs(x))) return false;
  }
  return true;
}

/**
 * The fields in which an answer of ours differs from the host's, as { field, text }. `loosely` hears of what differs where
 * the manual leaves it open.
 */
export function differences(ours, host, request, at, c, loosely = () => {}) {
  const { insn, mode } = c;
  const trap = host.getUint32(at + RECORD.TRAP, true);
  const ourTrap = ours.getUint32(at + RECORD.TRAP, true);
  if (trap !== ourTrap) return [{ field: 'vector', text: `vector ${ourTrap}, host ${trap}` }];
  const found = [];
  if (trap !== BREAKPOINT) {
    let error = host.getUint32(at + RECORD.ERROR, true);
    const cr2 = host.getBigUint64(at + RECORD.CR2, true);
    let ourError = ours.getUint32(at + RECORD.ERROR, true);
    if (trap === PAGE_FAULT && cr2 >= USER_END) {
      error &= ~PRESENT;
      ourError &= ~PRESENT;
    }
    if (error !== ourError)
      found.push({ field: 'error code', text: `vector ${trap}, error code ${ourError}, host ${error}` });
    if (trap === PAGE_FAULT && cr2 !== ours.getBigUint64(at + RECORD.CR2, true)) {
      found.push({ field: 'cr2', text: `cr2 ${hex(ours, at + RECORD.CR2, 8)}, host ${hex(host, at + RECORD.CR2, 8)}` });
    }
  }
  const approximate = TRANSCENDENTAL.test(insn.mnemonic);
  const reciprocal = RECIPROCAL.test(insn.mnemonic);
  for (const [field, offset, size] of FIELDS[mode.bits]) {
    if (isEqual(ours, host, at + offset, size)) continue;
    // A kernel that switches tasks between the instruction and its report writes null selectors as 0.
    if (
      size === 2 &&
      /^[defg]s$/.test(field) &&
      Math.max(ours.getUint16(at + offset, true), host.getUint16(at + offset, true)) < 4
    )
      continue;
    if (POINTER.test(field) && hasNoPointers(offset, size, { ours, host, request, at })) {
      loosely(field);
      continue;
    }
    if (approximate && field.startsWith('st') && areNear(ours, host, at + offset)) continue;
    if (reciprocal && field.startsWith('xmm') && areNearSingles(ours, host, at + offset)) continue;
    found.push({ field, text: `${field} ${hex(ours, at + offset, size)}, host ${hex(host, at + offset, size)}` });
  }
  for (const [name, offset] of [
    ['low', RECORD.LOW],
    ['high', RECORD.HIGH],
  ]) {
    for (let n = 0; n < WINDOW_SIZE; n += 4) {
      if (isEqual(ours, host, at + offset + n, 4)) continue;
      const where = (name === 'low' ? LOW : HIGH) + n;
      found.push({
        field: 'memory',
        text: `memory at ${where.toString(16)} ${hex(ours, at + offset + n, 4)}, host ${hex(host, at + offset + n, 4)}`,
      });
      break;
    }
  }
  if (!isEqual(ours, host, at + RECORD.SUM, 4) && !found.some(({ field }) => field === 'memory')) {
    found.push({ field: 'memory', text: 'memory beside the windows' });
  }
  const flags = (ours.getBigUint64(at + RECORD.FLAGS, true) ^ host.getBigUint64(at + RECORD.FLAGS, true)) & FLAGS;
  if (flags === 0n) return found;
  const state = { gpr: Array.from({ length: 16 }, (_, n) => request.getBigUint64(at + 8 * n, true)) };
  const hasRetired = host.getBigUint64(at + RECORD.RIP, true) !== request.getBigUint64(at + RECORD.RIP, true);
  const undefinedOnes = hasRetired ? undefinedFlags(insn, state) & DATA_FLAGS : 0n;
  if ((flags & ~undefinedOnes) === 0n) {
    loosely('flags', flags);
    return found;
  }
  const value = (v) => v.getBigUint64(at + RECORD.FLAGS, true).toString(16);
  found.push({ field: 'flags', text: `flags ${value(ours)}, host ${value(host)}` });
  return found;
}
