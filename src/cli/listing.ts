/** Guest code as lines of address, bytes and instruction. */
import type { CodeWindow } from '../machine/machine.js';
import { decode } from '../x86/decode/decoder.js';
import { disassemble } from '../x86/disassemble.js';

const MAX_LINES = 8;
const MAX_INSTRUCTION_BYTES = 15;
const BYTES_WIDTH = 10 * 3;

/** The first few instructions of a window; the one at `rip` carries an arrow. */
export function codeListing(code: CodeWindow, rip: bigint): string[] {
  const lines: string[] = [];
  for (let at = 0; at < code.bytes.length && lines.length < MAX_LINES; ) {
    const address = code.address + BigInt(at);
    const insn = decode(code.bytes, at, code.bytes.length - at, code.bits);
    if (insn === 'truncated') break;
    const length = Math.min(Math.max(insn.length, 1), MAX_INSTRUCTION_BYTES);
    const bytes = [...code.bytes.subarray(at, at + length)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const mark = address === rip ? '=>' : '  ';
    const place = address.toString(16).padStart(code.bits === 64 ? 16 : 8, '0');
    lines.push(`${mark} ${place}  ${bytes.padEnd(BYTES_WIDTH)} ${disassemble(insn, address)}`);
    at += length;
  }
  return lines;
}
