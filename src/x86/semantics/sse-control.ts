/** MXCSR. Intel SDM Vol. 2A, "LDMXCSR"; Vol. 2B, "STMXCSR". */
import { type Definition, type Definitions, defineEnd } from '../lift.js';
import * as S from '../state.js';
import { sse } from './sse-guard.js';

/** Ends the block: the exception masks are part of the block key. Reserved bits raise #GP(0). */
const load = sse((b, i) => b.routineEnds('loadMxcsr', b.read(i.operands[0])));
const ldmxcsr: Definition = defineEnd(load.lift);

const stmxcsr: Definition = sse((b, i) => b.write(i.operands[0], b.state(S.MXCSR, 4)));

export const definitions: Definitions = { ldmxcsr, stmxcsr };
