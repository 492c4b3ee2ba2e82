// Status flags that Intel SDM Vol. 2 calls undefined after an instruction: no judge may insist on them.
const CF = 0x1n;
const PF = 0x4n;
const AF = 0x10n;
const ZF = 0x40n;
const SF = 0x80n;
const OF = 0x800n;
const ALL = CF | PF | AF | ZF | SF | OF;

function count(insn, state, n) {
  const op = insn.operands[n];
  const raw = op.kind === 'imm' ? op.value : state.gpr[1];
  return Number(raw & (insn.operands[0].size === 8 ? 63n : 31n));
}

export function undefinedFlags(insn, state) {
  const bits = (insn.operands[0]?.size ?? 0) * 8;
  switch (insn.mnemonic) {
    case 'and':
    case 'or':
    case 'xor':
    case 'test':
      return AF;
    case 'mul':
    case 'imul':
      return SF | ZF | AF | PF;
    case 'div':
    case 'idiv':
      return ALL;
    case 'shl':
    case 'shr':
    case 'sar': {
      const n = count(insn, state, 1);
      if (n === 0) return 0n;
      return AF | (n === 1 ? 0n : OF) | (n >= bits ? CF : 0n);
    }
    case 'rol':
    case 'ror':
    case 'rcl':
    case 'rcr':
      return count(insn, state, 1) <= 1 ? 0n : OF;
    case 'shld':
    case 'shrd': {
      const n = count(insn, state, 2);
      if (n > bits) return ALL;
      return n === 0 ? 0n : AF | (n === 1 ? 0n : OF);
    }
    case 'bt':
    case 'bts':
    case 'btr':
    case 'btc':
      return OF | SF | AF | PF;
    case 'bsf':
    case 'bsr':
      return CF | OF | SF | AF | PF;
    case 'tzcnt':
    case 'lzcnt':
      return OF | SF | PF | AF;
    case 'aaa':
    case 'aas':
      return OF | SF | ZF | PF;
    case 'daa':
    case 'das':
      return OF;
    case 'aam':
    case 'aad':
      return OF | AF | CF;
    default:
      return 0n;
  }
}
