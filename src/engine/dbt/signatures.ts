/** Signatures of what generated code calls. */
import type { Signature } from '../../wasm/module.js';
import { ROUTINES } from '../../x86/routines.js';

export const HANDLER_SIGNATURE: Signature = { params: ['i32'], results: ['i32'] };

/** Runtime functions that compiled code calls by itself, not through a definition. */
const INTERNAL: Record<string, Signature> = {
  loadSlow: { params: ['i64', 'i32'], results: ['i64'] },
  loadModifySlow: { params: ['i64', 'i32'], results: ['i64'] },
  storeSlow: { params: ['i64', 'i64', 'i32'], results: [] },
  load128Slow: { params: ['i64'], results: ['v128'] },
  loadModify128Slow: { params: ['i64'], results: ['v128'] },
  store128Slow: { params: ['i64', 'v128'], results: [] },
  loadHost: { params: ['i64', 'i64'], results: ['i32'] },
  storeHost: { params: ['i64', 'i64', 'i64'], results: ['i32'] },
  storeHost128: { params: ['i64', 'v128', 'i64'], results: ['i32'] },
  condition: { params: ['i32'], results: ['i32'] },
  evaluateFlags: { params: ['i32', 'i64', 'i64', 'i64'], results: ['i32'] },
  evaluateCondition: { params: ['i32', 'i32', 'i64', 'i64', 'i64'], results: ['i32'] },
  computeFlags: { params: [], results: ['i32'] },
  raise: { params: ['i32'], results: ['i32'] },
  raiseError: { params: ['i32', 'i32'], results: ['i32'] },
  lookup: { params: ['i32'], results: ['i32'] },
  lookupChecked: { params: [], results: ['i32'] },
  deliverFault: { params: [], results: ['i32'] },
};

/** Ways from one region to another (region-ways.ts). */
const BETWEEN_REGIONS: Record<string, Signature> = {
  enterHeader: HANDLER_SIGNATURE,
  followLink: { params: ['i32', 'i32', 'i32'], results: ['i32'] },
  followRip: { params: ['i64', 'i32'], results: ['i32'] },
  followFar: { params: ['i64', 'i32', 'i32'], results: ['i32'] },
  followFarUser: { params: ['i64', 'i32', 'i32'], results: ['i32'] },
  followIndirect: { params: ['i64', 'i32', 'i32'], results: ['i32'] },
  followIndirectUser: { params: ['i64', 'i32', 'i32'], results: ['i32'] },
  followReturn: { params: ['i64', 'i32'], results: ['i32'] },
  followReturnUser: { params: ['i64', 'i32'], results: ['i32'] },
  followSite: { params: ['i32'], results: ['i32'] },
};

/** All of the runtime that generated code may call. */
export const OF_RUNTIME: readonly string[] = [...Object.keys(INTERNAL), ...Object.keys(ROUTINES)];

/** Ways from one region to another. */
export const WAYS: readonly string[] = Object.keys(BETWEEN_REGIONS);

export function signatureOf(name: string): Signature {
  const known = INTERNAL[name] ?? BETWEEN_REGIONS[name];
  if (known !== undefined) return known;
  const routine = ROUTINES[name];
  if (routine === undefined) throw new Error(`runtime function ${name} has no signature`);
  const results = routine.status ? (['i32'] as const) : routine.result === undefined ? [] : [routine.result];
  return { params: routine.params, results };
}
