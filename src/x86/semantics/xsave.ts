/**
 * Saving and restoring x87 and SSE state in memory: routines that get the linear address of the area.
 * Intel SDM Vol. 2, "FXSAVE", "FXRSTOR", "XSAVE" and its family; Vol. 1, "Managing State Using the XSAVE Feature Set".
 */
import { type Definition, type Definitions, define } from '../lift.js';
import { memory } from './shape.js';

/** Bytes that FXSAVE and the legacy region of XSAVE take: checked against segment limits as one access. */
const LEGACY_AREA = 512;

/** `wide`: with REX.W, instruction and data pointers have 64 bits. */
function area(routine: string, wide: boolean): Definition {
  return define((b, i) => {
    const op = memory(i, 0);
    const at = b.now(b.linearOf(op, b.offset(op), LEGACY_AREA));
    b.routine(routine, at, b.i32(wide ? 1 : 0));
  });
}

const FAMILY = ['fxsave', 'fxrstor', 'xsave', 'xrstor', 'xsaveopt', 'xsavec', 'xsaves', 'xrstors'] as const;

export const definitions: Definitions = Object.fromEntries(
  FAMILY.flatMap((name) => [
    [name, area(name, false)],
    [`${name}64`, area(name, true)],
  ]),
);
