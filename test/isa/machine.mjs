// A processor for instruction tests: the slow evaluator over a VM memory with the compiled runtime, paging off, and the
// same little address space that tools/native/execute.c gives this host's processor.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { evaluate } from '../../dist/ir/evaluate.js';
import { decode } from '../../dist/x86/decode/decoder.js';
import { ProcessorView } from '../../dist/x86/evaluator-machine.js';
import { StaticLift } from '../../dist/x86/lift-static.js';
import { ROUTINES } from '../../dist/x86/routines.js';
import { semantics } from '../../dist/x86/semantics/index.js';
import * as S from '../../dist/x86/state.js';

export const CODE = 0x24000000;
export const START = CODE + 1024;
export const DATA = 0x10000000;
export const DATA_SIZE = 0x2000;
export const WINDOW = 0x10000f80;
export const WINDOW_SIZE = 256;
/** Message of the error where a program runs on and on. */
export const DOES_NOT_END = 'the program does not end';

const runtimeFile = process.env.TRAPEZE_RUNTIME ?? fileURLToPath(new URL('../../dist/runtime.wasm', import.meta.url));

export function loadModule() {
  return new WebAssembly.Module(readFileSync(runtimeFile));
}

function loadRuntime() {
  const module = loadModule();
  const pages = Math.ceil((S.RAM + DATA + DATA_SIZE) / 65536) + 16;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true });
  const imports = { env: { memory } };
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    if (kind !== 'function') continue;
    imports[from] ??= {};
    imports[from][name] = () => 0;
  }
  return { memory, runtime: new WebAssembly.Instance(module, imports).exports };
}

const KEYS = {
  64: S.KEY_CODE64 | S.KEY_FLAT | S.KEY_PROTECTED | S.KEY_LONG,
  32: S.KEY_CODE32 | S.KEY_STACK32 | S.KEY_FLAT | S.KEY_PROTECTED,
};

