/**
 * Saved state: what a device promises to understand later. Plain JSON, a type of its own per device, never the
 * runtime's objects. A state may come from a hostile file: restoring masks every number and never throws anything
 * but StateError.
 */
export interface SavedState {
  readonly kind: string;
  readonly version: number;
}

export class StateError extends Error {
  override readonly name = 'StateError';
}

export function expectState(state: SavedState | undefined, kind: string, version: number): void {
  if (typeof state !== 'object' || state === null) throw new StateError(`saved state of ${kind} is missing`);
  if (state.kind !== kind) throw new StateError(`saved state of ${kind} expected, found ${String(state.kind)}`);
  if (state.version !== version) {
    throw new StateError(`saved state of ${kind} has version ${String(state.version)}, this build reads ${version}`);
  }
}

/** A finite number or the fallback. */
export function finite(value: unknown, fallback = 0): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : fallback;
}

/** At most `limit` bytes of a saved byte list. */
export function savedBytes(value: unknown, limit: number): number[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, limit).map((item) => Number(item) & 0xff);
}

/** Copies saved numbers into a fixed typed array; missing ones become zero. */
export function restoreArray(target: Uint8Array | Uint16Array | Uint32Array, value: unknown): void {
  target.fill(0);
  if (!Array.isArray(value)) return;
  for (let i = 0; i < target.length && i < value.length; i++) target[i] = Number(value[i]);
}
