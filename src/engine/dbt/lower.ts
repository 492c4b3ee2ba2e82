/**
 * From IR to WebAssembly: what interpreter handlers and translated regions share. Values become stack expressions or
 * temporary locals; guest memory goes through the software TLB. Where registers, flags and RIP live is decided by the
 * subclasses (handler.ts: linear memory; region.ts: locals).
 */
import type { Statement, Value } from '../../ir/value.js';
import type { Emitter } from '../../wasm/emitter.js';
import type { WasmType } from '../../wasm/module.js';
import { ROUTINES } from '../../x86/routines.js';
import * as S from '../../x86/state.js';

/** Calls of the runtime's functions by their export names, arguments on the stack. */
export interface RuntimeFunctions {
  call(e: Emitter, name: string): void;
  returnCall(e: Emitter, name: string): void;
}

/** A page looked up in the TLB, in locals: the address is `address` plus `shift`, its host address `host` plus `delta`. */
export interface Lookup {
  readonly address: number;
  readonly shift: number;
  readonly delta: number;
  readonly host: number;
  /** How far behind the host address the bytes are. */
  readonly behind: number;
}

const SLOT_MASK = (S.TLB_ENTRIES - 1) * S.TLB_ENTRY_SIZE;

export abstract class Lowering {
  readonly emit: Emitter;
  protected readonly functions: RuntimeFunctions;

  constructor(emit: Emitter, functions: RuntimeFunctions) {
    this.emit = emit;
    this.functions = functions;
  }

  // ---- what the subclasses decide ----
  protected abstract getRegister(v: Value): void;
  protected abstract setRegister(reg: number, value: Value): void;
  protected abstract ripBase(): void;
  protected abstract field(v: Value): void;
  /** Adds the read or write view's base to the TLB slot offset on the stack (or leaves it to the load's offset). */
  protected abstract viewBase(write: boolean): void;
  protected abstract viewOffset(write: boolean): number;
  protected abstract condition(cond: number): void;
  protected abstract flagsWord(): void;
  protected abstract recordFlags(s: Statement & { kind: 'flags' }): void;
  protected abstract setFlags(value: Value): void;
  /** Leaves compiled code with the value of STATUS; the instruction has not happened. */
  protected abstract sideExit(): void;
  protected abstract routine(s: Statement & { kind: 'routine' }): void;
  protected abstract raise(vector: number, error: number | undefined): void;
  protected abstract conditional(s: Statement & { kind: 'if' }): void;
  protected abstract terminator(s: Statement): void;

  statement(s: Statement): void {
    switch (s.kind) {
      case 'eval':
        this.evaluate(s.value);
        break;
      case 'set':
        this.setRegister(s.reg, s.value);
        break;
      case 'setstate':
        this.emit.i32(0);
        this.value(s.value);
        this.emit.store(s.value.type, s.size, S.CPU_BASE + s.offset);
        break;
      case 'setpointer':
        this.value(s.pointer);
        this.value(s.value);
        this.emit.store(s.value.type, s.size, 0);
        break;
      case 'store':
        this.storeGuest(s.address, s.size, s.value);
        break;
      case 'flags':
        this.recordFlags(s);
        break;
      case 'setflags':
        this.setFlags(s.value);
        break;
      case 'routine':
        this.routine(s);
        break;
      case 'raise':
        this.raise(s.vector, s.error);
        break;
      case 'if':
        this.conditional(s);
        break;
      default:
        this.terminator(s);
    }
  }

  // ---- values ----
  /** Pushes a value, consuming one of its uses. A value with more uses to come is kept in a local. */
  value(v: Value): void {
    const e = this.emit;
    v.uses--;
    if (v.op === 'const') {
      if (v.type === 'i64') e.i64(v.big);
      else e.i32(v.imm);
      return;
    }
    if (v.local >= 0) {
      e.get(v.local);
      if (v.uses === 0) this.releaseLocal(v);
      return;
    }
    this.compute(v);
    if (v.uses > 0 && v.local === -1) {
      v.local = e.allocate(v.type);
      e.tee(v.local);
    }
  }

