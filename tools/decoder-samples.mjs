// Byte strings to try a decoder on: random ones, and every row of our tables under the prefixes that may matter.
import { opcodeRows } from '../dist/x86/decode/tables.js';

let seed = 1;
function random(below) {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % below;
}

const LEGACY_PREFIXES = [0x66, 0x66, 0xf2, 0xf3, 0x67, 0xf0, 0x2e, 0x3e, 0x26, 0x36, 0x64, 0x65];
const ESCAPES = [[], [], [], [0x0f], [0x0f], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
const MAP_BYTES = { '': [], '0f': [0x0f], '0f38': [0x0f, 0x38], '0f3a': [0x0f, 0x3a] };
const MANDATORY = { any: [], np: [], nfx: [], 66: [0x66], f3: [0xf3], f2: [0xf2] };

function tail() {
  return Array.from({ length: 12 }, () => (random(6) === 0 ? [0, 0xff, 0x80, 0x7f][random(4)] : random(256)));
}

/** Any opcode of any map behind up to two prefixes and, in 64-bit code, often REX. */
function randomSample(codeSize) {
  const bytes = [];
  const prefixes = [0, 0, 1, 1, 2][random(5)];
  for (let i = 0; i < prefixes; i++) bytes.push(LEGACY_PREFIXES[random(LEGACY_PREFIXES.length)]);
  if (codeSize === 64 && random(2) === 0) bytes.push(0x40 | random(16));
  return [...bytes, ...ESCAPES[random(ESCAPES.length)], ...tail()];
}

/** Every row of our tables under every prefix that may matter, with several ModRM bytes. */
export function rowSamples(codeSize, startSeed) {
  seed = Number(startSeed) >>> 0 || 1;
  const samples = [];
  for (const row of opcodeRows) {
    for (let opcode = row.opcode; opcode < row.opcode + row.span; opcode++) {
      for (const prefix of [[], [0x66], [0x67], [0xf0], [0xf2], [0xf3], [0x65]]) {
        for (const rex of codeSize === 64 ? [[], [0x40], [0x41], [0x44], [0x48], [0x4f]] : [[]]) {
          for (const mod of [0, 1, 2, 3]) {
            const reg = row.reg >= 0 ? row.reg : random(8);
            const rm = row.rm >= 0 && mod === 3 ? row.rm : random(8);
            const modrm = (mod << 6) | (reg << 3) | rm;
            samples.push([
              ...prefix,
              ...MANDATORY[row.prefix],
              ...rex,
              ...MAP_BYTES[row.map],
              opcode,
              modrm,
              ...tail(),
            ]);
          }
        }
      }
    }
  }
  return samples;
}

export function randomSamples(codeSize, count, startSeed) {
  seed = Number(startSeed) >>> 0 || 1;
  return Array.from({ length: count }, () => randomSample(codeSize));
}
