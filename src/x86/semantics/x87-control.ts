/** x87 control: words, tags, environment, initialization, waiting. Intel SDM Vol. 2A, "FCLEX/FNCLEX" to "FSTSW/FNSTSW". */
import type { Definition, Definitions } from '../lift.js';
import { define } from '../lift.js';
import * as S from '../state.js';
import { checkPending, x87 } from './sse-guard.js';
import { act, memoryOperand } from './x87-load.js';

const fldcw: Definition = x87((b, i) => act(b, 'fpu_fldcw', b.read(i.operands[0])));

const fnstcw: Definition = x87((b, i) => b.write(i.operands[0], b.state(S.FPU_CONTROL, 2)), false);

/** TOP lives beside the word: bits 13:11. */
const fnstsw: Definition = x87((b, i) => {
  const others = b.and(b.state(S.FPU_STATUS, 2), b.i32(0xc7ff));
  b.write(i.operands[0], b.or(others, b.shl(b.state(S.FPU_TOP, 1), b.i32(11))));
}, false);

/** FNSTENV, FNSAVE, FLDENV, FRSTOR: seven words of the operand size, and 80 bytes of registers. */
const environment = (routine: string, extra: number, waits: boolean): Definition =>
  x87((b, i) => {
    const op = memoryOperand(i.operands[0]);
    const size = i.operandSize === 2 ? 2 : 4;
    const at = b.now(b.linearOf(op, b.now(b.offset(op)), 7 * size + extra, waits ? 'read' : 'write'));
    b.routine(routine, at, b.i32(size));
  }, waits);

const simple = (number: number, waits: boolean): Definition => x87((b) => act(b, 'fpu_simple', b.i32(number)), waits);

const registerOnly = (routine: string): Definition =>
  x87((b, i) => {
    const [op] = i.operands;
    if (op.kind === 'reg') act(b, routine, b.registerNumber(op));
  });

/** #NM only when both CR0.MP and CR0.TS are set; EM does not matter. */
const fwait: Definition = define((b) => {
  if ((b.key & S.KEY_FPU_TRAP) !== 0) b.routine('waitTrap');
  checkPending(b);
});

export const definitions: Definitions = {
  fldcw,
  fnstcw,
  fnstsw,
  fnstenv: environment('fpuStoreEnvironment', 0, false),
  fnsave: environment('fpuSave', 80, false),
  fldenv: environment('fpuLoadEnvironment', 0, true),
  frstor: environment('fpuRestore', 80, true),
  fnclex: simple(12, false),
  fninit: simple(13, false),
  fnop: x87(() => {}),
  // Of the 8087 and 287: they do nothing any more, and do not wait.
  fneni: x87(() => {}, false),
  fndisi: x87(() => {}, false),
  fnsetpm: x87(() => {}, false),
  ffree: registerOnly('fpu_ffree'),
  ffreep: registerOnly('fpu_ffreep'),
  fwait,
};
