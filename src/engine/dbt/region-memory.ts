/**
 * Guest memory in a region. Accesses near each other (fields of a structure, a stack frame) look the TLB up once: what is
 * known of an address is an origin, any value, and an offset from it (modulo 2^32 outside of 64-bit mode, where addresses wrap
 * around: within a page they do not), and a lookup at the same origin serves every access
 * that is less than a page away and proves to lie in that page. If it does not, the instruction starts anew as the first of a
 * block, where nothing is known: fewer slow paths in line, which V8 would spend most of its time on.
 *
 * Entries of the TLB change under a region only by routines, after which nothing is remembered; an entry that was replaced
 * meanwhile still was a valid translation.
 */
import type { Statement, Value } from '../../ir/value.js';
import * as S from '../../x86/state.js';
import type { Lookup } from './lower.js';
import { RegionLastPages } from './region-last-pages.js';
import { boundOf, isInTable } from './value-bounds.js';

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
  readonly bounds: (number | undefined)[];
}

/** More would only keep locals alive. */
const MAX_LOOKUPS = 4;
const PAGE = 4096;
const WATCHED = S.KEY_DATA_BREAKPOINT | S.KEY_ALIGN;

export abstract class RegionMemory extends RegionLastPages {
  protected abstract readonly key: number;
  private lookups: KnownLookup[] = [];
  /** By register. */
  private places: (Place | undefined)[] = [];
  /** By register: its value is at most this. */
  private bounds: (number | undefined)[] = [];
  /** What register reads had when they were evaluated. */
  private readonly placeOf = new Map<Value, Place>();
  private nextOrigin = 0;
  /** This instruction has accessed memory. */
  private hasAccessed = false;
  /** An access of this instruction that was found near, in locals of what is known. */
  private checked: { readonly known: KnownLookup; readonly access: Lookup; readonly size: number } | undefined;
  /** Inside a conditional: what is looked up there is not known behind it. */
  protected isConditional = false;

  private get is64(): boolean {
    return (this.key & S.KEY_CODE64) !== 0;
  }

  /** A copy. */
  protected get knowledge(): MemoryKnowledge {
    return { lookups: this.lookups.slice(), places: this.places.slice(), bounds: this.bounds.slice() };
  }
  /** Takes the copy over. */
  protected set knowledge({ lookups, places, bounds }: MemoryKnowledge) {
    this.lookups = lookups;
    this.places = places;
    this.bounds = bounds;
  }
  /** Where paths meet, and behind routines. */
  protected forgetMemory(): void {
    if (this.lookups.length > 0) {
      for (const known of this.lookups) super.releaseLookup(known);
      this.lookups = [];
    }
    if (this.places.length > 0) this.places = [];
    if (this.bounds.length > 0) this.bounds = [];
    if (this.placeOf.size > 0) this.placeOf.clear();
  }
  protected override forgetRegisters(): void {
    super.forgetRegisters();
    this.forgetMemory();
    this.forgetPages();
  }

