/**
 * Guest memory in a region. Accesses near each other (fields of a structure, a stack frame) look the TLB up once: what is
 * known of an address is an origin, any value, and an offset from it, and a lookup at the same origin serves every access
 * that is less than a page away and proves to lie in that page.
 *
 * Entries of the TLB change under a region only by routines, after which nothing is remembered; an entry that was replaced
 * meanwhile still was a valid translation.
 */
import type { Statement, Value } from '../../ir/value.js';
import type { WasmType } from '../../wasm/module.js';
import * as S from '../../x86/state.js';
import type { Lookup } from './lower.js';
import { RegionRegisters } from './region-registers.js';

/** What an address is counted from: a number made up for a register's value, or a value itself. */
type Origin = number | string | Value;
interface Place {
  readonly origin: Origin;
  readonly offset: number;
}
interface KnownLookup extends Lookup {
  readonly place: Place;
  readonly write: boolean;
}
/** What is known at a point of the code. */
export interface MemoryKnowledge {
  readonly lookups: KnownLookup[];
  readonly places: (Place | undefined)[];
}

/** More would only keep locals alive. */
const MAX_LOOKUPS = 4;
const PAGE = 4096;

export abstract class RegionMemory extends RegionRegisters {
  protected abstract readonly key: number;
  private lookups: KnownLookup[] = [];
  /** By register. */
  private places: (Place | undefined)[] = [];
  /** What register reads had when they were evaluated. */
  private readonly placeOf = new Map<Value, Place>();
  private nextOrigin = 0;
  /** Inside a conditional: what is looked up there is not known behind it. */
  protected isConditional = false;

  /** A copy. */
  protected get knowledge(): MemoryKnowledge {
    return { lookups: this.lookups.slice(), places: this.places.slice() };
  }
  /** Takes the copy over. */
  protected set knowledge({ lookups, places }: MemoryKnowledge) {
    this.lookups = lookups;
    this.places = places;
  }
  /** Where paths meet, and behind routines. */
  protected forgetMemory(): void {
    if (this.lookups.length > 0) {
      for (const known of this.lookups) super.releaseLookup(known);
      this.lookups = [];
    }
    if (this.places.length > 0) this.places = [];
    if (this.placeOf.size > 0) this.placeOf.clear();
  }
  protected override forgetRegisters(): void {
    super.forgetRegisters();
    this.forgetMemory();
  }

  // ---- where addresses are ----
  private placeOfRegister(reg: number): Place {
    this.places[reg] ??= { origin: this.nextOrigin++, offset: 0 };
    return this.places[reg];
  }
  private place(v: Value): Place {
    const seen = this.placeOf.get(v);
    if (seen !== undefined) return seen;
    switch (v.op) {
      case 'reg':
        // With a local of its own it may be older than the register.
        if (v.local < 0) return this.placeOfRegister(v.imm);
        break;
      case 'ripbase':
        return { origin: 'rip', offset: 0 };
      case 'state':
        if (isSegmentBase(v)) return { origin: `state ${v.imm}`, offset: 0 };
        break;
      case 'i64.add':
      case 'i64.sub': {
        const moved = this.moved(v);
        if (moved !== undefined) return moved;
      }
    }
    return { origin: v, offset: 0 };
  }
  /** A value plus or minus a constant. */
  private moved(v: Value): Place | undefined {
    let base = v.a as Value;
    let constant = v.b as Value;
    if (!constant.isConst) {
      if (v.op !== 'i64.add' || !base.isConst) return undefined;
      [base, constant] = [constant, base];
    }
    const by = Number(constant.big);
    const { origin, offset } = this.place(base);
    const sum = v.op === 'i64.add' ? offset + by : offset - by;
    return Number.isSafeInteger(sum) ? { origin, offset: sum } : undefined;
  }
  protected override evaluate(v: Value): void {
    if (v.op === 'reg') this.placeOf.set(v, this.placeOfRegister(v.imm));
    super.evaluate(v);
  }
  protected override setRegister(reg: number, value: Value): void {
    const place = value.type === 'i64' ? this.place(value) : undefined;
    super.setRegister(reg, value);
    this.places[reg] = this.isConditional ? undefined : place;
  }
  override statement(s: Statement): void {
    super.statement(s);
    // Segment bases among them.
    if (s.kind === 'setstate' || s.kind === 'setpointer') this.forgetMemory();
  }

  // ---- lookups ----
  protected override lookup(address: Value, size: number, write: boolean, result: WasmType | undefined): Lookup {
    if ((this.key & S.KEY_CODE64) === 0) return super.lookup(address, size, write, result);
    const place = this.place(address);
    const known = this.knownNear(place, write);
    if (known !== undefined) return this.reuse(known, place.offset - known.place.offset, address, size, result);
    const found = super.lookup(address, size, write, result);
    if (!this.isConditional) this.remember({ ...found, place, write });
    return found;
  }
  private knownNear({ origin, offset }: Place, write: boolean): KnownLookup | undefined {
    for (let n = 0; n < this.lookups.length; n++) {
      const known = this.lookups[n] as KnownLookup;
      const { place } = known;
      if (place.origin === origin && (known.write || !write) && Math.abs(offset - place.offset) < PAGE) return known;
    }
    return undefined;
  }
  private reuse(known: KnownLookup, shift: number, address: Value, size: number, result: WasmType | undefined): Lookup {
    const e = this.emit;
    this.evaluate(address);
    const delta = e.allocate('i64');
    e.get(known.delta);
    e.i64Small(shift);
    e.op('i64.add');
    e.set(delta);
    const found = { address: known.address, shift, delta, host: known.host };
    this.ifHit(found, size, result);
    return found;
  }
  private remember(known: KnownLookup): void {
    this.lookups.unshift(known);
    if (this.lookups.length <= MAX_LOOKUPS) return;
    const [oldest] = this.lookups.splice(MAX_LOOKUPS);
    if (oldest !== undefined) super.releaseLookup(oldest);
  }
  protected override releaseLookup(l: Lookup): void {
    let address = false;
    let host = false;
    let delta = false;
    for (let n = 0; n < this.lookups.length; n++) {
      const known = this.lookups[n] as KnownLookup;
      address ||= known.address === l.address;
      host ||= known.host === l.host;
      delta ||= known.delta === l.delta;
    }
    if (!address) this.emit.release(l.address, 'i64');
    if (!host) this.emit.release(l.host, 'i32');
    if (!delta) this.emit.release(l.delta, 'i64');
  }
}

function isSegmentBase({ imm, size }: Value): boolean {
  const at = imm - S.SEGMENT;
  return size === 8 && at >= 0 && at < 8 * S.SEGMENT_STRIDE && at % S.SEGMENT_STRIDE === S.SEGMENT_BASE;
}