export class TestMachine {
  constructor() {
    const { memory, runtime } = loadRuntime();
    this.runtime = runtime;
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer, S.CPU_BASE, 0x10000);
    this.cpu = new ProcessorView(this.view, {
      load: (gva, size) => this.load(gva, size),
      store: (gva, size, value) => this.store(gva, size, value),
      routine: (name, args) => this.routine(name, args),
    });
    new DataView(memory.buffer).setUint32(S.CPU_BASE + S.RAM_SIZE, DATA + DATA_SIZE, true);
    // Protected mode, no paging; all segments flat.
    this.view.setBigUint64(S.CR0, 0x11n, true);
    this.view.setInt32(S.CPL, 0, true);
    for (const segment of [S.SEG_ES, S.SEG_CS, S.SEG_SS, S.SEG_DS]) {
      const at = S.SEGMENT + segment * S.SEGMENT_STRIDE;
      this.view.setUint32(at + S.SEGMENT_LIMIT, 0xffffffff, true);
      this.view.setUint32(at + S.SEGMENT_ATTRIBUTES, segment === S.SEG_CS ? 0xc09b : 0xc093, true);
    }
    runtime.flushAll?.();
  }

  isMapped(gva, size) {
    return gva >= BigInt(DATA) && gva + BigInt(size) <= BigInt(DATA + DATA_SIZE);
  }

  load(gva, size) {
    if (!this.isMapped(gva, size)) return undefined;
    let value = 0n;
    for (let n = size - 1; n >= 0; n--) value = (value << 8n) | BigInt(this.bytes[S.RAM + Number(gva) + n]);
    return value;
  }

  store(gva, size, value) {
    if (!this.isMapped(gva, size)) return false;
    for (let n = 0; n < size; n++) this.bytes[S.RAM + Number(gva) + n] = Number((value >> BigInt(8 * n)) & 255n);
    return true;
  }

  routine(name, args) {
    const routine = ROUTINES[name];
    if (routine === undefined) throw new Error(`routine ${name} has no signature`);
    const f = this.runtime[name];
    if (f === undefined) throw new Error(`the runtime has no ${name}`);
    const passed = args.map((v, n) =>
      routine.params[n] === 'i64' ? BigInt.asIntN(64, v) : Number(BigInt.asIntN(32, v)),
    );
    const result = f(...passed);
    return typeof result === 'bigint' ? BigInt.asUintN(64, result) : BigInt.asUintN(32, BigInt(result ?? 0));
  }

  /** State before: { gpr, flags, window, xmm? } as BigInts and bytes. */
  set(state, bits) {
    for (let n = 0; n < 16; n++) this.cpu.setRegister(n, state.gpr[n]);
    this.view.setInt32(S.BLOCK_KEY, KEYS[bits], true);
    this.view.setBigUint64(S.RFLAGS, (state.flags & ~0x8d5n) | 2n, true);
    this.cpu.setFlagsWord(Number(state.flags & 0x8d5n));
    this.view.setInt32(S.STATUS, 0, true);
    this.bytes.fill(0, S.RAM + DATA, S.RAM + DATA + DATA_SIZE);
    this.bytes.set(state.window, S.RAM + WINDOW);
    this.view.setBigUint64(S.RIP, BigInt(START), true);
    // Routines ask CS.L and CS.D, which the key only mirrors.
    this.view.setBigUint64(S.EFER, bits === 64 ? 0x500n : 0n, true);
    const cs = S.SEGMENT + S.SEG_CS * S.SEGMENT_STRIDE + S.SEGMENT_ATTRIBUTES;
    this.view.setUint32(cs, bits === 64 ? 0xa09b : 0xc09b, true);
  }

  /** Runs one instruction at START. Gives the state after, with `trap` as the processor would report it. */
  run(code, bits) {
    const { insn, outcome, rip, trap } = this.step(code, 0, bits, START);
    return { insn, outcome, trap, rip, ...this.state() };
  }

  /** Runs instructions from START until one leaves the program or faults; at most `limit`. */
  runProgram(program, bits, limit) {
    let at = 0;
    for (let n = 0; n < limit; n++) {
      const { trap, rip } = this.step(program, at, bits, START + at);
      at = Number(rip) - START;
      if (trap !== 3 || at < 0 || at >= program.length) return { trap, rip, steps: n + 1, ...this.state() };
    }
    throw new Error(DOES_NOT_END);
  }

  step(code, at, bits, rip) {
    const insn = decode(code, at, code.length - at, bits);
    if (insn === 'truncated') throw new Error('truncated');
    const definition = semantics[insn.mnemonic];
    if (definition === undefined) throw new Error(`no definition of ${insn.mnemonic}`);
    const lift = new StaticLift(KEYS[bits], insn, rip & 4095);
    definition.lift(lift, insn);
    this.cpu.ripBase = BigInt(rip & ~4095);
    this.view.setBigUint64(S.RIP, BigInt(rip), true);
    this.view.setInt32(S.STATUS, 0, true);
    const outcome = evaluate({ statements: lift.statements, ends: lift.ended }, this.cpu);
    const here = { insn, outcome, trap: 14, rip: BigInt(rip) };
    if (outcome.kind === 'next') return { ...here, trap: 3, rip: BigInt(rip + insn.length) };
    if (outcome.kind === 'jumped') return { ...here, trap: 3, rip: outcome.rip };
    if (outcome.kind === 'raised') return { ...here, trap: outcome.vector };
    return outcome.kind === 'stopped' ? { ...here, trap: -outcome.status } : here;
  }

  state() {
    return {
      gpr: Array.from({ length: 16 }, (_, n) => this.cpu.register(n)),
      flags: this.view.getBigUint64(S.RFLAGS, true) | BigInt(this.cpu.flagsWord()),
      window: this.bytes.slice(S.RAM + WINDOW, S.RAM + WINDOW + WINDOW_SIZE),
    };
  }
}
