/** Writes the instructions of one function and allots its locals. */
import { ByteWriter } from './byte-writer.js';
import type { BranchHint, FunctionBody, Site, WasmType } from './module.js';
import { OPCODE, VALUE_TYPE } from './opcodes.js';

const MEMORY = {
  i32: { load: 0x28, store: 0x36 },
  i64: { load: 0x29, store: 0x37 },
} as const;
/** Zero-extending loads and truncating stores by type and bytes: [load, store, log2 of the natural alignment]. */
const ACCESS: Record<'i32' | 'i64', Record<number, readonly [number, number]>> = {
  i32: { 1: [0x2d, 0x3a], 2: [0x2f, 0x3b], 4: [MEMORY.i32.load, MEMORY.i32.store] },
  i64: { 1: [0x31, 0x3c], 2: [0x33, 0x3d], 4: [0x35, 0x3e], 8: [MEMORY.i64.load, MEMORY.i64.store] },
};

/** Bytes of what stands at a site: addresses are less than 128 MiB. */
export const ADDRESS_BYTES = 4;
export const INDEX_BYTES = 2;
export const CODE_BYTES = 5;

export type FreeLocals = Record<WasmType, number[]>;

export class Emitter {
  readonly code = new ByteWriter(2048);
  private readonly hints: BranchHint[] = [];
  private readonly sites: Site[] = [];
  private readonly parameters: readonly WasmType[];
  private readonly locals: WasmType[] = [];
  private free: FreeLocals = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  /** Blocks open around the current point: the depth of a branch is the difference. */
  depth = 0;

  constructor(parameters: readonly WasmType[]) {
    this.parameters = parameters;
  }

  // ---- locals ----
  allocate(type: WasmType): number {
    return this.free[type].pop() ?? this.allocateNew(type);
  }
  /** One that nobody held before and that is never released. */
  allocateNew(type: WasmType): number {
    return this.parameters.length + this.locals.push(type) - 1;
  }
  release(local: number, type: WasmType): void {
    this.free[type].push(local);
  }
  /** All but the first so many are free: for code that shares a function with other code, and no values. */
  releaseAll(kept: number): void {
    this.free = { i32: [], i64: [], f32: [], f64: [], v128: [] };
    const first = this.parameters.length;
    for (let n = first + this.locals.length - 1; n >= kept; n--) this.free[this.locals[n - first] as WasmType].push(n);
  }
  /** Locals that nobody holds: what one arm of a branch allots and releases does not concern the other. A copy. */
  get freeLocals(): FreeLocals {
    const { i32, i64, f32, f64, v128 } = this.free;
    return { i32: i32.slice(), i64: i64.slice(), f32: f32.slice(), f64: f64.slice(), v128: v128.slice() };
  }
  /** Takes the copy over. */
  set freeLocals(copy: FreeLocals) {
    this.free = copy;
  }

  // ---- instructions ----
  op(name: string): void {
    const code = OPCODE.get(name);
    if (code === undefined) throw new Error(`no WebAssembly instruction ${name}`);
    if (code >= 0xfd00) {
      this.code.u8(0xfd);
      this.code.u32(code & 0xff);
    } else this.code.u8(code);
  }
  lane(name: string, lane: number): void {
    this.op(name);
    this.code.u8(lane);
  }
  i32(n: number): void {
    this.code.u8(0x41);
    this.code.s32(n);
  }
  /** An address as a constant. */
  i32Address(base: number, addend = 0): void {
    this.code.u8(0x41);
    this.address(base, addend);
  }
  private address(base: number, addend: number): void {
    this.sites.push({ at: this.code.length, base, addend });
    // With bits to spare it has no sign.
    this.code.u32Wide(base + addend, ADDRESS_BYTES);
  }
  /** An i64 constant of 31 bits and a sign that stands in an instruction of the guest. */
  i64OfCode(value: number, offset: number, length: number): void {
    this.code.u8(0x42);
    this.sites.push({ at: this.code.length, value, offset, length });
    this.code.s32(value);
  }
  i64(n: bigint): void {
    this.code.u8(0x42);
    this.code.s64(n);
  }
  /** An i64 constant from 0 to 2^53. */
  i64Safe(n: number): void {
    this.code.u8(0x42);
    this.code.s53(n);
  }
  /** An i64 constant that fits an i32. */
  i64Small(n: number): void {
    this.code.u8(0x42);
    this.code.s32(n);
  }
  v128(bytes: Uint8Array): void {
    this.code.u8(0xfd);
    this.code.u32(0x0c);
    this.code.append(bytes);
  }
  shuffle(lanes: Uint8Array): void {
    this.code.u8(0xfd);
    this.code.u32(0x0d);
    this.code.append(lanes);
  }
  get(local: number): void {
    this.code.u8(0x20);
    this.code.u32(local);
  }
  set(local: number): void {
    this.code.u8(0x21);
    this.code.u32(local);
  }
  tee(local: number): void {
    this.code.u8(0x22);
    this.code.u32(local);
  }
  drop(): void {
    this.code.u8(0x1a);
  }
  select(type: WasmType): void {
    if (type === 'v128') {
      this.code.u8(0x1c);
      this.code.u8(1);
      this.code.u8(VALUE_TYPE.v128);
    } else this.code.u8(0x1b);
  }