  protected releaseLocal(v: Value): void {
    this.emit.release(v.local, v.type);
    v.local = -3;
  }

  /** Gives up one use without needing the value. */
  protected discard(v: Value): void {
    v.uses--;
    if (v.uses === 0 && v.local >= 0) this.releaseLocal(v);
  }

  /** `eval`: computes now what may be used later. */
  protected evaluate(v: Value): void {
    if (v.op === 'const' || v.local >= 0 || v.local === -2) {
      this.discard(v);
      return;
    }
    v.uses--;
    const effect = v.op === 'load' || v.op === 'loadrmw' || v.op === 'call';
    if (v.uses === 0 && !effect) {
      this.abandon(v);
      return;
    }
    this.compute(v);
    if (v.uses === 0) {
      this.emit.drop();
      return;
    }
    if (v.local === -1) {
      v.local = this.emit.allocate(v.type);
      this.emit.set(v.local);
    }
  }

  /** A pure value nobody wants: its operands lose a use. */
  private abandon(v: Value): void {
    if (v.a !== undefined) this.abandonPart(v.a);
    if (v.b !== undefined) this.abandonPart(v.b);
    if (v.c !== undefined) this.abandonPart(v.c);
    if (v.args !== undefined) for (const part of v.args) this.abandonPart(part);
  }
  private abandonPart(part: Value): void {
    this.discard(part);
    if (part.uses === 0 && part.local === -1 && part.op !== 'const') this.abandon(part);
  }

  /** Leaves the value on the stack (or, for an alias of a register, sets `local` to -2). */
  protected compute(v: Value): void {
    const e = this.emit;
    switch (v.op) {
      case 'reg':
        this.getRegister(v);
        return;
      case 'state':
        e.i32(0);
        e.load(v.type, v.size, S.CPU_BASE + v.imm);
        return;
      case 'address':
        e.i64OfCode(Number(v.big), v.imm, v.size);
        return;
      case 'field':
        this.field(v);
        return;
      case 'pointer':
        this.value(v.a as Value);
        e.load(v.type, v.size, 0);
        return;
      case 'ripbase':
        this.ripBase();
        return;
      case 'load':
      case 'loadrmw':
        this.loadGuest(v);
        return;
      case 'cond':
        this.condition(v.imm);
        return;
      case 'flagsword':
        this.flagsWord();
        return;
      case 'call':
        for (const a of v.args ?? []) this.value(a);
        this.functions.call(e, v.name);
        return;
      case 'v128.const':
        e.v128(v.bytes as Uint8Array);
        return;
      case 'shuffle':
        this.value(v.a as Value);
        this.value(v.b as Value);
        e.shuffle(v.bytes as Uint8Array);
        return;
      case 'lane':
        this.value(v.a as Value);
        if (v.b !== undefined) this.value(v.b);
        e.lane(v.name, v.imm);
        return;
      case 'select':
        this.value(v.a as Value);
        this.value(v.b as Value);
        this.value(v.c as Value);
        e.select(v.type);
        return;
      default:
        if (v.a !== undefined) this.value(v.a);
        if (v.b !== undefined) this.value(v.b);
        if (v.c !== undefined) this.value(v.c);
        e.op(v.op);
    }
  }

  /** Puts a value into a local (or leaves a constant or register alias) so that it can be read several times. */
  protected pin(v: Value): void {
    if (v.op === 'const' || v.local >= 0 || v.local === -2) return;
    this.compute(v);
    if (v.local === -2) {
      this.emit.drop();
      return;
    }
    v.local = this.emit.allocate(v.type);
    this.emit.set(v.local);
  }
  /** Pushes a pinned value without consuming a use. */
  protected peek(v: Value): void {
    if (v.local >= 0) {
      this.emit.get(v.local);
      return;
    }
    v.uses++;
    this.value(v);
  }

