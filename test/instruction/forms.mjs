// Every form of every instruction, straight from the decoder's opcode tables: row, operand size, register or memory. And
// for each form random encodings of it: prefixes, addressing modes, registers, immediates.
import { decode } from '../../dist/x86/decode/decoder.js';
import { compileOperand, usesModrm } from '../../dist/x86/decode/operand.js';
import { opcodeRows } from '../../dist/x86/decode/tables.js';

const MANDATORY = { 66: [0x66], f3: [0xf3], f2: [0xf2] };
const SEGMENT_PREFIX = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
const LONGEST = 15;

/** Operand sizes that prefixes select for a row. */
function sizesOf(row, bits) {
  const canNarrow = row.prefix !== 'np' && row.prefix !== '66';
  const all = canNarrow ? [2, 4] : [bits === 16 ? 2 : 4];
  switch (row.operandSize) {
    case 'b':
      return [1];
    case 'w':
      return [2];
    case 'd':
      return [4];
    case 'v':
      return bits === 64 ? [...all, 8] : all;
    case 'z':
      return all;
    case 'y':
      return bits === 64 ? [4, 8] : [4];
    case 'd64':
      return bits === 64 ? (canNarrow ? [2, 8] : [8]) : all;
    case 'f64':
      return bits === 64 ? [8] : all;
    default:
      return [bits === 64 ? 8 : 4];
  }
}

function hasModrm(row) {
  return row.mod !== 'any' || row.reg >= 0 || row.rm >= 0 || row.operands.some(usesModrm);
}

function kindsOf(row) {
  if (!hasModrm(row)) return [''];
  if (row.mod === 'ignored') return ['reg'];
  return ['reg', 'mem'].filter(
    (kind) =>
      row.mod !== (kind === 'reg' ? 'mem' : 'reg') && row.operands.every((code) => compileOperand(code, kind) >= 0),
  );
}

const MNEMONIC_INDEX = { 1: 0, 2: 0, 4: 1, 8: 2 };
function mnemonicOf(row, size) {
  const names = row.mnemonic.split('/');
  if (row.byAddressSize || names.length === 1) return names[0];
  const index = row.operandSize === 'y' && names.length === 2 ? (size === 8 ? 1 : 0) : MNEMONIC_INDEX[size];
  return names[Math.min(index, names.length - 1)];
}

/** All forms of a mode: { row, id, size, kind, mnemonic, name }. */
export function formsOf(bits) {
  return opcodeRows.flatMap((row, id) => {
    if (bits === 64 ? row.i64 : row.o64) return [];
    return kindsOf(row).flatMap((kind) =>
      sizesOf(row, bits).map((size) => {
        const mnemonic = mnemonicOf(row, size);
        const text = [mnemonic, row.operands.join(','), kind, size * 8].filter((part) => part !== '').join(' ');
        return { row, id, size, kind, mnemonic, name: `${text} (${opcodeText(row)})` };
      }),
    );
  });
}

/** The opcode as the reference writes it. */
export function opcodeText(row) {
  const escapes = (row.map.match(/../g) ?? []).map((byte) => byte.toUpperCase());
  const byte = row.opcode.toString(16).toUpperCase().padStart(2, '0');
  const prefix = { any: '', np: 'NP ', nfx: 'NFx ', 66: '66 ', f3: 'F3 ', f2: 'F2 ' }[row.prefix];
  const tail = row.span === 8 ? '+r' : row.span === 16 ? '+cc' : '';
  const reg = row.reg >= 0 ? ` /${row.reg}` : '';
  const rm = row.rm >= 0 ? ` rm=${row.rm}` : '';
  const mod = row.mod === 'mem' ? ' (memory)' : row.mod === 'reg' ? ' (register)' : '';
  return `${prefix}${[...escapes, byte].join(' ')}${tail}${reg}${rm}${mod}`;
}

function prefixes(form, bits, r) {
  const { row, size } = form;
  const list = [];
  const isFree = row.prefix === 'any' || row.prefix === 'nfx';
  const needs66 = bits === 16 ? size === 4 : size === 2;
  const follows = !['b', 'w', 'd', 'y', 'm'].includes(row.operandSize);
  if (follows && needs66 && !(bits === 64 && row.operandSize === 'f64')) list.push(0x66);
  const is67 = form.kind === 'mem' || row.operands.some((code) => /^[XYO]|^B/.test(code)) || row.byAddressSize;
  if (is67 && r.below(5) === 0) list.push(0x67);
  if (form.kind === 'mem' ? r.below(8) === 0 : r.below(40) === 0) list.push(r.pick(SEGMENT_PREFIX));
  if (row.lock && form.kind === 'mem' ? r.below(3) === 0 : r.below(200) === 0) list.push(0xf0);
  if (isFree && (row.repeat !== 'none' ? r.below(3) !== 0 : false)) list.push(r.pick([0xf2, 0xf3]));
  shuffle(list, r);
  // A mandatory prefix comes last, so that F2 and F3 above are not taken for it.
  return [...list, ...(MANDATORY[row.prefix] ?? [])];
}

function shuffle(list, r) {
  for (let n = list.length - 1; n > 0; n--) {
    const k = r.below(n + 1);
    [list[n], list[k]] = [list[k], list[n]];
  }
}

