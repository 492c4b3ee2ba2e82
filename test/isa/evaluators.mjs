// The three evaluators over the worlds of worlds.mjs, behind one interface: `start` a program, `run` it to the first exception,
// and compare processors and memories as wholes.
import { readFileSync } from 'node:fs';
import { DirectCompiler } from '../../dist/engine/dbt/direct-compiler.js';
import { createVmMemory, DbtEngine } from '../../dist/engine/dbt/engine.js';
import { evaluate } from '../../dist/ir/evaluate.js';
import { decode } from '../../dist/x86/decode/decoder.js';
import { ProcessorView } from '../../dist/x86/evaluator-machine.js';
import { StaticLift } from '../../dist/x86/lift-static.js';
import { ROUTINES } from '../../dist/x86/routines.js';
import { semantics } from '../../dist/x86/semantics/index.js';
import * as S from '../../dist/x86/state.js';
import { vectorRoutines } from './vector-routines.mjs';
import { AREA, buildWorld, CODE, CODE_BYTES, ENTRY, RAM_BYTES, STUBS, stateOf } from './worlds.mjs';

const runtimeFile = process.env.TRAPEZE_RUNTIME ?? new URL('../../dist/runtime.wasm', import.meta.url);
const module = new WebAssembly.Module(readFileSync(runtimeFile));
const LONGEST = 15;
/** Of the 4096 that an interpreter can have. */
const MANY_FORMS = 3000;
const INT3 = 0xcc;
const HANDLERS_END = STUBS + 16 * 32;

/** RAM, vCPU state and the compiled runtime; the subclass runs programs. */
class Evaluator {
  /** `archive`: where regions are kept; what it has is `known`. */
  constructor(hotThreshold, { archive, known } = {}) {
    const memory = createVmMemory(RAM_BYTES);
    let time = 0;
    const startCompiler = (vm) => new DirectCompiler(vm, archive, known);
    const host = { now: () => (time += 1e7), tsc: () => 0, random: () => 0, startCompiler };
    this.vcpu = new DbtEngine(memory, RAM_BYTES, module, { hotThreshold }, host).createVcpu(0);
    this.runtime = this.vcpu.runtime;
    this.view = new DataView(memory.buffer);
    this.ram = new Uint8Array(memory.buffer, S.RAM, RAM_BYTES);
    this.worlds = new Map();
  }

  /** Puts program and data into a fresh world. */
  start(world, program, data, registers) {
    if (this.world !== world) {
      buildWorld(this.ram, world);
      this.vcpu.forget();
      this.world = world;
    }
    const area = new Uint8Array(AREA.end - AREA.first);
    area.fill(INT3, 0, CODE_BYTES);
    area.set(program, ENTRY - CODE);
    area.set(data, 0x10000);
    const code = area.subarray(0, CODE_BYTES);
    if (Buffer.compare(code, this.ram.subarray(CODE, CODE + CODE_BYTES)) !== 0) this.vcpu.written(CODE, CODE_BYTES);
    this.ram.set(area, AREA.first);
    // Pushed by exceptions.
    this.ram.fill(0, 0xa000, 0xb000);
    this.vcpu.load(stateOf(world, registers));
  }

  get rip() {
    return this.view.getBigUint64(S.CPU_BASE + S.RIP, true);
  }

  /** Everything that can be seen: registers, flags, segments, CR2, x87 and SSE state. */
  seen() {
    const { view } = this;
    const at = S.CPU_BASE;
    const flags = this.runtime.computeFlags();
    const words = [];
    for (let n = 0; n < 16; n++) words.push([`r${n}`, view.getBigUint64(at + S.GPR + 8 * n, true)]);
    words.push(['flags', (view.getBigUint64(at + S.RFLAGS, true) & ~0x8d5n) | BigInt(flags)]);
    words.push(['cr2', view.getBigUint64(at + S.CR2, true)]);
    for (let n = 0; n < 6; n++) {
      words.push([
        `segment ${n}`,
        BigInt(view.getUint16(at + S.SEGMENT + S.SEGMENT_STRIDE * n + S.SEGMENT_SELECTOR, true)),
      ]);
    }
    for (let n = 0; n < 160; n += 8) words.push([`x87 +${n}`, view.getBigUint64(at + S.FPR + n, true)]);
    words.push(['mxcsr', BigInt(view.getUint32(at + S.MXCSR, true))]);
    for (let n = 0; n < 256; n += 8) words.push([`xmm${n >> 4}`, view.getBigUint64(at + S.XMM + n, true)]);
    return words;
  }
}

