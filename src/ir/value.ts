/**
 * The intermediate representation: what one guest instruction means, as values (pure or read from the machine) and
 * statements (effects, in order). Operations that WebAssembly has keep its names and types, so lowering them is a
 * table lookup; the rest are the processor's own: registers, memory, lazy flags, routines.
 */

export type Type = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

/** Bytes a memory or state access moves. */
export type AccessSize = 1 | 2 | 4 | 8 | 16;

/** Operations that are not WebAssembly's own. */
export type ProcessorOp =
  /** `imm` (i32) or `big` (i64). */
  | 'const'
  /**
   * i64 constant `big` that stands in the bytes of the instruction at offset `imm`, `size` bytes long: it may be another one where the
   * same code was loaded at another address.
   */
  | 'address'
  /** v128 constant in `bytes`. */
  | 'v128.const'
  /** All 64 bits of GPR `imm`. */
  | 'reg'
  /** XMM `imm`. */
  | 'xmm'
  /** vCPU state at offset `imm`, `size` bytes, zero-extended. */
  | 'state'
  /** Field at `imm` of the interpreter's record: i32 (size 4) or i64 (size 8). */
  | 'field'
  /** `size` bytes of vCPU state at linear-memory address `a` (i32), zero-extended: an operand known only at run time. */
  | 'pointer'
  /** RIP minus the page offset of the current instruction. */
  | 'ripbase'
  /** Guest memory at linear address `a` (i64), zero-extended. */
  | 'load'
  /** The same with write intent: a fault reports a write. */
  | 'loadrmw'
  /** Condition code `imm` on the current flags: 0 or 1. */
  | 'cond'
  /** CF PF AF ZF SF OF in their RFLAGS places. */
  | 'flagsword'
  /** Runtime routine `name` on `args`. */
  | 'call'
  /** i8x16.shuffle of a and b by `bytes`. */
  | 'shuffle'
  /** Lane operations with lane `imm`; `name` is WebAssembly's. */
  | 'lane';

let serial = 0;
/** Number the next value will get: values below it exist already. */
export const nextSerial = (): number => serial;

export class Value {
  readonly serial = serial++;
  readonly op: string;
  readonly type: Type;
  readonly a: Value | undefined;
  readonly b: Value | undefined;
  readonly c: Value | undefined;
  imm = 0;
  big = 0n;
  size = 0;
  name = '';
  args: readonly Value[] | undefined = undefined;
  bytes: Uint8Array | undefined = undefined;
  /** References from other values and statements. */
  uses = 0;
  /** Local that holds it once computed; -1 while it is not. Belongs to the lowering. */
  local = -1;

  constructor(op: string, type: Type, a?: Value, b?: Value, c?: Value) {
    this.op = op;
    this.type = type;
    this.a = a;
    this.b = b;
    this.c = c;
    if (a !== undefined) a.uses++;
    if (b !== undefined) b.uses++;
    if (c !== undefined) c.uses++;
  }

  get isConst(): boolean {
    return this.op === 'const';
  }
}

/** Which flag computation a `flags` statement records; numbers are CC_* of x86/state.ts. */
export interface FlagsRecord {
  readonly kind: number;
  readonly size: 1 | 2 | 4 | 8;
  /** Values of the operation's own type (i32 up to 4 bytes, i64 for 8), clean above `size`. */
  readonly dst: Value;
  readonly src: Value | undefined;
  readonly src2: Value | undefined;
  /** First operand, where known: lets a condition compare instead of recomputing. */
  readonly x: Value | undefined;
}

/** Calls and returns pair up: a translator may predict where a return goes. */
export type Transfer = 'jump' | 'call' | 'return';

export type Statement =
  | { readonly kind: 'set'; readonly reg: number; readonly value: Value }
  | { readonly kind: 'setxmm'; readonly reg: number; readonly value: Value }
  | { readonly kind: 'setstate'; readonly offset: number; readonly size: AccessSize; readonly value: Value }
  | { readonly kind: 'setpointer'; readonly pointer: Value; readonly size: AccessSize; readonly value: Value }
  | { readonly kind: 'store'; readonly address: Value; readonly size: AccessSize; readonly value: Value }
  | { readonly kind: 'flags'; readonly flags: FlagsRecord }
  /** Flags become `value` (CC_FLAGS form). */
  | { readonly kind: 'setflags'; readonly value: Value }
  /** Compute now: the value reads what a later statement changes, or may fault. */
  | { readonly kind: 'eval'; readonly value: Value }
  /**
   * A routine that works on the vCPU state in memory and returns a status; not STATUS_OK leaves at once.
   * `ends`: the block ends here whatever the status (STATUS_OK then means: go on at the next instruction).
   */
  | { readonly kind: 'routine'; readonly name: string; readonly args: readonly Value[]; readonly ends: boolean }
  | { readonly kind: 'if'; readonly cond: Value; readonly then: readonly Statement[] }
  | { readonly kind: 'raise'; readonly vector: number; readonly error: number | undefined }
  /** Near jump to page offset `target` (i64, relative to ripbase), masked to `size` bytes. */
  | { readonly kind: 'jump'; readonly target: Value; readonly size: number; readonly transfer: Transfer }
  | { readonly kind: 'branch'; readonly cond: Value; readonly target: Value; readonly size: number }
  /** RIP becomes `rip`; look up what is there. */
  | { readonly kind: 'jumpto'; readonly rip: Value; readonly transfer: Transfer }
  /** The instruction retires and the engine leaves compiled code with `status`. */
  | { readonly kind: 'leave'; readonly status: number };

/** The meaning of one instruction. */
export interface Meaning {
  readonly statements: readonly Statement[];
  /** Control does not fall through to the next instruction by itself. */
  readonly ends: boolean;
}