  // ---- guest memory ----
  /**
   * Opens `if (hit)` with the host address on the stack.
   *
   *   slot = (address >> 8) & SLOT_MASK;  delta = address - slot.tag;  hit = delta <u 4097 - size
   */
  private lookup(address: Value, size: number, write: boolean, result: WasmType | undefined): Lookup {
    const e = this.emit;
    const l = this.probe(address, write);
    e.get(l.delta);
    e.i64Small(4097 - size);
    e.op('i64.lt_u');
    e.if(result, true);
    this.pushHost(l);
    return l;
  }
  /** Looks the page of an address up: whether it is there `delta` says. */
  protected probe(address: Value, write: boolean): Lookup {
    const e = this.emit;
    const at = e.allocate('i64');
    const host = e.allocate('i32');
    const delta = e.allocate('i64');
    this.value(address);
    e.set(at);
    const l = { address: at, shift: 0, delta, host, behind: 0 };
    this.findPage(l, write);
    return l;
  }
  /** Sets what an address, in its local, is found by. */
  protected findPage({ address, delta, host }: Lookup, write: boolean): void {
    const e = this.emit;
    e.get(address);
    e.i64Small(8);
    e.op('i64.shr_u');
    e.op('i32.wrap_i64');
    e.i32(SLOT_MASK);
    e.op('i32.and');
    this.viewBase(write);
    e.set(host);
    e.get(address);
    e.get(host);
    e.load('i64', 8, this.viewOffset(write));
    e.op('i64.sub');
    e.set(delta);
    e.get(host);
    e.load('i32', 4, this.viewOffset(write) + 8);
    e.set(host);
  }
  protected pushHost({ delta, host }: Lookup): void {
    const e = this.emit;
    e.get(delta);
    e.op('i32.wrap_i64');
    e.get(host);
    e.op('i32.add');
  }
  protected pushAddress({ address, shift }: Lookup): void {
    const e = this.emit;
    e.get(address);
    if (shift === 0) return;
    e.i64Small(shift);
    e.op('i64.add');
  }
  protected releaseLookup(l: Lookup): void {
    this.emit.release(l.address, 'i64');
    this.emit.release(l.host, 'i32');
    this.emit.release(l.delta, 'i64');
  }

  protected loadGuest(v: Value): void {
    const e = this.emit;
    const modify = v.op === 'loadrmw';
    const l = this.lookup(v.a as Value, v.size, modify, v.type);
    e.load(v.type, v.size, 0);
    e.else();
    this.pushAddress(l);
    if (v.size === 16) this.functions.call(e, modify ? 'loadModify128Slow' : 'load128Slow');
    else {
      e.i32(v.size);
      this.functions.call(e, modify ? 'loadModifySlow' : 'loadSlow');
      if (v.type === 'i32') e.op('i32.wrap_i64');
    }
    this.exitIfFailed();
    e.end();
    this.releaseLookup(l);
  }

  protected storeGuest(address: Value, size: number, value: Value): void {
    const e = this.emit;
    // The value is needed on both paths.
    this.pin(value);
    const l = this.lookup(address, size, true, undefined);
    this.peek(value);
    e.store(value.type, size, 0);
    e.else();
    this.pushAddress(l);
    this.peek(value);
    if (size === 16) this.functions.call(e, 'store128Slow');
    else {
      if (value.type === 'i32') e.op('i64.extend_i32_u');
      e.i32(size);
      this.functions.call(e, 'storeSlow');
    }
    this.exitIfFailed();
    e.end();
    this.releaseLookup(l);
    this.discard(value);
  }

  /** After a slow path: leave if it set STATUS. */
  protected exitIfFailed(): void {
    const e = this.emit;
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
    e.if(undefined, false);
    this.sideExit();
    e.end();
  }

  protected callRoutine(name: string, args: readonly Value[]): void {
    if (ROUTINES[name] === undefined) throw new Error(`unknown routine ${name}`);
    for (const a of args) this.value(a);
    this.functions.call(this.emit, name);
  }
}
