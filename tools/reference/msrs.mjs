// docs/reference/msrs.md: which MSRs there are, found out by RDMSR and WRMSR themselves.
import { readFileSync } from 'node:fs';
import { MSRS } from '../../dist/spec/x86/msr.js';
import * as S from '../../dist/x86/state.js';
import { recordedChipset } from './chipset.mjs';
import { hex, page, table } from './markdown.mjs';

/** Where MSRs may be: Intel's, the hypervisors', AMD's. */
const RANGES = [
  [0, 0x1fff],
  [0x40000000, 0x400000ff],
  [0xc0000000, 0xc0001fff],
];

/** A vCPU at power-on: CPL 0, real mode. */
function processor() {
  const runtime = readFileSync(new URL('../../dist/runtime.wasm', import.meta.url));
  const memory = new WebAssembly.Memory({ initial: 1024, maximum: 65536, shared: true });
  const zero = () => 0;
  const env = { memory, clock: zero, random: zero };
  for (const name of ['portRead', 'portWrite', 'busRead', 'busWrite', 'msrWrite']) env[name] = zero;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(runtime), { env });
  const view = new DataView(memory.buffer);
  view.setUint32(S.CPU_BASE + S.PHYSICAL_BITS, 39, true);
  const gpr = (n) => S.CPU_BASE + S.GPR + 8 * n;
  const access = (routine, msr) => {
    view.setUint32(S.CPU_BASE + S.STATUS, 0, true);
    view.setUint32(S.CPU_BASE + S.LOG_COUNT, 0, true);
    view.setUint32(S.CPU_BASE + S.LOG_CURSOR, 0, true);
    view.setBigUint64(gpr(1), BigInt(msr), true);
    return exports[routine]();
  };
  return {
    rdmsr: (msr) => access('rdmsr', msr),
    /** Writes what was read: always a value the MSR can hold. */
    wrmsr: (msr) => access('wrmsr', msr),
    clear: () => {
      view.setBigUint64(gpr(0), 0n, true);
      view.setBigUint64(gpr(2), 0n, true);
    },
  };
}

export function msrsReference() {
  const { rdmsr, wrmsr, clear } = processor();
  const { msrs: claimed } = recordedChipset();
  const isClaimed = (msr) => claimed.some(({ first, last }) => msr >= first && msr <= last);
  const found = new Map();
  for (const [first, last] of RANGES) {
    for (let msr = first; msr <= last; msr++) {
      clear();
      const read = rdmsr(msr);
      const write = wrmsr(msr);
      const isOwn = read !== S.STATUS_EXIT || write !== S.STATUS_EXIT;
      if (!isOwn && !isClaimed(msr)) continue;
      const row = MSRS.find((candidate) => msr >= candidate.first && msr <= candidate.last);
      if (row === undefined) throw new Error(`src/spec/x86/msr.ts has no name for MSR ${hex(msr)}`);
      found.set(row, {
        owner: isOwn ? 'processor' : 'local APIC',
        access: isOwn ? `${read === 0 ? 'read' : ''} ${write === 0 ? 'write' : ''}`.trim() : 'read write',
      });
    }
  }
  const missing = MSRS.filter((row) => !found.has(row));
  if (missing.length > 0) throw new Error(`there is no MSR ${missing.map(({ name }) => name).join(', ')}`);
  return page(
    'Model-specific registers',
    'the answers of RDMSR and WRMSR, and the names in `src/spec/x86/msr.ts`',
    'Every other MSR raises #GP(0). What a register of the local APIC answers depends on its mode.',
    table(
      ['MSR', 'Name', 'What', 'Belongs to', 'Access'],
      MSRS.map((row) => {
        const { owner, access } = found.get(row);
        const { first, last, name, title } = row;
        return [first === last ? hex(first) : `${hex(first)}-${hex(last)}`, `\`${name}\``, title, owner, access];
      }),
    ),
  );
}