/** The interpreter (`hotThreshold` 0) and the translator. */
export class EngineEvaluator extends Evaluator {
  start(world, program, data, registers) {
    super.start(world, program, data, registers);
    // All handlers of a program in one module: one for each block would take most of the time.
    const { interpreter, cache } = this.vcpu;
    if (interpreter.formCount > MANY_FORMS) {
      cache.flush();
      interpreter.forget();
    }
    const key = this.view.getInt32(S.CPU_BASE + S.BLOCK_KEY, true);
    for (let at = 0; at < program.length; ) {
      if (program[at] === INT3) {
        at++;
        continue;
      }
      const insn = decode(program, at, program.length - at, world.bits);
      if (insn === 'truncated') break;
      interpreter.handler(insn, key);
      at += insn.length;
    }
    interpreter.flush();
  }

  run() {
    const entry = { answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 1e6 };
    // What is hot is compiled now, however short the time was.
    this.vcpu.translator.advance(Infinity);
    let exit = this.vcpu.run(entry);
    for (let n = 0; n < 1000 && exit.kind === 'preempted'; n++) exit = this.vcpu.run(entry);
    if (exit.kind !== 'hlt') throw new Error(`exit ${exit.kind}`);
    return Number(this.rip) - 1;
  }

  get regions() {
    return this.vcpu.statistics().translator.regions;
  }
  /** Those that another evaluator has made. */
  get restoredRegions() {
    return this.vcpu.statistics().translator['regions of earlier runs'];
  }
  /** Those that hold code of several pages. */
  get wideRegions() {
    return this.vcpu.statistics().translator['regions of several pages'];
  }
}

/** The slow, obvious evaluator with the same memory management and the same routines. */
export class SlowEvaluator extends Evaluator {
  constructor() {
    super(0);
    this.cpu = new ProcessorView(new DataView(this.view.buffer, S.CPU_BASE, 0x10000), {
      load: (gva, size, forWrite) => this.loadBytes(gva, size, forWrite),
      store: (gva, size, value) => this.storeBytes(gva, size, value),
      routine: (name, args) => this.routine(name, args),
    });
    this.vectors = vectorRoutines(this.runtime);
    this.known = new Map();
    this.steps = 0;
  }

  get hasFailed() {
    return this.view.getInt32(S.CPU_BASE + S.STATUS, true) !== 0;
  }

  loadBytes(gva, size, forWrite) {
    const at = BigInt.asIntN(64, gva);
    const read = forWrite ? this.runtime.loadModifySlow : this.runtime.loadSlow;
    if (size === 16) {
      if (forWrite) this.runtime.loadModifySlow(at + 8n, 8);
      const low = this.loadBytes(gva, 8, forWrite);
      const high = low === undefined ? undefined : this.loadBytes(gva + 8n, 8, forWrite);
      return high === undefined ? undefined : low | (high << 64n);
    }
    const value = BigInt.asUintN(8 * size, read(at, size));
    return this.hasFailed ? undefined : value;
  }

  storeBytes(gva, size, value) {
    const at = BigInt.asIntN(64, gva);
    if (size === 16) {
      // Neither half is written where the other cannot be.
      if (this.loadBytes(gva, 8, true) === undefined || this.loadBytes(gva + 8n, 8, true) === undefined) return false;
      return this.storeBytes(gva, 8, BigInt.asUintN(64, value)) && this.storeBytes(gva + 8n, 8, value >> 64n);
    }
    this.runtime.storeSlow(at, BigInt.asIntN(64, value), size);
    return !this.hasFailed;
  }

  routine(name, args) {
    const { params } = ROUTINES[name];
    const passed = args.flatMap((v, n) => {
      if (params[n] === 'v128') return [BigInt.asIntN(64, v), BigInt.asIntN(64, v >> 64n)];
      return [params[n] === 'i64' ? BigInt.asIntN(64, v) : Number(BigInt.asIntN(32, v))];
    });
    const result = (this.vectors[name] ?? this.runtime[name])(...passed);
    if (Array.isArray(result)) return BigInt.asUintN(64, result[0]) | (BigInt.asUintN(64, result[1]) << 64n);
    return typeof result === 'bigint' ? BigInt.asUintN(64, result) : BigInt.asUintN(32, BigInt(result ?? 0));
  }

  start(...what) {
    super.start(...what);
    this.known.clear();
  }

  /** Runs to the first exception; undefined where that takes more than `limit` instructions. */
  run(limit) {
    for (let n = 0; n < limit; n++) {
      const at = this.linearRip;
      if (at >= STUBS && at < HANDLERS_END) return at;
      this.steps++;
      this.step();
    }
    return undefined;
  }

