/** Assembles a WebAssembly module: types, imports, functions, exports, element segments, code. */
import { ByteWriter } from './byte-writer.js';
import { VALUE_TYPE } from './opcodes.js';
import { type Tier, tierSection } from './tiers.js';

export type WasmType = keyof typeof VALUE_TYPE;

export interface Signature {
  readonly params: readonly WasmType[];
  readonly results: readonly WasmType[];
}

/** An `if` or `br_if` that nearly always goes one way. */
export interface BranchHint {
  /** Of the instruction in `code`. */
  readonly offset: number;
  readonly taken: boolean;
}

/**
 * Where the code holds a number that is another one in another module or memory: an address, in four bytes; a constant of the guest's code, in
 * five, that stands in its instruction at an offset; or the index of an imported function, in two.
 */
export type Site =
  | { readonly at: number; readonly value: number; readonly offset: number; readonly length: number }
  | { readonly at: number; readonly base: number; readonly addend: number }
  | { readonly at: number; readonly name: string };

export interface FunctionBody {
  /** Index of its type in the module. */
  readonly type: number;
  /** Runs of locals beyond the parameters. */
  readonly locals: readonly { readonly count: number; readonly type: WasmType }[];
  /** Instructions, with the closing `end`. */
  readonly code: ByteWriter;
  /** In order of offset. */
  readonly hints?: readonly BranchHint[];
  readonly sites?: readonly Site[];
  /** All functions of a module say it, or none. */
  readonly tier?: Tier;
}

const SECTION = { type: 1, import: 2, function: 3, table: 4, export: 7, element: 9, code: 10 } as const;

export class ModuleBuilder {
  private readonly types: Signature[] = [];
  private readonly typeKeys = new Map<string, number>();
  private readonly importBytes = new ByteWriter();
  private importCount = 0;
  private importedFunctions = 0;
  private readonly imported = new Map<string, number>();
  private readonly functions: FunctionBody[] = [];
  private readonly exported: { name: string; index: number }[] = [];
  private readonly names: { name: string; index: number }[] = [];
  /** Where the tiers of the functions begin in what `finish` gave; undefined: they have none. */
  tiersAt: number | undefined;
  private readonly elements: { table: number; offset: number; functions: number[] }[] = [];

  type(signature: Signature): number {
    const key = `${signature.params.join()}>${signature.results.join()}`;
    let index = this.typeKeys.get(key);
    if (index === undefined) {
      index = this.types.push(signature) - 1;
      this.typeKeys.set(key, index);
    }
    return index;
  }

  private importField(module: string, name: string): ByteWriter {
    this.importCount++;
    this.importBytes.name(module);
    this.importBytes.name(name);
    return this.importBytes;
  }

  importSharedMemory(module: string, name: string, initial: number, maximum: number): void {
    const w = this.importField(module, name);
    w.u8(2);
    w.u8(3);
    w.u32(initial);
    w.u32(maximum);
  }

  importTable(module: string, name: string, initial: number): void {
    const w = this.importField(module, name);
    w.u8(1);
    w.u8(0x70);
    w.u8(0);
    w.u32(initial);
  }

  /** Index of an imported function; every import must come before the first `addFunction`. */
  importFunction(module: string, name: string, signature: Signature): number {
    const key = `${module}.${name}`;
    let index = this.imported.get(key);
    if (index === undefined) {
      if (this.functions.length > 0) throw new Error('imports must precede functions');
      const type = this.type(signature);
      const w = this.importField(module, name);
      w.u8(0);
      w.u32(type);
      index = this.importedFunctions++;
      this.imported.set(key, index);
    }
    return index;
  }

  addFunction(body: FunctionBody): number {
    return this.importedFunctions + this.functions.push(body) - 1;
  }

  export(name: string, index: number): void {
    this.exported.push({ name, index });
  }

  /** Name for profilers and disassemblers; only of functions added here. */
  name(index: number, name: string): void {
    this.names.push({ name, index });
  }

