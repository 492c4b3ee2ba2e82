// A case of IA-32e mode: as case.mjs, with 64-bit registers and frames. What is compared are lower halves.
import { VECTORS, WITH_ERROR, writeBytes, writeDwords } from './case.mjs';
import * as L from './layout.mjs';
import { ENTER } from './monitor64.mjs';

const NAMES = Object.fromEntries(Object.entries(VECTORS).map(([name, vector]) => [vector, name]));

export const writeQuads = (at, values) =>
  writeDwords(
    at,
    values.flatMap((value) => {
      const v = BigInt.asUintN(64, BigInt(value));
      return [Number(v & 0xffffffffn), Number(v >> 32n)];
    }),
  );

/** `code64: false`: compatibility mode. `stack`: quadwords the instruction finds. */
export function makeCase64(given) {
  const { cpl = 0, code, descriptors = {}, registers = {}, segments = {}, flags = 0, writes = [], stack = [] } = given;
  const at = cpl === 3 ? L.CODE : L.SYSTEM_CODE;
  const cs = given.cs ?? (given.code64 === false ? L.CS : L.CS64)[cpl];
  const rsp = (given.rsp ?? L.stackOf(cpl)) - stack.length * 8;
  const entry = L.ENTRY_STACK - 40;
  const all = [...writes, ...writeBytes(at, [...code, 0xcd, L.DONE])];
  for (const [selector, values] of Object.entries(descriptors)) {
    all.push(...writeDwords((selector & 4 ? L.LDT : L.GDT) + (selector & 0xfff8), values));
  }
  all.push(...writeQuads(rsp, stack));
  all.push(...writeQuads(entry, [at, cs, flags | 2, rsp, given.ss ?? L.DS[cpl]]));
  return {
    family: given.family,
    name: given.name,
    section: given.section,
    expect: given.expect,
    writes: all,
    outcomeOf,
    fault: { eip: at, cs },
    state: {
      ...{ ds: L.DS[cpl], es: L.DS[cpl], fs: L.DS[cpl], gs: L.DS[cpl], ...segments },
      ...Object.fromEntries((given.probes ?? []).map((probe, n) => [`probe${n}`, probe])),
      ...Object.fromEntries(
        ['cr0', 'cr3', 'cr4', 'efer'].filter((n) => given[n] !== undefined).map((n) => [n, given[n]]),
      ),
      ...registers,
      rsp: entry,
    },
  };
}

const low = (value) => Number(BigInt.asUintN(32, value));

function outcomeOf(_, result) {
  const { vector, frame } = result;
  const hasError = WITH_ERROR.has(vector);
  const [eip, cs, eflags, esp, ss] = (hasError ? frame.slice(1) : frame).map(low);
  const seen = {
    ...result,
    eip,
    cs: cs & 0xffff,
    eflags,
    stackPointer: esp,
    outerSs: ss & 0xffff,
    cr2: low(result.cr2),
  };
  // Where the handler's own stack began.
  seen.handlerStack = low(result.stack) + (16 + (hasError ? 6 : 5)) * 8;
  for (const [name, value] of Object.entries(seen)) if (typeof value === 'bigint') seen[name] = low(value);
  result.probes.forEach((value, n) => {
    seen[`probe${n}`] = low(value);
    seen[`probeHigh${n}`] = Number(value >> 32n);
  });
  if (vector === L.DONE) return { done: true, seen };
  return {
    fault: NAMES[vector] ?? `vector ${vector}`,
    error: hasError ? low(frame[0]) : undefined,
    entering: eip === ENTER,
    seen,
  };
}
