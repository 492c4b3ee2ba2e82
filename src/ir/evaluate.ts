/**
 * The slow, obvious evaluator: runs the statements of one instruction's meaning with BigInt, one after the other. It
 * shares nothing with the lowering but the meaning itself, so the two can judge each other. It knows WebAssembly's
 * operations and the order of statements; the processor's state and memory belong to the caller (`EvaluatorMachine`).
 *
 * All values are unsigned BigInts of their type's width; floating-point values travel as their bits.
 */
import { evaluateFloat } from './evaluate-float.js';
import { evaluateInteger } from './evaluate-integer.js';
import { evaluateLane, evaluateShuffle, evaluateVector } from './evaluate-vector.js';
import type { AccessSize, FlagsRecord, Meaning, Statement, Value } from './value.js';

/** What the evaluator asks of the processor. Sizes are bytes; values are zero-extended. */
export interface EvaluatorMachine {
  /** RIP minus the page offset of the current instruction. */
  readonly ripBase: bigint;
  /** All 64 bits. */
  register(index: number): bigint;
  setRegister(index: number, value: bigint): void;
  vector(index: number): bigint;
  setVector(index: number, value: bigint): void;
  state(offset: number, size: AccessSize): bigint;
  setState(offset: number, size: AccessSize, value: bigint): void;
  /** The same by linear-memory address. */
  pointer(address: number, size: AccessSize): bigint;
  setPointer(address: number, size: AccessSize, value: bigint): void;
  /** Guest memory by linear address; undefined: the access did not happen, and the machine knows why. */
  load(gva: bigint, size: AccessSize, forWrite: boolean): bigint | undefined;
  /** False: the store did not happen, and the machine knows why. */
  store(gva: bigint, size: AccessSize, value: bigint): boolean;
  /** Condition code 0-15. */
  condition(cond: number): boolean;
  flagsWord(): number;
  setFlagsWord(word: number): void;
  setFlags(kind: number, size: FlagsRecord['size'], dst: bigint, src: bigint, src2: bigint): void;
  /** A runtime routine: the value or the status, as an unsigned BigInt. */
  routine(name: string, args: readonly bigint[]): bigint;
}

export type Outcome =
  /** Retired; control is at the next instruction. */
  | { readonly kind: 'next' }
  /** Retired; RIP is this. */
  | { readonly kind: 'jumped'; readonly rip: bigint }
  /** Not retired: this exception. */
  | { readonly kind: 'raised'; readonly vector: number; readonly error: number | undefined }
  /** Not retired by itself: a guest memory access failed. */
  | { readonly kind: 'failed' }
  /** Not retired by itself: a routine returned this status (RIP is the routine's affair). */
  | { readonly kind: 'stopped'; readonly status: number }
  /** Retired, and the engine is to leave with this status; RIP is the next instruction. */
  | { readonly kind: 'left'; readonly status: number };

/** Ends the walk through the statements. Not an Error: it is the ordinary way out. */
class Stop {
  readonly outcome: Outcome;
  constructor(outcome: Outcome) {
    this.outcome = outcome;
  }
}

export function evaluate(meaning: Meaning, machine: EvaluatorMachine): Outcome {
  const evaluation = new Evaluation(machine);
  try {
    evaluation.run(meaning.statements);
  } catch (e) {
    if (e instanceof Stop) return e.outcome;
    throw e;
  }
  return { kind: 'next' };
}

const truncated = (v: bigint, size: number): bigint => BigInt.asUintN(size * 8, v);

class Evaluation {
  private readonly machine: EvaluatorMachine;
  /** Every value is computed once, at its place in the order of effects. */
  private readonly known = new Map<Value, bigint>();

  constructor(machine: EvaluatorMachine) {
    this.machine = machine;
  }

  run(statements: readonly Statement[]): void {
    for (const s of statements) this.step(s);
  }