  step() {
    const { view, runtime, cpu } = this;
    const at = S.CPU_BASE;
    view.setInt32(at + S.STATUS, 0, true);
    const lifted = this.fetch();
    if (lifted === undefined) return this.deliver();
    const rip = this.rip;
    cpu.ripBase = rip - BigInt(lifted.inPage);
    const outcome = evaluate({ statements: lifted.statements, ends: lifted.ended }, cpu);
    const next = rip + BigInt(lifted.insn.length);
    switch (outcome.kind) {
      case 'next':
        return this.setRip(next);
      case 'jumped':
        return this.setRip(outcome.rip);
      case 'raised':
        if (outcome.error === undefined) runtime.raise(outcome.vector);
        else runtime.raiseError(outcome.vector, outcome.error);
        return this.deliver();
      case 'failed':
        return this.deliver();
      case 'left':
        return this.setRip(next);
      default:
        if (outcome.status === S.STATUS_FAULT) return this.deliver();
        if (outcome.status === S.STATUS_BUDGET) return undefined;
        if (outcome.status !== S.STATUS_MISS) throw new Error(`status ${outcome.status} of ${lifted.insn.mnemonic}`);
        return undefined;
    }
  }

  setRip(rip) {
    const is64 = (this.view.getInt32(S.CPU_BASE + S.BLOCK_KEY, true) & S.KEY_CODE64) !== 0;
    this.view.setBigUint64(S.CPU_BASE + S.RIP, is64 ? rip : BigInt.asUintN(32, rip), true);
  }

  deliver() {
    const status = this.runtime.deliverException();
    if (status !== S.STATUS_MISS) throw new Error(`an exception is not delivered: ${status}`);
  }

  /** A program may run to the offset of a stub in a segment of its own. */
  get linearRip() {
    const { view, rip } = this;
    if ((view.getInt32(S.CPU_BASE + S.BLOCK_KEY, true) & S.KEY_CODE64) !== 0) return Number(rip);
    const base = view.getBigUint64(S.CPU_BASE + S.SEGMENT + S.SEGMENT_STRIDE * S.SEG_CS, true);
    return Number(BigInt.asUintN(32, rip + base));
  }

  /** The instruction at RIP, lifted; undefined where fetching it has recorded a fault. */
  fetch() {
    const { runtime, view } = this;
    const room = runtime.codeRoom() >>> 0;
    const key = view.getInt32(S.CPU_BASE + S.BLOCK_KEY, true);
    const linear = this.linearRip;
    if (room === 0) return this.refuse();
    const host = runtime.fetchHere() >>> 0;
    if (host === 0) return undefined;
    const inPage = linear & 4095;
    const bytes = new Uint8Array(LONGEST);
    const first = Math.min(LONGEST, 4096 - inPage);
    bytes.set(new Uint8Array(view.buffer, host, first));
    const code = key & S.KEY_CODE64 ? 64 : key & S.KEY_CODE32 ? 32 : 16;
    let insn = decode(bytes, 0, first, code);
    if (insn === 'truncated') {
      if (room <= first) return this.refuse();
      const second = runtime.fetchNextPage() >>> 0;
      if (second === 0) return undefined;
      bytes.set(new Uint8Array(view.buffer, second, LONGEST - first), first);
      insn = decode(bytes, 0, LONGEST, code);
    }
    if (room < insn.length) return this.refuse();
    const known = this.known.get(linear);
    if (known !== undefined && known.key === key && Buffer.compare(known.bytes, bytes) === 0) return known;
    const definition = semantics[insn.mnemonic] ?? semantics.ud;
    const lift = new StaticLift(key, insn, inPage);
    definition.lift(lift, insn);
    const lifted = { key, bytes, insn, inPage, statements: lift.statements, ended: lift.ended };
    this.known.set(linear, lifted);
    return lifted;
  }

  /** #GP(0): beyond the limit of the code segment. */
  refuse() {
    this.runtime.raiseError(13, 0);
    return undefined;
  }
}

/** What two evaluators disagree about, '' if nothing. */
export function disagreement(a, b) {
  const [x, y] = [a.seen(), b.seen()];
  for (const [n, [name, value]] of x.entries()) {
    if (value !== y[n][1]) return `${name} ${value.toString(16)} ${y[n][1].toString(16)}`;
  }
  const [left, right] = [a, b].map(({ ram }) => ram.subarray(AREA.first, AREA.end));
  if (Buffer.compare(left, right) === 0) return '';
  const at = left.findIndex((byte, n) => byte !== right[n]);
  return `memory at ${(AREA.first + at).toString(16)} ${left[at].toString(16)} ${right[at].toString(16)}`;
}