/** ModRM of a memory operand with SIB and displacement: { rex, bytes, patch } - where a displacement is the whole address. */
function memoryModrm(reg, addressSize, bits, r) {
  const small = () => (r.below(4) === 0 ? r.below(256) : (r.below(48) - 24) & 255);
  const field = (reg & 7) << 3;
  if (addressSize === 2) {
    const mod = r.below(3);
    const rm = r.below(8);
    if (mod === 0 && rm === 6) return { rex: 0, bytes: [field | 6, 0, 0], patch: { at: 1, size: 2, relative: false } };
    const high = r.below(2) ? 0 : 255;
    const disp = mod === 0 ? [] : mod === 1 ? [small()] : [small(), high];
    return { rex: 0, bytes: [(mod << 6) | field | rm, ...disp] };
  }
  const wide = bits === 64;
  const register = () => r.below(wide ? 16 : 8);
  const mod = r.below(3);
  const sign = r.below(2) ? 0 : 255;
  const disp = mod === 0 ? [] : mod === 1 ? [small()] : [small(), sign, sign, sign];
  if (r.below(3) === 0) {
    const base = register();
    const index = register();
    const rex = (base >> 3) | ((index >> 3) << 1);
    const sib = (r.below(4) << 6) | ((index & 7) << 3) | (base & 7);
    if (mod === 0 && (base & 7) === 5) {
      return { rex, bytes: [field | 4, sib, 0, 0, 0, 0], patch: { at: 2, size: 4, relative: false, index } };
    }
    return { rex, bytes: [(mod << 6) | field | 4, sib, ...disp] };
  }
  const rm = register();
  if ((rm & 7) === 4) return { rex: rm >> 3, bytes: [(mod << 6) | field | 4, 0x24, ...disp] };
  if (mod === 0 && (rm & 7) === 5) {
    return { rex: rm >> 3, bytes: [field | 5, 0, 0, 0, 0], patch: { at: 1, size: 4, relative: wide } };
  }
  return { rex: rm >> 3, bytes: [(mod << 6) | field | (rm & 7), ...disp] };
}

const NEAR = /^J/;

/**
 * A random encoding: { code, insn, patch }. `patch` tells where the address of a memory operand is in the code itself:
 * { at, size, relative }. Undefined where the dice gave something else than the form.
 */
export function encode(form, bits, r) {
  const { row, size, kind } = form;
  const legacy = prefixes(form, bits, r);
  const is67 = legacy.includes(0x67);
  const addressSize = bits === 64 ? (is67 ? 4 : 8) : (bits === 16) !== is67 ? 2 : 4;
  let rex = size === 8 && !['d64', 'f64', 'm'].includes(row.operandSize) ? 8 : 0;
  const opcode = row.opcode + (row.span === 1 ? 0 : r.below(row.span));
  if (bits === 64 && row.operands.includes('Zv') && r.below(2)) rex |= 1;
  const modrm = [];
  let patch;
  if (hasModrm(row)) {
    const reg = row.reg >= 0 ? row.reg : r.below(bits === 64 ? 16 : 8);
    if (reg >= 8) rex |= 4;
    if (kind === 'mem') {
      const memory = memoryModrm(reg, addressSize, bits, r);
      rex |= bits === 64 ? memory.rex : 0;
      modrm.push(...memory.bytes);
      patch = memory.patch;
    } else {
      const rm = row.rm >= 0 ? row.rm : r.below(bits === 64 ? 16 : 8);
      if (rm >= 8) rex |= 1;
      const mod = row.mod === 'ignored' ? r.below(4) : 3;
      modrm.push((mod << 6) | ((reg & 7) << 3) | (rm & 7));
    }
  }
  if (bits === 64 && rex === 0 && r.below(8) === 0) rex = 0x40;
  const head = [
    ...legacy,
    ...(bits === 64 && rex !== 0 ? [0x40 | rex] : []),
    ...(row.map.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16)),
    opcode,
  ];
  if (patch !== undefined) patch = { ...patch, at: patch.at + head.length };
  else if (row.operands.some((code) => code.startsWith('O'))) {
    patch = { at: head.length, size: addressSize, relative: false };
  }
  const isRelative = row.operands.some((code) => NEAR.test(code));
  const code = Uint8Array.from([...head, ...modrm, ...immediate(isRelative, r)].slice(0, LONGEST));
  const insn = decode(code, 0, code.length, bits);
  if (insn === 'truncated') return undefined;
  if (isRelative && !isFarEnough(insn)) return undefined;
  return { code: code.slice(0, insn.length), insn, patch, addressSize };
}

/** As many bytes as any instruction could take; small numbers and signs are frequent. */
function immediate(isRelative, r) {
  const bytes = Array.from({ length: 12 }, () => r.below(256));
  if (isRelative ? r.below(4) !== 0 : r.below(3) === 0) bytes.fill(r.below(2) ? 0 : 255, 1 + r.below(2));
  if (!isRelative && r.below(6) === 0) bytes.fill(0, 1);
  if (!isRelative && r.below(3) === 0) bytes[0] = r.below(16);
  return bytes;
}

/** A jump into itself would run other instructions, perhaps for ever. */
function isFarEnough(insn) {
  const target = insn.operands.find((operand) => operand.kind === 'rel');
  return target === undefined || target.disp >= 0 || target.disp < -insn.length - LONGEST;
}