  /** Active element segment of table 0. */
  elementsAt(offset: number, functions: number[]): void {
    this.elements.push({ table: 0, offset, functions });
  }

  finish(): Uint8Array<ArrayBuffer> {
    const length = this.functions.reduce((sum, { code }) => sum + code.length, 0);
    const out = new ByteWriter(length * 2 + 4096);
    for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.u8(byte);
    const w = new ByteWriter(length + 4096);
    const section = (id: number, count: number, write: (w: ByteWriter) => void): void => {
      if (count === 0) return;
      w.clear();
      w.u32(count);
      write(w);
      out.u8(id);
      out.sized(w);
    };
    section(SECTION.type, this.types.length, (w) => {
      for (const { params, results } of this.types) {
        w.u8(0x60);
        w.u32(params.length);
        for (const t of params) w.u8(VALUE_TYPE[t]);
        w.u32(results.length);
        for (const t of results) w.u8(VALUE_TYPE[t]);
      }
    });
    section(SECTION.import, this.importCount, (w) => w.append(this.importBytes.bytes, this.importBytes.length));
    section(SECTION.function, this.functions.length, (w) => {
      for (const f of this.functions) w.u32(f.type);
    });
    section(SECTION.export, this.exported.length, (w) => {
      for (const { name, index } of this.exported) {
        w.name(name);
        w.u8(0);
        w.u32(index);
      }
    });
    section(SECTION.element, this.elements.length, (w) => {
      for (const { offset, functions } of this.elements) {
        w.u32(0);
        w.u8(0x41);
        w.s32(offset);
        w.u8(0x0b);
        w.u32(functions.length);
        for (const f of functions) w.u32(f);
      }
    });
    const heads = this.functions.map(({ locals }) => {
      const head = new ByteWriter(64);
      head.u32(locals.length);
      for (const { count, type } of locals) {
        head.u32(count);
        head.u8(VALUE_TYPE[type]);
      }
      return head;
    });
    this.hintSection(
      out,
      heads.map((head) => head.length),
    );
    this.writeTiers(out);
    section(SECTION.code, heads.length, (w) => {
      for (const [n, head] of heads.entries()) {
        const { code } = this.functions[n] as FunctionBody;
        w.u32(head.length + code.length);
        w.append(head.bytes, head.length);
        w.append(code.bytes, code.length);
      }
    });
    if (this.names.length > 0) this.nameSection(out);
    return out.finish();
  }

  /**
   * Custom section "metadata.code.branch_hint": by function, offsets from the start of its body and the expected way.
   * WebAssembly proposal "Branch Hinting", "Binary Format".
   */
  private hintSection(out: ByteWriter, starts: readonly number[]): void {
    const hinted = this.functions.filter(({ hints }) => hints !== undefined && hints.length > 0).length;
    if (hinted === 0) return;
    const content = new ByteWriter(4096);
    content.name('metadata.code.branch_hint');
    content.u32(hinted);
    for (const [n, { hints }] of this.functions.entries()) {
      if (hints === undefined || hints.length === 0) continue;
      content.u32(this.importedFunctions + n);
      content.u32(hints.length);
      for (const { offset, taken } of hints) {
        content.u32((starts[n] as number) + offset);
        content.u8(1);
        content.u8(taken ? 1 : 0);
      }
    }
    out.u8(0);
    out.sized(content);
  }

  private writeTiers(out: ByteWriter): void {
    const tiers = this.functions.flatMap(({ tier }) => tier ?? []);
    if (tiers.length === 0) return;
    out.u8(0);
    out.sized(tierSection(tiers));
    this.tiersAt = out.length - tiers.length;
  }

  /** Custom section "name", subsection 1: function names in order of index. */
  private nameSection(out: ByteWriter): void {
    const map = new ByteWriter();
    map.u32(this.names.length);
    for (const { name, index } of [...this.names].sort((a, b) => a.index - b.index)) {
      map.u32(index);
      map.name(name);
    }
    const content = new ByteWriter();
    content.name('name');
    content.u8(1);
    content.sized(map);
    out.u8(0);
    out.sized(content);
  }
}