  private step(s: Statement): void {
    const m = this.machine;
    switch (s.kind) {
      case 'eval':
        this.value(s.value);
        return;
      case 'set':
        m.setRegister(s.reg, this.value(s.value));
        return;
      case 'setxmm':
        m.setVector(s.reg, this.value(s.value));
        return;
      case 'setstate':
        m.setState(s.offset, s.size, truncated(this.value(s.value), s.size));
        return;
      case 'setpointer':
        m.setPointer(Number(this.value(s.pointer)), s.size, truncated(this.value(s.value), s.size));
        return;
      case 'store':
        if (!m.store(this.value(s.address), s.size, truncated(this.value(s.value), s.size))) {
          throw new Stop({ kind: 'failed' });
        }
        return;
      case 'flags': {
        const { kind, size, dst, src, src2 } = s.flags;
        m.setFlags(kind, size, this.value(dst), this.optional(src), this.optional(src2));
        return;
      }
      case 'setflags':
        m.setFlagsWord(Number(this.value(s.value)));
        return;
      case 'if':
        if (this.value(s.cond) !== 0n) this.run(s.then);
        return;
      default:
        this.leave(s);
    }
  }

  /** Statements that can end the instruction. */
  private leave(s: Statement): void {
    switch (s.kind) {
      case 'routine': {
        const status = Number(
          this.machine.routine(
            s.name,
            s.args.map((a) => this.value(a)),
          ),
        );
        if (status !== 0) throw new Stop({ kind: 'stopped', status });
        return;
      }
      case 'raise':
        throw new Stop({ kind: 'raised', vector: s.vector, error: s.error });
      case 'branch':
        if (this.value(s.cond) === 0n) return;
        throw new Stop({ kind: 'jumped', rip: this.target(s.target, s.size) });
      case 'jump':
        throw new Stop({ kind: 'jumped', rip: this.target(s.target, s.size) });
      case 'jumpto':
        throw new Stop({ kind: 'jumped', rip: this.value(s.rip) });
      case 'leave':
        throw new Stop({ kind: 'left', status: s.status });
      default:
        throw new TypeError(`statement ${s.kind} is not evaluated`);
    }
  }

  private target(offset: Value, size: number): bigint {
    return truncated(this.machine.ripBase + this.value(offset), size);
  }

  private optional(v: Value | undefined): bigint {
    return v === undefined ? 0n : this.value(v);
  }

  value(v: Value): bigint {
    let known = this.known.get(v);
    if (known === undefined) {
      known = this.compute(v);
      this.known.set(v, known);
    }
    return known;
  }

  /** Operand `v` of an operation that has it. */
  private operand(v: Value | undefined, op: string): bigint {
    if (v === undefined) throw new TypeError(`${op} lacks an operand`);
    return this.value(v);
  }

  private compute(v: Value): bigint {
    const m = this.machine;
    switch (v.op) {
      case 'address':
      case 'const':
        return v.type === 'i64' ? BigInt.asUintN(64, v.big) : BigInt(v.imm >>> 0);
      case 'v128.const':
        return [...(v.bytes ?? [])].reduceRight((all, byte) => (all << 8n) | BigInt(byte), 0n);
      case 'reg':
        return m.register(v.imm);
      case 'xmm':
        return m.vector(v.imm);
      case 'state':
        return m.state(v.imm, v.size as AccessSize);
      case 'pointer':
        return m.pointer(Number(this.operand(v.a, v.op)), v.size as AccessSize);
      case 'ripbase':
        return m.ripBase;
      case 'load':
      case 'loadrmw': {
        const loaded = m.load(this.operand(v.a, v.op), v.size as AccessSize, v.op === 'loadrmw');
        if (loaded === undefined) throw new Stop({ kind: 'failed' });
        return loaded;
      }
      case 'cond':
        return m.condition(v.imm) ? 1n : 0n;
      case 'flagsword':
        return BigInt(m.flagsWord());
      case 'call':
        return m.routine(
          v.name,
          (v.args ?? []).map((a) => this.value(a)),
        );
      default:
        return this.operation(v);
    }
  }

  /** WebAssembly's own operations. */
  private operation(v: Value): bigint {
    if (v.op === 'select') {
      // Both sides are computed, as WebAssembly does.
      const [a, b] = [this.operand(v.a, v.op), this.operand(v.b, v.op)];
      return this.operand(v.c, v.op) !== 0n ? a : b;
    }
    const inputs = [v.a, v.b, v.c].flatMap((x) => (x === undefined ? [] : [this.value(x)]));
    if (v.op === 'shuffle') return evaluateShuffle(v.bytes ?? new Uint8Array(16), inputs);
    if (v.op === 'lane') return evaluateLane(v.name, v.imm, inputs);
    const result = evaluateInteger(v.op, inputs) ?? evaluateFloat(v.op, inputs) ?? evaluateVector(v.op, inputs);
    if (result === undefined) throw new TypeError(`operation ${v.op} is not evaluated`);
    return result;
  }
}
