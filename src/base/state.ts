/**
 * Saved state: what a device promises to understand later. Plain JSON, never the runtime's objects, described by one
 * table per device from which its type follows. A state may come from a hostile file: `checkState` compares it with
 * the table, so a device takes over only values that it could have saved itself.
 */
import { StateError } from './errors.js';

export { StateError };

export interface SavedState {
  readonly kind: string;
  readonly version: number;
}

/** One value: in words for the message, and as a check. */
export interface Field<T> {
  readonly what: string;
  readonly accepts: (value: unknown) => value is T;
}

export interface StateKind<Kind extends string, T> {
  readonly kind: Kind;
  readonly version: number;
  readonly fields: { readonly [K in keyof T]: Field<T[K]> };
}

/** The type of the states of a kind. */
export type StateOf<K> =
  K extends StateKind<infer Kind, infer T> ? { readonly kind: Kind; readonly version: number } & Readonly<T> : never;

export function stateKind<const Kind extends string, T>(
  kind: Kind,
  version: number,
  fields: { readonly [K in keyof T]: Field<T[K]> },
): StateKind<Kind, T> {
  return { kind, version, fields };
}

/** Throws StateError unless every field of `state` is what its kind says. */
export function checkState<Kind extends string, T>(state: SavedState | undefined, of: StateKind<Kind, T>): void {
  const { kind, version } = of;
  if (typeof state !== 'object' || state === null) throw new StateError(`the saved state of ${kind} is missing`);
  if (state.kind !== kind) throw new StateError(`a saved state of ${kind} is expected, but another is there`);
  if (state.version !== version) {
    throw new StateError(
      `the saved state of ${kind} has version ${integer(0, 1e9).accepts(state.version) ? state.version : 'unknown'} and this program reads version ${version}`,
    );
  }
  checkFields(state, kind, of.fields);
}

/** The same for a part of a state, which has no kind of its own. */
export function checkFields<T>(value: unknown, name: string, fields: { readonly [K in keyof T]: Field<T[K]> }): void {
  if (typeof value !== 'object' || value === null) throw new StateError(`the saved state of ${name} is missing`);
  for (const [key, field] of Object.entries(fields) as [string, Field<unknown>][]) {
    if (!Object.hasOwn(value, key) || !field.accepts((value as Record<string, unknown>)[key])) {
      throw new StateError(`the saved state of ${name} is damaged: ${key} is not ${field.what}`);
    }
  }
}

// ---- fields ----

function field<T>(what: string, accepts: (value: unknown) => boolean): Field<T> {
  return { what, accepts: accepts as (value: unknown) => value is T };
}

/** A whole number from `first` to `last`, both safe integers. */
export function integer(first: number, last: number): Field<number> {
  return field(
    `a whole number from ${first} to ${last}`,
    // -0 is a number of JSON, and of nothing here.
    (value) =>
      Number.isSafeInteger(value) && (value as number) >= first && (value as number) <= last && !Object.is(value, -0),
  );
}

export const u8 = integer(0, 0xff);
export const u16 = integer(0, 0xffff);
export const u32 = integer(0, 0xffffffff);

/** A number with no bits but those of `mask`. */
export function bits(mask: number): Field<number> {
  const allowed = mask >>> 0;
  return field(
    `a set of the bits 0x${allowed.toString(16)}`,
    (value) => u32.accepts(value) && (value & ~allowed) >>> 0 === 0,
  );
}

export function oneOf<T extends string | number>(...values: readonly T[]): Field<T> {
  return field(`one of ${values.join(', ')}`, (value) => values.includes(value as T));
}

export const flag: Field<boolean> = field('true or false', (value) => typeof value === 'boolean');

function nanoseconds(limit: number): Field<number> {
  return field(
    'a time in nanoseconds',
    (value) => typeof value === 'number' && Math.abs(value) <= limit, // false for NaN
  );
}

/** Something that has happened: machines run for less than thirty years. */
export const time = nanoseconds(1e18);

/** Something still to come, as Timer.save tells it: a counter of 64 bits may take longer than that. */
export const deadline: Field<number | null> = orNull(nanoseconds(1e21));

/** A distance between two counters of 64 bits. */
export const offset = nanoseconds(2 ** 65);

export function orNull<T>(inner: Field<T>): Field<T | null> {
  return field(`${inner.what}, or null`, (value) => value === null || inner.accepts(value));
}

/** A list of `least` to `most` values. */
export function list<T>(inner: Field<T>, least: number, most = least): Field<T[]> {
  const count = least === most ? `${least}` : `${least} to ${most}`;
  return field(
    `a list of ${count} values, each ${inner.what}`,
    (value) =>
      Array.isArray(value) &&
      value.length >= least &&
      value.length <= most &&
      // Not `every`: that passes over the holes of a list.
      value.findIndex((item) => !inner.accepts(item)) < 0,
  );
}

/** A number of 64 bits as decimal text. */
export const u64Text: Field<string> = field(
  'a number of 64 bits',
  (value) => typeof value === 'string' && /^\d{1,20}$/.test(value) && BigInt(value) < 1n << 64n,
);

/** A part whose own `restore` checks it. */
export function part<T>(): Field<T> {
  return field('a saved state', (value) => typeof value === 'object' && value !== null);
}

/** A finite number or the fallback. */
export function finite(value: unknown, fallback = 0): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : fallback;
}
