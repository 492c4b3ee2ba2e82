/**
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM. Intel SDM Vol. 1, "SSE4.2 String and Text Instructions"; Vol. 2B,
 * "Imm8 Control Byte Operation for PCMPESTRI / PCMPESTRM / PCMPISTRI / PCMPISTRM". Memory operands need no alignment.
 */
import type { Value } from '../../ir/value.js';
import { type Definition, type Definitions, GPR_INDEX, type Lift } from '../lift.js';
import * as S from '../state.js';
import { sse } from './sse-guard.js';

/** Explicit lengths are signed: the absolute value counts, saturated by the runtime. */
function explicitLength(b: Lift, index: number, wide: boolean): Value {
  return wide ? b.reg(index, 8) : b.sext64(b.reg(index, 4));
}

/** The runtime's answer: index in bits 15:0, IntRes2 in 31:16, status flags in 63:32. */
const compareStrings = (explicit: boolean, wantsIndex: boolean): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = b.readLow(src, 16);
    const x = b.read(dst);
    const control = b.read(imm);
    const wide = i.operandSize === 8;
    const answer = explicit
      ? b.call(
          'simd_pcmpestr',
          'i64',
          x,
          explicitLength(b, GPR_INDEX.rax, wide),
          y,
          explicitLength(b, GPR_INDEX.rdx, wide),
          control,
        ) // prettier-ignore
      : b.call('simd_pcmpistr', 'i64', x, y, control);
    const low = b.wrap(answer);
    if (wantsIndex) {
      b.setReg(GPR_INDEX.rcx, 4, b.and(low, b.i32(0xffff)));
    } else {
      b.setState(S.XMM, 16, b.call('simd_pcmpmask', 'v128', b.shru(low, b.i32(16)), control));
    }
    b.setFlags(b.wrap(b.shru(answer, b.i64(32))));
  });

export const definitions: Definitions = {
  pcmpestri: compareStrings(true, true),
  pcmpestrm: compareStrings(true, false),
  pcmpistri: compareStrings(false, true),
  pcmpistrm: compareStrings(false, false),
};
