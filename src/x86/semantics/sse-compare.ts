/** Floating-point comparisons: masks (CMP*) and flags (COMIS*, UCOMIS*). Intel SDM Vol. 2A, "CMPPD", "COMISD". */
import type { Definition, Definitions } from '../lift.js';
import * as S from '../state.js';
import { arithmetic, readVector, sse } from './sse-guard.js';
import { DOUBLE, type Format, quickCompare, SINGLE } from './sse-quick.js';

const compareMask = (size: 4 | 8, routine: string): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = b.readLow(src, size);
    const x = b.readLow(dst, size);
    const predicate = b.read(imm);
    const holds = arithmetic(b, () => b.call(routine, 'i32', x, y, predicate));
    const all = b.sub(b.i32(0), holds);
    b.writeLow(dst, size, size === 8 ? b.sext64(all) : all);
  });

const packedMask = (routine: string): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = readVector(b, src);
    const x = b.read(dst);
    const predicate = b.read(imm);
    b.write(
      dst,
      arithmetic(b, () => b.call(routine, 'v128', x, y, predicate)),
    );
  });

/** The runtime answers with ZF, PF and CF in their RFLAGS places; OF, SF and AF are cleared. */
const compareFlags = (f: Format, signalQuiet: 0 | 1): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    if ((b.key & S.KEY_SSE_UNMASKED) === 0) {
      b.setFlags(quickCompare(b, f, dst, src, signalQuiet));
      return;
    }
    const y = b.readLow(src, f.size);
    const x = b.readLow(dst, f.size);
    b.setFlags(arithmetic(b, () => b.call(`${f.float}_compare`, 'i32', x, y, b.i32(signalQuiet))));
  });

export const definitions: Definitions = {
  cmpps: packedMask('f32x4_cmp'),
  cmppd: packedMask('f64x2_cmp'),
  cmpss: compareMask(4, 'f32_cmp_predicate'),
  cmpsd: compareMask(8, 'f64_cmp_predicate'),
  comiss: compareFlags(SINGLE, 1),
  comisd: compareFlags(DOUBLE, 1),
  ucomiss: compareFlags(SINGLE, 0),
  ucomisd: compareFlags(DOUBLE, 0),
};