  private readonly boundOfRegister = ({ imm, local }: Value): number =>
    local < 0 ? (this.bounds[imm] ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;

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
      case 'i32.wrap_i64':
      case 'i64.extend_i32_u':
        if (this.is64) break;
        return this.place(v.a as Value);
      case 'i32.add':
      case 'i32.sub':
        if (this.is64) break;
        return this.moved(v) ?? { origin: v, offset: 0 };
      case 'i64.add':
      case 'i64.sub':
        return this.moved(v) ?? { origin: v, offset: 0 };
    }
    return { origin: v, offset: 0 };
  }
  /** From one place to another of the same origin: addresses of 32 bits wrap around. */
  private distance(to: Place, from: Place): number {
    const distance = to.offset - from.offset;
    return this.is64 ? distance : distance | 0;
  }
  /** A value plus or minus a constant. */
  private moved(v: Value): Place | undefined {
    let base = v.a as Value;
    let constant = v.b as Value;
    if (!constant.isConst) {
      if (!isAddition(v) || !base.isConst) return undefined;
      [base, constant] = [constant, base];
    }
    const by = constant.type === 'i64' ? Number(constant.big) : constant.imm;
    const { origin, offset } = this.place(base);
    const sum = isAddition(v) ? offset + by : offset - by;
    return Number.isSafeInteger(sum) ? { origin, offset: sum } : undefined;
  }
  protected override evaluate(v: Value): void {
    if (v.op === 'reg') this.placeOf.set(v, this.placeOfRegister(v.imm));
    super.evaluate(v);
  }
  protected override setRegister(reg: number, value: Value): void {
    const place = value.type === 'i64' ? this.place(value) : undefined;
    const bound = boundOf(value, this.boundOfRegister);
    super.setRegister(reg, value);
    this.places[reg] = this.isConditional ? undefined : place;
    this.bounds[reg] = this.isConditional ? undefined : bound;
  }
  override statement(s: Statement): void {
    super.statement(s);
    if (s.kind === 'setstate' && isInSegments(s.offset)) this.forgetMemory();
  }

  // ---- accesses ----
  /** An access of this instruction that a routine refused, or that must be made again: what SITE_* say of it, on the stack. `access`: its low bits. */
  protected abstract pushSite(access: number): void;
  /** A number on the stack: leaves if it is 0. ACCESS_SITE and STATUS are set. */
  protected abstract leaveIfRefused(): void;
  /** Leaves, to make the instruction anew, which has had no effect so far. */
  protected abstract startAnew(): void;

  /** Control may leave here: what is cheaper to store once than on each way out is stored. */
  protected abstract mayLeave(): void;

  /** An instruction begins: what is known of memory is known from earlier ones. */
  protected beginAccesses(): void {
    this.hasAccessed = false;
    this.checked = undefined;
  }

  protected override loadGuest(v: Value): void {
    const modify = v.op === 'loadrmw';
    const l = this.access(v.a as Value, v.size, modify, undefined, modify);
    this.pushHost(l);
    this.emit.load(v.type, v.size, l.behind);
    this.releaseLookup(l);
  }
  protected override storeGuest(address: Value, size: number, value: Value): void {
    // The value is needed on both paths.
    this.pin(value);
    const l = this.access(address, size, true, value, false);
    this.pushHost(l);
    this.peek(value);
    this.emit.store(value.type, size, l.behind);
    this.releaseLookup(l);
    this.discard(value);
  }

  /** `value`: of a store. */
  private access(address: Value, size: number, write: boolean, value: Value | undefined, modify: boolean): Lookup {
    // Where every access is watched the TLB stays empty, and lookups tell nothing of each other.
    const isAlone = (this.key & WATCHED) !== 0;
    const isFirst = !this.hasAccessed && !this.isConditional;
    if (!this.isConditional) this.mayLeave();
    this.hasAccessed = true;
    const place = isAlone ? undefined : this.place(address);
    const known = place === undefined ? undefined : this.knownNear(place, write);
    if (known !== undefined && place !== undefined) {
      const shift = this.distance(place, known.place);
      this.evaluate(address);
      if (isFirst) return this.near(known, shift, size);
      // What is read and then written.
      const { checked } = this;
      if (checked?.known === known && checked.access.shift === shift && checked.size === size) return checked.access;
      const found = this.shifted(known, shift);
      this.ask(found, size, value, modify);
      return found;
    }
    const ask = (l: Lookup): void => this.ask(l, size, value, modify);
    const isInLoop = this.isPagedLoop && !isAlone && !this.isConditional;
    const last = isInLoop && isInTable(address, this.boundOfRegister) ? this.nextPage() : undefined;
    const found = last === undefined ? this.probe(address, write) : this.inLastPage(last, address, size, write, ask);
    if (last === undefined) ask(found);
    if (place !== undefined && !this.isConditional) {
      const { address: at, shift, delta, host, behind } = found;
      this.remember({ address: at, shift, delta, host, behind, place, write });
    }
    return found;
  }
  /** Near what an earlier instruction has accessed. If it is in another page after all, the instruction starts anew without that. */
  private near(known: KnownLookup, shift: number, size: number): Lookup {
    const e = this.emit;
    const { address, host } = known;
    const behind = Math.max(0, shift);
    const delta = shift < 0 ? this.movedDelta(known.delta, shift) : known.delta;
    const found = { address, shift, delta, host, behind };
    if (shift >= 0) this.checked = { known, access: found, size };
    e.get(delta);
    e.i64Small(Math.max(0, 4097 - size - behind));
    e.op('i64.ge_u');
    e.if(undefined, false);
    this.startAnew();
    e.end();
    return found;
  }
  private shifted(known: KnownLookup, shift: number): Lookup {
    const e = this.emit;
    const delta = this.movedDelta(known.delta, shift);
    const host = e.allocate('i32');
    e.get(known.host);
    e.set(host);
    return { address: known.address, shift, delta, host, behind: 0 };
  }
  private movedDelta(from: number, shift: number): number {
    const e = this.emit;
    const delta = e.allocate('i64');
    e.get(from);
    e.i64Small(shift);
    e.op('i64.add');
    e.set(delta);
    return delta;
  }
  /** Where the lookup has missed, the runtime is asked. */
  private ask(l: Lookup, size: number, value: Value | undefined, modify: boolean): void {
    const e = this.emit;
    e.get(l.delta);
    e.i64Small(4097 - size);
    e.op('i64.ge_u');
    e.if(undefined, false);
    this.pushAddress(l);
    if (value !== undefined) {
      this.peek(value);
      if (value.type === 'i32') e.op('i64.extend_i32_u');
    }
    this.pushSite(size - 1 + (modify ? S.SITE_MODIFY : 0));
    this.functions.call(e, value === undefined ? 'loadHost' : size === 16 ? 'storeHost128' : 'storeHost');
    e.tee(l.host);
    this.leaveIfRefused();
    e.i32(0);
    e.load('i64', 8, S.CPU_BASE + S.ACCESS_DELTA);
    e.set(l.delta);
    e.end();
  }
  private knownNear(place: Place, write: boolean): KnownLookup | undefined {
    for (let n = 0; n < this.lookups.length; n++) {
      const known = this.lookups[n] as KnownLookup;
      if (known.place.origin !== place.origin || (write && !known.write)) continue;
      if (Math.abs(this.distance(place, known.place)) < PAGE) return known;
    }
    return undefined;
  }
  protected override pushAddress(l: Lookup): void {
    super.pushAddress(l);
    if (this.is64 || l.shift === 0) return;
    this.emit.op('i32.wrap_i64');
    this.emit.op('i64.extend_i32_u');
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

const isAddition = (v: Value): boolean => v.op === 'i64.add' || v.op === 'i32.add';
const isInSegments = (at: number): boolean => at >= S.SEGMENT && at < S.SEGMENT + 8 * S.SEGMENT_STRIDE;

function isSegmentBase({ imm, size }: Value): boolean {
  return size === 8 && isInSegments(imm) && (imm - S.SEGMENT) % S.SEGMENT_STRIDE === S.SEGMENT_BASE;
}
