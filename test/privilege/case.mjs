// A case: the state an instruction starts in, and what the manual says comes of it.
import * as L from './layout.mjs';
import { ENTER } from './monitor.mjs';

export const VECTORS = {
  DE: 0,
  DB: 1,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  AC: 17,
};
const NAMES = Object.fromEntries(Object.entries(VECTORS).map(([name, vector]) => [vector, name]));
/** SDM Vol. 3A, "Error Code". */
export const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17]);
const VM = 0x20000;

/** Expectations. An exception's error code is left out where it has none. */
export const fault = (name, error, more = {}) => ({ fault: name, error, ...more });
/** The instruction was carried out; `seen` is what can be observed then, by name. */
export const done = (seen = {}) => ({ done: true, ...seen });

/** Bytes as writes of dwords. */
export function writeBytes(at, bytes) {
  const padded = Uint8Array.from({ length: Math.ceil(bytes.length / 4) * 4 }, (_, n) => bytes[n] ?? 0x90);
  return Array.from(new Uint32Array(padded.buffer), (value, n) => [at + n * 4, value]);
}

export const writeDwords = (at, values) => values.map((value, n) => [at + n * 4, value >>> 0]);

/**
 * `cpl`, `code` (the instruction), `descriptors` (selector -> two dwords, GDT or LDT), `registers`, `segments`, `flags`,
 * `writes`; `stack`: dwords the instruction finds on its stack. `vm`: virtual-8086 mode, where segments are paragraphs.
 */
export function makeCase(given) {
  const { family, name, section, expect, cpl = 0, code, descriptors = {}, registers = {}, segments = {} } = given;
  const { flags = 0, writes = [], stack = [], vm = false } = given;
  const at = given.at ?? (cpl === 3 ? L.CODE : L.SYSTEM_CODE);
  const all = [...writes, ...writeBytes(at, [...code, ...(given.end ?? [0xcd, L.DONE])])];
  for (const [selector, values] of Object.entries(descriptors)) {
    all.push(...writeDwords((selector & 4 ? L.LDT : L.GDT) + (selector & 0xfff8), values));
  }
  const base = given.base ?? 0;
  const esp = (given.esp ?? L.stackOf(vm ? 3 : cpl)) - stack.length * 4;
  all.push(...writeDwords(given.stackAt ?? esp, stack));
  const cs = given.cs ?? L.CS[cpl];
  const ss = given.ss ?? L.DS[cpl];
  const image = [at - base, cs, flags | 2 | (vm ? VM : 0)];
  const data = { ds: L.DS[cpl], es: L.DS[cpl], fs: L.DS[cpl], gs: L.DS[cpl], ...segments };
  let entry;
  if (vm) image.push(esp, ss, data.es, data.ds, data.fs, data.gs);
  else if (cpl > 0) image.push(esp, ss);
  // At CPL 0 the stack of the case is the one it is entered from.
  if (cpl === 0 && !vm) entry = esp - 12;
  else entry = L.ENTRY_STACK - image.length * 4;
  all.push(...writeDwords(cpl === 0 && !vm && given.stackAt !== undefined ? given.stackAt - 12 : entry, image));
  const inSegments = vm ? {} : data;
  const { cr0 = 0x11, cr3 = 0, cr4 = 0, efer = 0 } = given;
  return {
    family,
    name,
    section,
    expect,
    writes: all,
    fault: { eip: at - base, cs },
    wide: given.wide ?? true,
    software: given.software ?? false,
    gdtLimit: given.gdtLimit,
    idtLimit: given.idtLimit,
    state: {
      ...{ cr0, cr3, cr4, efer, esp: entry, ss: cpl === 0 && !vm ? ss : L.DS[0] },
      ...Object.fromEntries((given.probes ?? []).map((probe, n) => [`probe${n}`, probe])),
      ...(given.tr === undefined ? {} : { tr: given.tr }),
      ...(given.ldt === undefined ? {} : { ldt: given.ldt }),
      ...inSegments,
      ...registers,
    },
  };
}

/** What a result shows, by the names that expectations use. */
export function outcomeOf(c, result) {
  const { vector, frame } = result;
  const isDone = vector === L.DONE;
  const hasError = WITH_ERROR.has(vector) && !c.software;
  const [eip, cs, eflags, esp, ss, ...vm] = hasError ? frame.slice(1) : frame;
  const seen = { ...result, eip, cs: cs & 0xffff, eflags, outerEsp: esp, outerSs: ss & 0xffff, vm };
  seen.stackPointer = (cs & 3) === 0 && !(eflags & VM) ? result.esp + (13 + (hasError ? 4 : 3)) * 4 : esp;
  result.probes.forEach((value, n) => {
    seen[`probe${n}`] = value;
  });
  for (const name of ['ds', 'es', 'fs', 'gs']) seen[name] = result[name] & 0xffff;
  seen.zf = (eflags >> 6) & 1;
  if (isDone) return { done: true, seen };
  const entering = eip === ENTER;
  return { fault: NAMES[vector] ?? `vector ${vector}`, error: hasError ? frame[0] : undefined, entering, seen };
}

const hex = (value) => (value === undefined ? '' : `(${value.toString(16)})`);
const values = (seen, keys) => keys.map((key) => ` ${key}=${(seen[key] >>> 0).toString(16)}`).join('');

/** Expected and observed, as text; equal where the expectation was met. */
export function compare(c, result) {
  const { expect } = c;
  const keys = Object.keys(expect).filter(
    (key) => !['done', 'fault', 'error', 'mask', 'elsewhere', 'ends'].includes(key),
  );
  const masked = (seen) =>
    Object.fromEntries(keys.map((key) => [key, (seen[key] & (expect.mask?.[key] ?? 0xffffffff)) >>> 0]));
  const expected =
    expect.ends ?? `${expect.done ? 'done' : `#${expect.fault}${hex(expect.error)}`}${values(masked(expect), keys)}`;
  if (typeof result === 'string') return { expected, observed: result };
  const outcome = (c.outcomeOf ?? outcomeOf)(c, result);
  const { seen } = outcome;
  let observed = outcome.done ? 'done' : `#${outcome.fault}${hex(outcome.error)}`;
  // Faults are told at the instruction itself.
  if (!outcome.done && !expect.elsewhere) {
    if (outcome.entering) observed += ' while entering';
    else if (seen.eip !== c.fault.eip || seen.cs !== c.fault.cs)
      observed += ` at ${seen.cs.toString(16)}:${seen.eip.toString(16)}`;
  }
  if (outcome.done === expect.done && outcome.fault === expect.fault) observed += values(masked(seen), keys);
  return { expected, observed };
}
