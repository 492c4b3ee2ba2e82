// Encodes instructions straight from the decoder's opcode tables: every row of MMX, SSE, AES, SHA and x87, in register
// and memory form. The memory operand is always [RSI].

import { threeByte3a } from '../../dist/x86/decode/three-byte-0f3a.js';
import { threeByte38 } from '../../dist/x86/decode/three-byte-0f38.js';
import { twoByteSimd } from '../../dist/x86/decode/two-byte-0f-simd.js';
import { x87 } from '../../dist/x86/decode/x87.js';

const FEATURES = /^(mmx|sse|ssse|aes|pclmulqdq|sha|x87)/;
const PREFIX = { 66: [0x66], f2: [0xf2], f3: [0xf3] };
const MAPS = [
  [[0x0f], twoByteSimd],
  [[0x0f, 0x38], threeByte38],
  [[0x0f, 0x3a], threeByte3a],
  [[], x87],
];

const isModrmCode = (code) => code === 'STi' || /^[ERMGWUVQNPS]/.test(code);
const takesGpr = (code) => /^[EGR]/.test(code);

/** All forms: { name, encode(random) -> bytes, memory: whether it has a memory operand }. */
export function forms(bits = 64) {
  const list = [];
  for (const [opening, rows] of MAPS) {
    for (const row of rows) {
      if (!FEATURES.test(row.feature)) continue;
      // An undocumented alias of FSTP ST(i), which does not look for an empty register.
      if (row.mnemonic === 'fstp' && row.opcode === 0xd9 && row.mod === 'reg') continue;
      const hasModrm = row.operands.some(isModrmCode) || row.reg >= 0;
      const rmCodes = row.operands.flatMap((code) => code.split('/'));
      const canMemory = row.mod !== 'reg' && rmCodes.some((c) => /^[EMWQ]/.test(c));
      const canRegister = row.mod !== 'mem' && (row.reg >= 0 || rmCodes.some((c) => /^[ERWUQN]|STi/.test(c)));
      if (bits === 32 ? row.o64 : row.i64) continue;
      const wide = row.operandSize === 'y' && bits === 64 ? [0, 8] : [0];
      for (const w of wide) {
        if (canMemory) list.push(form(opening, row, true, w, bits));
        if (canRegister) list.push(form(opening, row, false, w, bits));
        if (!hasModrm) list.push(form(opening, row, undefined, w, bits));
      }
    }
  }
  return list;
}

function form(opening, row, memory, w, bits) {
  const names = row.mnemonic.split('/');
  const mnemonic = w === 8 && names.length > 1 ? names[1] : names[0];
  return {
    mnemonic,
    feature: row.feature,
    memory: memory === true || mnemonic.startsWith('maskmov'),
    name: `${mnemonic} ${row.operands.join(',')} ${memory ? 'mem' : memory === false ? 'reg' : ''}${w ? ' W' : ''}`,
    encode: (random) => encode(opening, row, memory, w, bits, random),
  };
}

function encode(opening, row, memory, w, bits, random) {
  const bytes = [...(PREFIX[row.prefix] ?? [])];
  const codes = row.operands;
  // RSP and RSI stay out: the stack and the memory operand.
  const register = (isGpr) => {
    for (;;) {
      const n = random.below(bits === 32 ? 8 : 16);
      if (!isGpr || (n !== 4 && n !== 6)) return n;
    }
  };
  const regCode = codes.find((c) => /^[GVP]/.test(c));
  const rmCode = codes.find((c) => /^[ERWUQNM]|STi/.test(c));
  let reg = Math.max(row.reg, 0);
  if (regCode !== undefined) reg = regCode[0] === 'P' ? random.below(8) : register(takesGpr(regCode));
  let rm = Math.max(row.rm, 0);
  if (memory === false && rmCode !== undefined && row.rm < 0) {
    rm = /^[QN]|STi/.test(rmCode) ? random.below(8) : register(takesGpr(rmCode));
  }
  const rex = w | ((reg >> 3) << 2) | (memory === false ? rm >> 3 : 0);
  if (rex !== 0) bytes.push(0x40 | rex);
  bytes.push(...opening, row.opcode);
  if (memory === true) bytes.push(((reg & 7) << 3) | 6);
  else if (memory === false) bytes.push(0xc0 | ((reg & 7) << 3) | (rm & 7));
  if (codes.includes('Ib')) bytes.push(random.below(3) === 0 ? random.below(16) : random.below(256));
  return bytes;
}
