/**
 * The ways out of a region: the common exit that writes the locals back, links to other blocks, and the ring of return
 * addresses by which returns find their callers' links.
 */
import * as S from '../../x86/state.js';
import * as R from './record.js';
import { RegionState } from './region-state.js';

/** Hands out the linear-memory words that link an exit to a block: of the same page, or (`between` pages) of any. */
export type LinkSlot = (target: number, between: boolean) => number;

/** Depth of the block whose end is the common way out. */
export const EXIT = 1;

export abstract class RegionExits extends RegionState {
  protected abstract readonly slot: LinkSlot;

  /** Behind the exit block: `status` nonzero returns it; else go to RIP, through the word `link` if that is not zero. */
  protected epilogue(): void {
    const e = this.emit;
    this.storeState();
    e.i32(0);
    e.get(this.rip);
    e.store('i64', 8, S.CPU_BASE + S.RIP);
    e.get(this.status);
    e.if(undefined, false);
    e.get(this.status);
    e.return();
    e.end();
    // A guest's loop may lead through several regions and have no back edge inside any: calls, returns, indirect jumps.
    e.get(this.budget);
    e.i32(0);
    e.op('i32.lt_s');
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.EXIT_REQUEST);
    e.op('i32.or');
    e.if(undefined, false);
    e.i32(S.STATUS_BUDGET);
    e.return();
    e.end();
    e.get(this.link);
    e.if();
    if (this.key & S.KEY_CODE64) this.followPages();
    e.get(this.link);
    e.load('i32', 4, 0);
    e.tee(this.status);
    e.if();
    e.get(this.status);
    e.returnCall(this.functions('enter'));
    e.end();
    e.end();
    e.get(this.link);
    e.call(this.functions('lookup'));
    this.follow();
  }
  /** A link between pages (bit 0 set): followed if it is of this generation and mode; else left for `lookup`. */
  protected followPages(): void {
    const e = this.emit;
    e.get(this.link);
    e.i32(1);
    e.op('i32.and');
    e.if();
    // The word at link - 1 is the header, behind it the generation.
    e.get(this.link);
    e.i32(1);
    e.op('i32.sub');
    e.load('i32', 4, 0);
    e.tee(this.status);
    e.if();
    e.get(this.link);
    e.load('i32', 4, 3);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + (this.isUser ? S.LINK_GENERATION_USER : S.LINK_GENERATION_SUPERVISOR));
    e.op('i32.eq');
    e.get(this.status);
    e.load('i32', 4, R.HEADER_KEY);
    e.i32(this.key);
    e.op('i32.eq');
    e.op('i32.and');
    e.if();
    e.i32(0);
    e.get(this.rip);
    e.i64(-4096n);
    e.op('i64.and');
    e.store('i64', 8, S.CPU_BASE + S.RIP_BASE);
    e.get(this.status);
    e.returnCall(this.functions('enter'));
    e.end();
    e.end();
    e.get(this.link);
    e.call(this.functions('lookup'));
    this.follow();
    e.end();
  }
  protected get isUser(): boolean {
    return (this.key & S.KEY_CPL_MASK) === S.KEY_CPL_MASK;
  }

  /** Notes where the call of this instruction will return to. */
  protected pushReturn(): void {
    if ((this.key & S.KEY_CODE64) === 0) return;
    const e = this.emit;
    const top = this.link;
    e.i32(0);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.RETURN_TOP);
    e.i32(S.RETURN_ENTRY_SIZE);
    e.op('i32.add');
    e.i32(S.RETURN_RING_SIZE - 1);
    e.op('i32.and');
    e.tee(top);
    e.store('i32', 4, S.CPU_BASE + S.RETURN_TOP);
    e.get(top);
    this.ripAt(this.insn.next);
    e.store('i64', 8, S.RETURN_RING);
    e.get(top);
    e.i32(this.slot(this.insn.next, true) | 1);
    e.store('i32', 4, S.RETURN_RING + 8);
  }
  /** Sets `link` to the newest caller's if RIP (in its local) is where that call returns to, else to none. */
  protected popReturn(): void {
    const e = this.emit;
    const top = this.status;
    e.i32(0);
    e.set(this.link);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.RETURN_TOP);
    e.tee(top);
    e.load('i64', 8, S.RETURN_RING);
    e.get(this.rip);
    e.op('i64.eq');
    e.if();
    e.get(top);
    e.load('i32', 4, S.RETURN_RING + 8);
    e.set(this.link);
    e.i32(0);
    e.get(top);
    e.i32(S.RETURN_ENTRY_SIZE);
    e.op('i32.sub');
    e.i32(S.RETURN_RING_SIZE - 1);
    e.op('i32.and');
    e.store('i32', 4, S.CPU_BASE + S.RETURN_TOP);
    e.end();
  }

  protected override follow(): void {
    const e = this.emit;
    e.tee(this.status);
    e.if();
    e.get(this.status);
    e.returnCall(this.functions('enter'));
    e.end();
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
    e.return();
  }

  protected override ripAt(offset: number, size = 8): void {
    const e = this.emit;
    e.get(this.ripBaseLocal);
    e.i64(BigInt(offset));
    e.op('i64.add');
    const bytes = this.key & S.KEY_CODE64 ? 8 : Math.min(size, this.key & S.KEY_CODE32 ? 4 : 2);
    if (bytes < 8) {
      e.i64((1n << BigInt(bytes * 8)) - 1n);
      e.op('i64.and');
    }
  }
  /** Goes to a page offset outside the region. */
  protected leaveTo(offset: number, size = 8): void {
    const e = this.emit;
    this.flushFlags();
    this.ripAt(offset, size);
    e.set(this.rip);
    if (offset >= 0 && offset < 4096) e.i32(this.slot(offset, false));
    else e.i32(this.key & S.KEY_CODE64 ? this.slot(offset, true) | 1 : 0);
    e.set(this.link);
    e.i32(0);
    e.set(this.status);
    e.br(EXIT);
  }
  protected override leaveWith(status: () => void, offset: number): void {
    const e = this.emit;
    this.flushFlags();
    this.ripAt(offset);
    e.set(this.rip);
    status();
    e.set(this.status);
    e.br(EXIT);
  }
}
