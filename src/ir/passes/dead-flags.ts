/**
 * Takes out computations of flags that nobody can see: the next flags are written before anything reads these, faults,
 * or leaves. Works backwards through the straight line of one block; where the block ends, flags are wanted.
 *
 * Values keep count of their uses, and the lowering skips what is not used: dropping a statement gives its uses back.
 */
import { operandsOf } from '../builder.js';
import type { Statement, Value } from '../value.js';

/** The statements of each instruction of a block, without dead flags. Changes the counts of uses. */
export function dropDeadFlags(
  instructions: readonly (readonly Statement[])[],
  isPureRoutine: (name: string) => boolean,
): readonly (readonly Statement[])[] {
  const pass = new Pass(isPureRoutine);
  const kept: (readonly Statement[])[] = [];
  for (let n = instructions.length - 1; n >= 0; n--) kept.push(pass.block(instructions[n] as readonly Statement[]));
  return kept.reverse();
}

class Pass {
  private readonly isPureRoutine: (name: string) => boolean;
  /** Whether the flags at the present point can be seen. */
  private live = true;

  constructor(isPureRoutine: (name: string) => boolean) {
    this.isPureRoutine = isPureRoutine;
  }

  block(statements: readonly Statement[]): readonly Statement[] {
    let kept: Statement[] | undefined;
    for (let n = statements.length - 1; n >= 0; n--) {
      const s = statements[n] as Statement;
      const result = this.statement(s);
      if (result !== s) kept ??= statements.slice(n + 1).reverse();
      if (result !== undefined) kept?.push(result);
    }
    return kept?.reverse() ?? statements;
  }

  /** The statement, perhaps with less inside, or undefined where it is dead. */
  private statement(s: Statement): Statement | undefined {
    switch (s.kind) {
      case 'flags':
      case 'setflags':
        if (!this.live) {
          for (const v of operandsOf(s)) release(v);
          return undefined;
        }
        this.live = false;
        return s;
      case 'eval':
        return this.evaluation(s);
      case 'set':
      case 'setxmm':
      case 'setstate':
      case 'setpointer':
        return s;
      case 'if': {
        const after = this.live;
        const then = this.block(s.then);
        // Not taken, it leaves the flags as they are.
        this.live ||= after;
        if (then === s.then) return s;
        if (then.length > 0) return { ...s, then };
        release(s.cond);
        return undefined;
      }
      default:
        // Stores, routines, raises and jumps can leave with the flags as they are here.
        this.live = true;
        return s;
    }
  }

  private evaluation(s: Statement & { kind: 'eval' }): Statement | undefined {
    const { value } = s;
    if (value.op === 'load' || value.op === 'loadrmw' || (value.op === 'call' && !this.isPureRoutine(value.name))) {
      this.live = true;
      return s;
    }
    // Only this statement still refers to it.
    if (value.uses === 1) {
      release(value);
      return undefined;
    }
    if (value.op === 'cond' || value.op === 'flagsword') this.live = true;
    return s;
  }
}

/** One use less; what is not used any more uses nothing. Effects keep their own `eval` and with it a use. */
function release(v: Value): void {
  v.uses--;
  if (v.uses > 0) return;
  if (v.a !== undefined) release(v.a);
  if (v.b !== undefined) release(v.b);
  if (v.c !== undefined) release(v.c);
  if (v.args !== undefined) for (const part of v.args) release(part);
}
