/**
 * The ways out of a region, each a block whose end is followed by what it does:
 *
 *   block $far                      a fixed RIP in another page, through a link between pages
 *     block $link                   a fixed offset of the same page, through a link of one word
 *       block $status               back to the run loop with a status
 *         block $fault              an access that the runtime refused, or that starts anew
 *           (body)
 *         end  store what the site of the access says, leave with the runtime's status or start anew
 *       end  store RIP, return status
 *     end  follow the link
 *   end  follow the link
 *
 * Registers and flags are stored before branching here, but for faults: there are many places of them, and few happen. The ring of return addresses leads returns to the links of their
 * callers.
 */
import * as S from '../../x86/state.js';
import type { RuntimeFunctions } from './lower.js';
import { FAR, isLinked, pushInterrupted } from './page-links.js';
import { RegionState } from './region-state.js';
import { type WayByPrivilege, wayOf } from './region-ways.js';
import { pushReturn } from './return-ring.js';

/**
 * Hands out the linear-memory words that link an exit to a block, by page offset: `near` to one of the same page, `other` to
 * one of the same page in another mode, `far` to one of any page, `indirect` from a jump at that offset to where it went last. And
 * those of its `tally`.
 */
export type LinkSlot = (kind: 'near' | 'other' | 'far' | 'indirect' | 'tally', offset: number) => number;

export const isSamePage = (a: number, b: number): boolean => ((a ^ b) & ~4095) === 0;

/** Depths of the four blocks right after opening. */
const TO_FAR = 1;
const TO_LINK = 2;
const TO_STATUS = 3;
const TO_FAULT = 4;

/** Behind the registers in what a site says of locals: the flags are in theirs. */
const FLAGS = 1 << 16;

export abstract class RegionExits extends RegionState {
  protected readonly slot: LinkSlot;
  protected readonly rip: number;
  protected readonly link: number;
  /** Page offset that $status and $link go to. */
  private readonly offset: number;
  /** All that faults find in locals. */
  private spilled = 0;

  constructor(functions: RuntimeFunctions, key: number, slot: LinkSlot) {
    super(functions, key);
    this.slot = slot;
    this.rip = this.emit.allocate('i64');
    this.link = this.emit.allocate('i32');
    this.offset = this.emit.allocate('i32');
  }

  /** `body` between the exits' blocks; it never falls through. */
  protected withExits(body: () => void): void {
    const e = this.emit;
    e.block();
    e.block();
    e.block();
    e.block();
    body();
    e.end();
    this.spill();
    e.end();
    this.storeBudget();
    this.setRipAtOffset();
    e.i32(0);
    e.i32Address(this.slot('tally', 0));
    e.store('i32', 4, S.CPU_BASE + S.LEFT_TALLY);
    e.get(this.status);
    e.return();
    e.end();
    e.get(this.link);
    e.get(this.offset);
    e.get(this.budget);
    this.functions.returnCall(e, 'followLink');
    e.end();
    this.follow3('followFar');
  }
  /** RIP, link and budget are in their locals. */
  private follow3(way: WayByPrivilege): void {
    const e = this.emit;
    e.get(this.rip);
    e.get(this.link);
    e.get(this.budget);
    this.functions.returnCall(e, wayOf(way, this.key));
  }

  /** What an access that leaves has in locals, as its site says. */
  private spill(): void {
    const e = this.emit;
    if (this.spilled !== 0) {
      e.i32(0);
      e.load('i64', 8, S.CPU_BASE + S.ACCESS_SITE);
      e.i64Small(S.SITE_LOCALS_SHIFT);
      e.op('i64.shr_u');
      e.op('i32.wrap_i64');
      e.set(this.link);
    }
    const when = (bit: number, store: () => void): void => {
      if ((this.spilled & bit) === 0) return;
      e.get(this.link);
      e.i32(bit);
      e.op('i32.and');
      e.if();
      store();
      e.end();
    };
    for (let reg = 0; reg < 16; reg++) when(1 << reg, () => this.storeRegister(reg));
    when(FLAGS, () => {
      this.dropFlags('locals');
      this.storeFlags();
    });
    e.get(this.budget);
    this.functions.returnCall(e, 'followSite');
  }

  /** Goes on at the header in `status`, in the page of the RIP that `rip` pushes. */
  protected enterPage(rip: () => void): void {
    const e = this.emit;
    e.i32(0);
    rip();
    e.i64(-4096n);
    e.op('i64.and');
    e.store('i64', 8, S.CPU_BASE + S.RIP_BASE);
    e.get(this.status);
    this.functions.returnCall(e, 'enterHeader');
  }
  /** Nonzero: the budget is used up, or another thread wants the vCPU. */
  protected pushInterrupted(): void {
    pushInterrupted(this.emit, this.budget);
  }

