// A processor's answers as lines of text:
//   bits code seed repeated trap rip flags changes
// The state before follows from the seed (`randomState`); `rip` is relative to the start; `changes` are registers that
// differ afterwards (r3=hex) and bytes of the window (m12=hex).
import { randomSource, randomState } from './forms.mjs';
import { START } from './machine.mjs';

export function writeLine(c, native) {
  const changes = [];
  for (let n = 0; n < 16; n++)
    if (native.gpr[n] !== c.state.gpr[n]) changes.push(`r${n}=${native.gpr[n].toString(16)}`);
  for (let n = 0; n < 256; n++)
    if (native.window[n] !== c.state.window[n]) changes.push(`m${n}=${native.window[n].toString(16)}`);
  const head = [c.bits, Buffer.from(c.code).toString('hex'), c.stateSeed, c.isRepeated ? 1 : 0, native.trap];
  return [...head, native.rip - BigInt(START), (native.flags & 0xcd5n).toString(16), ...changes].join(' ');
}

/** The case and the answer of a line. */
export function readLine(line) {
  const [bits, code, seed, repeated, trap, rip, flags, ...changes] = line.split(' ');
  const state = randomState(randomSource(Number(seed)), Number(bits), repeated === '1');
  const native = {
    gpr: [...state.gpr],
    window: Uint8Array.from(state.window),
    trap: Number(trap),
    rip: BigInt.asUintN(64, BigInt(rip) + BigInt(START)),
    flags: BigInt(`0x${flags}`),
  };
  for (const change of changes) {
    const [place, value] = change.split('=');
    const n = Number(place.slice(1));
    if (place[0] === 'r') native.gpr[n] = BigInt(`0x${value}`);
    else native.window[n] = Number.parseInt(value, 16);
  }
  return { c: { bits: Number(bits), code: Uint8Array.from(Buffer.from(code, 'hex')), state }, native };
}