  /** Zero-extending load of `size` bytes; address on the stack. */
  load(type: WasmType, size: number, offset: number): void {
    if (type === 'v128') {
      this.code.u8(0xfd);
      this.code.u32(0);
    } else this.code.u8((ACCESS[type as 'i32' | 'i64'][size] as readonly [number, number])[0]);
    this.code.u8(0);
    this.code.u32(offset);
  }
  /** The same from an address that is known, behind what is on the stack. */
  loadAddress(type: 'i32' | 'i64', size: number, base: number, addend = 0): void {
    this.code.u8((ACCESS[type][size] as readonly [number, number])[0]);
    this.code.u8(0);
    this.address(base, addend);
  }
  /** Store of the low `size` bytes; address and value on the stack. */
  store(type: WasmType, size: number, offset: number): void {
    if (type === 'v128') {
      this.code.u8(0xfd);
      this.code.u32(11);
    } else this.code.u8((ACCESS[type as 'i32' | 'i64'][size] as readonly [number, number])[1]);
    this.code.u8(0);
    this.code.u32(offset);
  }

  // ---- control ----
  private open(opcode: number, result?: WasmType): void {
    this.code.u8(opcode);
    this.code.u8(result === undefined ? 0x40 : VALUE_TYPE[result]);
    this.depth++;
  }
  block(result?: WasmType): void {
    this.open(0x02, result);
  }
  loop(): void {
    this.open(0x03);
  }
  /** `expected`: what the condition nearly always is. */
  if(result?: WasmType, expected?: boolean): void {
    this.hint(expected);
    this.open(0x04, result);
  }
  private hint(expected: boolean | undefined): void {
    if (expected !== undefined) this.hints.push({ offset: this.code.length, taken: expected });
  }
  else(): void {
    this.code.u8(0x05);
  }
  end(): void {
    this.code.u8(0x0b);
    this.depth--;
  }
  /** Branch to the block that was opened when the depth was `target` (its depth right after opening). */
  br(target: number): void {
    this.code.u8(0x0c);
    this.code.u32(this.depth - target);
  }
  brIf(target: number): void {
    this.code.u8(0x0d);
    this.code.u32(this.depth - target);
  }
  brTable(targets: readonly number[], fallback: number): void {
    this.code.u8(0x0e);
    this.code.u32(targets.length);
    for (const t of targets) this.code.u32(this.depth - t);
    this.code.u32(this.depth - fallback);
  }
  return(): void {
    this.code.u8(0x0f);
  }
  unreachable(): void {
    this.code.u8(0x00);
  }
  call(index: number): void {
    this.code.u8(0x10);
    this.code.u32(index);
  }
  returnCall(index: number): void {
    this.code.u8(0x12);
    this.code.u32(index);
  }
  /** Calls an imported function. */
  callImport(name: string, index: number): void {
    this.code.u8(0x10);
    this.importIndex(name, index);
  }
  returnCallImport(name: string, index: number): void {
    this.code.u8(0x12);
    this.importIndex(name, index);
  }
  private importIndex(name: string, index: number): void {
    this.sites.push({ at: this.code.length, name });
    this.code.u32Wide(index, INDEX_BYTES);
  }
  callIndirect(type: number): void {
    this.code.u8(0x11);
    this.code.u32(type);
    this.code.u8(0);
  }
  returnCallIndirect(type: number): void {
    this.code.u8(0x13);
    this.code.u32(type);
    this.code.u8(0);
  }

  /** Closes the function. */
  finish(type: number): FunctionBody {
    this.code.u8(0x0b);
    const locals: { count: number; type: WasmType }[] = [];
    for (const t of this.locals) {
      const last = locals[locals.length - 1];
      if (last !== undefined && last.type === t) last.count++;
      else locals.push({ count: 1, type: t });
    }
    return { type, locals, code: this.code, hints: this.hints, sites: this.sites };
  }
}
