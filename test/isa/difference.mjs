// Compares what an evaluator made of an instruction with what a processor made of it.
import { START } from './machine.mjs';
import { undefinedFlags } from './undefined-flags.mjs';

/** The lowering reports any refused access as 14; a processor tells #SS and #GP from #PF. */
const isAccessFault = (trap) => trap === 12 || trap === 13 || trap === 14 || trap === -2;

/** Names what differs, '' if nothing does. `loosely` hears of undefined flags that differ. */
export function difference(ours, native, c, loosely = () => {}) {
  const { mnemonic } = ours.insn;
  let trap = isAccessFault(native.trap) ? 14 : native.trap;
  // Bit strings reach far: into pages that only the native side has.
  if (/^bt/.test(mnemonic) && ours.trap === 14 && native.trap === 3) return '';
  const loose = undefinedFlags(ours.insn, c.state);
  // Two-byte double shifts by more than 16 are undefined; processors differ.
  if (/^sh[lr]d$/.test(mnemonic) && loose === 0x8d5n) return '';
  if (ours.outcome.kind === 'jumped') {
    // Into the middle of itself: what runs next is not known.
    if (ours.rip > BigInt(START) && ours.rip < BigInt(START + c.code.length)) return '';
    // A jump out of the code page faults at its target.
    if (trap === 14) {
      trap = 3;
      if (c.bits === 64 && BigInt.asUintN(64, BigInt.asIntN(48, ours.rip)) !== ours.rip) return '';
      if (native.rip === BigInt(START)) return 'jump refused';
    }
  }
  const ourTrap = isAccessFault(ours.trap) ? 14 : ours.trap;
  if (ourTrap !== trap) return `trap ${ours.trap} not ${native.trap}`;
  if (ours.trap === 3 && ours.rip !== native.rip) return 'rip';
  const wide = c.bits === 32 ? 0xffffffffn : 0xffffffffffffffffn;
  for (let n = 0; n < (c.bits === 32 ? 8 : 16); n++)
    if ((ours.gpr[n] & wide) !== (native.gpr[n] & wide)) return `r${n}`;
  if (Buffer.compare(ours.window, native.window) !== 0) return 'memory';
  if (ours.trap !== 3) return '';
  const differs = (ours.flags ^ native.flags) & 0xcd5n;
  if (differs & ~loose) return `flags ${(differs & ~loose).toString(16)}`;
  if (differs) loosely(`${mnemonic} ${differs.toString(16)}`);
  return '';
}