  /** Goes on at the header on the stack, if it is not 0. */
  private enterHeader(): void {
    const e = this.emit;
    e.tee(this.status);
    e.if(undefined, true);
    e.get(this.status);
    this.functions.returnCall(e, 'enterHeader');
    e.end();
  }
  /** Chains to the record on the stack, or returns STATUS where it is 0. */
  protected follow(): void {
    const e = this.emit;
    this.enterHeader();
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
    e.return();
  }

  // ---- RIP ----
  protected override ripAt(offset: number, size = 8): void {
    this.ripBase();
    this.emit.i64(BigInt(offset));
    this.addToRip(size);
  }
  private setRipAtOffset(): void {
    const e = this.emit;
    e.i32(0);
    this.ripBase();
    e.get(this.offset);
    e.op('i64.extend_i32_s');
    this.addToRip(8);
    e.store('i64', 8, S.CPU_BASE + S.RIP);
  }
  private addToRip(size: number): void {
    const e = this.emit;
    e.op('i64.add');
    const bytes = this.key & S.KEY_CODE64 ? 8 : Math.min(size, 4);
    if (bytes === 8) return;
    e.i64((1n << BigInt(bytes * 8)) - 1n);
    e.op('i64.and');
  }

  // ---- leaving ----
  private storeAll(): void {
    this.storeRegisters();
    this.storeFlags();
    this.countDown();
  }
  /** Goes to a page offset outside the region. */
  protected leaveTo(offset: number, size = 8): void {
    const e = this.emit;
    const isNear = offset >= 0 && offset < 4096;
    this.storeAll();
    const isWhole = size === 8 || (size === 4 && (this.key & S.KEY_CODE32) !== 0);
    if (isNear && isWhole) {
      e.i32Address(this.slot('near', offset));
      e.set(this.link);
      e.i32(offset);
      e.set(this.offset);
      e.br(TO_LINK);
      return;
    }
    this.ripAt(offset, size);
    e.set(this.rip);
    if (!isWhole || !isLinked(this.key)) {
      this.findRip();
      return;
    }
    e.i32Address(this.slot('far', offset));
    e.set(this.link);
    e.br(TO_FAR);
  }
  private findRip(): void {
    const e = this.emit;
    e.get(this.rip);
    e.get(this.budget);
    this.functions.returnCall(e, 'followRip');
  }
  /** Goes to the RIP in its local, by the link of this jump if it went there last time, too. */
  protected leaveToRip(): void {
    this.storeAll();
    if (!isLinked(this.key)) {
      this.findRip();
      return;
    }
    this.emit.i32Address(this.slot('indirect', this.insn.offset));
    this.emit.set(this.link);
    this.follow3('followIndirect');
  }
  /** Goes to the RIP in its local, where a call returns. */
  protected leaveToCaller(): void {
    const e = this.emit;
    this.storeAll();
    e.get(this.rip);
    e.get(this.budget);
    this.functions.returnCall(e, wayOf('followReturn', this.key));
  }
  protected override leaveWith(status: () => void, offset: number): void {
    const e = this.emit;
    this.storeAll();
    status();
    e.set(this.status);
    e.i32(offset);
    e.set(this.offset);
    e.br(TO_STATUS);
  }

  protected override sideExit(): void {
    throw new Error('regions leave by their sites');
  }
  /** Flags are copied to their locals, for the path that leaves. */
  protected override pushSite(access: number): void {
    let locals = this.dirty;
    if (this.flags !== 'memory') locals |= FLAGS;
    this.spilled |= locals;
    const low =
      access + (locals & (2 * FLAGS - 1)) * 2 ** S.SITE_LOCALS_SHIFT + this.pending * 2 ** S.SITE_PENDING_SHIFT;
    const { offset } = this.insn;
    if (isSamePage(offset, 0)) this.emit.i64Safe(offset * 2 ** S.SITE_OFFSET_SHIFT + low);
    else this.emit.i64((BigInt(offset) << BigInt(S.SITE_OFFSET_SHIFT)) + BigInt(low));
  }
  protected override leaveIfRefused(): void {
    const e = this.emit;
    e.op('i32.eqz');
    if (this.flags === 'memory') {
      e.brIf(TO_FAULT);
      return;
    }
    e.if(undefined, false);
    this.copyFlagsToLocals();
    e.br(TO_FAULT);
    e.end();
  }
  protected override startAnew(): void {
    const e = this.emit;
    if (this.flags !== 'memory') this.copyFlagsToLocals();
    e.i32(0);
    this.pushSite(0);
    e.store('i64', 8, S.CPU_BASE + S.ACCESS_SITE);
    e.br(TO_FAULT);
  }

  // ---- the ring of return addresses ----
  /** Notes where the call of this instruction will return to, or one that returns to another offset. */
  protected pushReturn(site = this.insn.next): void {
    if (!isLinked(this.key)) return;
    const link = this.slot('far', site);
    pushReturn(
      this.emit,
      this.link,
      () => this.ripAt(site),
      () => this.emit.i32Address(link, FAR),
    );
  }
}
