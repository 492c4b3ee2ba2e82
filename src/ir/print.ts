/** The text form of the IR: one statement a line, values numbered where they are used more than once. */
import type { FlagsRecord, Statement, Value } from './value.js';

export class Printer {
  private readonly numbers = new Map<Value, number>();
  private readonly lines: string[] = [];
  /** Name of a flag operation by its number. */
  private readonly flagNames: readonly string[];

  constructor(flagNames: readonly string[]) {
    this.flagNames = flagNames;
  }

  print(statements: readonly Statement[], indent = '  '): string[] {
    for (const s of statements) this.statement(s, indent);
    return this.lines;
  }

  private line(indent: string, text: string): void {
    this.lines.push(indent + text);
  }

  private statement(s: Statement, indent: string): void {
    const v = (value: Value): string => this.value(value);
    switch (s.kind) {
      case 'eval':
        if (s.value.op === 'const') return;
        this.line(indent, `${this.name(s.value)} = ${this.definition(s.value)}`);
        return;
      case 'set':
        this.line(indent, `reg ${s.reg} := ${v(s.value)}`);
        return;
      case 'setxmm':
        this.line(indent, `xmm ${s.reg} := ${v(s.value)}`);
        return;
      case 'setstate':
        this.line(indent, `state[${s.offset}].${s.size} := ${v(s.value)}`);
        return;
      case 'setpointer':
        this.line(indent, `at(${v(s.pointer)}).${s.size} := ${v(s.value)}`);
        return;
      case 'store':
        this.line(indent, `store.${s.size} [${v(s.address)}] := ${v(s.value)}`);
        return;
      case 'flags':
        this.line(indent, `flags ${this.flags(s.flags)}`);
        return;
      case 'setflags':
        this.line(indent, `flags := ${v(s.value)}`);
        return;
      case 'routine':
        this.line(indent, `${s.ends ? 'end with ' : ''}${s.name}(${s.args.map(v).join(', ')})`);
        return;
      case 'if':
        this.line(indent, `if ${v(s.cond)}`);
        for (const inner of s.then) this.statement(inner, `${indent}  `);
        return;
      case 'raise':
        this.line(indent, `raise ${s.vector}${s.error === undefined ? '' : ` error ${s.error}`}`);
        return;
      case 'jump':
        this.line(indent, `jump ${v(s.target)}`);
        return;
      case 'branch':
        this.line(indent, `branch ${v(s.target)} if ${v(s.cond)}`);
        return;
      case 'jumpto':
        this.line(indent, `jump to ${v(s.rip)}`);
        return;
      case 'leave':
        this.line(indent, `leave with status ${s.status}`);
    }
  }

  private flags(f: FlagsRecord): string {
    const parts = [f.dst, f.src, f.src2].map((v) => (v === undefined ? '-' : this.value(v)));
    return `${this.flagNames[f.kind] ?? f.kind}.${f.size} ${parts.join(' ')}`;
  }

  private name(v: Value): string {
    let number = this.numbers.get(v);
    if (number === undefined) {
      number = this.numbers.size;
      this.numbers.set(v, number);
    }
    return `%${number}:${v.type}`;
  }

  private value(v: Value): string {
    if (v.op === 'address') return `${v.big}`;
    if (v.op === 'const') return v.type === 'i64' ? `${v.big}` : `${v.imm}`;
    if (this.numbers.has(v)) return `%${this.numbers.get(v)}`;
    return `(${this.definition(v)})`;
  }

  private definition(v: Value): string {
    const operands = [v.a, v.b, v.c].filter((x): x is Value => x !== undefined).map((x) => this.value(x));
    switch (v.op) {
      case 'reg':
      case 'xmm':
        return `${v.op} ${v.imm}`;
      case 'state':
        return `state[${v.imm}].${v.size}`;
      case 'pointer':
        return `at(${operands[0]}).${v.size}`;
      case 'load':
      case 'loadrmw':
        return `${v.op}.${v.size} [${operands[0]}]`;
      case 'cond':
        return `cond ${v.imm}`;
      case 'call':
        return `${v.name}(${(v.args ?? []).map((x) => this.value(x)).join(', ')})`;
      case 'lane':
        return `${v.name} ${v.imm} ${operands.join(' ')}`;
      case 'shuffle':
        return `shuffle ${operands.join(' ')} [${[...(v.bytes ?? [])].join(' ')}]`;
      case 'v128.const':
        return `v128.const [${[...(v.bytes ?? [])].join(' ')}]`;
      default:
        return [v.op, ...operands].join(' ');
    }
  }
}
