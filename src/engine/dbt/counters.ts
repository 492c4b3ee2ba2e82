/** What compiled code and the runtime count in the vCPU's state, for --stats. */
import * as S from '../../x86/state.js';

/** By vector. SDM Vol. 3A, "Exceptions and Interrupts", table of protected-mode exceptions. */
const EXCEPTION_NAMES = [
  '#DE',
  '#DB',
  'NMI',
  '#BP',
  '#OF',
  '#BR',
  '#UD',
  '#NM',
  '#DF',
  '',
  '#TS',
  '#NP',
  '#SS',
  '#GP',
  '#PF',
  '',
  '#MF',
  '#AC',
  '#MC',
  '#XM',
];

const EXCEPTIONS = 32;
const VECTORS = 256;

export interface Counters {
  readonly interpreted: number;
  readonly traps: Record<string, number>;
  readonly interrupts: Record<string, number>;
  readonly TLB: Record<string, number>;
  readonly dispatch: Record<string, number>;
}

export function readCounters(view: DataView): Counters {
  const count = (offset: number): number => Number(view.getBigUint64(S.CPU_BASE + offset, true));
  const traps: Record<string, number> = {};
  const interrupts: Record<string, number> = {};
  for (let vector = 0; vector < VECTORS; vector++) {
    const exceptions = vector < EXCEPTIONS ? count(S.COUNT_EXCEPTION + 8 * vector) : 0;
    if (exceptions > 0) traps[EXCEPTION_NAMES[vector] ?? `exception ${vector}`] = exceptions;
    const taken = count(S.COUNT_INTERRUPT + 8 * vector);
    if (taken > 0) interrupts[`vector 0x${vector.toString(16)}`] = taken;
  }
  return {
    interpreted: count(S.COUNT_INTERPRETED),
    traps,
    interrupts,
    TLB: {
      misses: count(S.COUNT_TLB_MISS),
      'slow accesses': count(S.COUNT_SLOW_ACCESS),
      'page walks': count(S.COUNT_PAGE_WALK),
      flushes: count(S.COUNT_TLB_FLUSH),
    },
    dispatch: { lookups: count(S.COUNT_LOOKUP), 'lookup misses': count(S.COUNT_LOOKUP_MISS) },
  };
}
