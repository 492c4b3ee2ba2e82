/**
 * Saving and restoring x87 and SSE state in memory: routines that get the linear address of the area.
 * Intel SDM Vol. 2, "FXSAVE", "FXRSTOR", "XSAVE" and its family; Vol. 1, "Managing State Using the XSAVE Feature Set".
 */
import { type Definition, type Definitions, define, defineEnd, VECTOR } from '../lift.js';
import { memory } from './shape.js';

/** Bytes that FXSAVE and the legacy region of XSAVE take: checked against segment limits as one access. */
const LEGACY_AREA = 512;

/** `wide`: with REX.W, instruction and data pointers have 64 bits. Restoring may change MXCSR's masks: the block ends. */
function area(routine: string, wide: boolean): Definition {
  const restores = routine.endsWith('rstor');
  return (restores ? defineEnd : define)((b, i) => {
    const op = memory(i, 0);
    const at = b.now(b.linearOf(op, b.now(b.offset(op)), LEGACY_AREA, restores ? 'read' : 'write'));
    if (restores) b.routineEnds(routine, at, b.i32(wide ? 1 : 0));
    else b.routine(routine, at, b.i32(wide ? 1 : 0));
  });
}

const undefinedOpcode = defineEnd((b) => {
  b.raise(VECTOR.UD);
  b.ended = true;
});

/** Mnemonic -> routine. XSAVEOPT need not leave out anything; XSAVES and XRSTORS are not offered. */
const FAMILY = {
  fxsave: 'fxsave',
  fxrstor: 'fxrstor',
  xsave: 'xsave',
  xsaveopt: 'xsave',
  xsavec: 'xsavec',
  xrstor: 'xrstor',
} as const;

export const definitions: Definitions = {
  ...Object.fromEntries(
    Object.entries(FAMILY).flatMap(([name, routine]) => [
      [name, area(routine, false)],
      [`${name}64`, area(routine, true)],
    ]),
  ),
  xsaves: undefinedOpcode,
  xsaves64: undefinedOpcode,
  xrstors: undefinedOpcode,
  xrstors64: undefinedOpcode,
};
