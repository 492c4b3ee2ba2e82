/**
 * What comes behind the routine of an instruction that ends its block. Mostly the mode is the old one and nobody waits: then the
 * region goes on. A system call and a switch of the mode lead to blocks of another mode, through links of their own. All
 * else looks the next block up.
 */
import * as S from '../../x86/state.js';
import { FAR, INDIRECT } from './page-links.js';
import * as R from './record.js';
import { isSamePage, RegionExits } from './region-exits.js';

/** Routines after which RIP is in another mode, and the generation of links into that. */
const SYSTEM_CALLS: ReadonlyMap<string, number> = new Map([
  ['syscall', S.LINK_GENERATION_SUPERVISOR],
  ['sysret', S.LINK_GENERATION_USER],
]);
/** Routines that change the block key at times, the privilege level and mappings never. */
const KEEP_MAPPINGS: ReadonlySet<string> = new Set(['sti', 'popf', 'clts', 'loadMxcsr', 'fxrstor', 'xrstor']);
/** The same, and the block key nearly always. */
const SWITCH_MODE: ReadonlySet<string> = new Set(['stac', 'clac']);

export abstract class RegionResume extends RegionExits {
  /** Control goes to an offset, inside the region if it can. */
  protected abstract goOn(offset: number): void;

  protected override transferred(routine: string): void {
    const e = this.emit;
    const generation = SYSTEM_CALLS.get(routine);
    if (generation !== undefined && (this.key & S.KEY_CODE64) !== 0) {
      this.pushWaiting();
      e.op('i32.eqz');
      e.if(undefined, true);
      this.followSystemCall(generation);
      e.end();
    }
    this.lookUp();
  }
  /** By a link like that of an indirect jump, but to another privilege level and so another mode. */
  private followSystemCall(generation: number): void {
    const e = this.emit;
    const slot = this.slot('indirect', this.insn.offset);
    const pushRip = (): void => {
      e.i32(0);
      e.load('i64', 8, S.CPU_BASE + S.RIP);
    };
    e.i32(0);
    e.loadAddress('i32', 4, slot);
    e.tee(this.status);
    e.if(undefined, true);
    e.i32(0);
    e.loadAddress('i32', 4, slot, 4);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + generation);
    e.op('i32.eq');
    e.i32(0);
    e.loadAddress('i64', 8, slot, 8);
    pushRip();
    e.op('i64.eq');
    e.op('i32.and');
    this.pushIsOfThisMode();
    e.op('i32.and');
    e.if(undefined, true);
    this.enterPage(pushRip);
    e.end();
    e.end();
    e.i32Address(slot, FAR | INDIRECT);
    this.functions.call(e, 'lookup');
    this.follow();
  }
  protected override resume(routine: string): void {
    const e = this.emit;
    const { next } = this.insn;
    const staysInPage = (this.key & S.KEY_CODE64) !== 0 && isSamePage(next, this.insn.offset);
    if (staysInPage && KEEP_MAPPINGS.has(routine)) {
      this.pushWaiting();
      this.pushBlockKey();
      e.i32(this.key);
      e.op('i32.xor');
      e.op('i32.or');
      e.if(undefined, false);
      this.setRip(next);
      this.lookUp();
      e.end();
      this.goOn(next);
      return;
    }
    if (staysInPage && isSamePage(next, 0) && SWITCH_MODE.has(routine)) {
      this.pushWaiting();
      e.op('i32.eqz');
      e.if(undefined, true);
      this.followMode(next);
      e.end();
    }
    this.setRip(next);
    this.lookUp();
  }
  private followMode(next: number): void {
    const e = this.emit;
    const slot = this.slot('other', next);
    e.i32(0);
    e.loadAddress('i32', 4, slot);
    e.tee(this.status);
    e.if(undefined, true);
    this.pushIsOfThisMode();
    e.if(undefined, true);
    e.get(this.status);
    this.functions.returnCall(e, 'enterHeader');
    e.end();
    e.end();
    this.setRip(next);
    e.i32Address(slot);
    this.functions.call(e, 'lookup');
    this.follow();
  }
  /** The header (in `status`) is one of the mode that the processor is in now. */
  private pushIsOfThisMode(): void {
    const e = this.emit;
    e.get(this.status);
    e.load('i32', 4, R.HEADER_KEY);
    this.pushBlockKey();
    e.op('i32.eq');
  }
  private pushBlockKey(): void {
    this.emit.i32(0);
    this.emit.load('i32', 4, S.CPU_BASE + S.BLOCK_KEY);
  }
  /** Nonzero: the run loop or an interrupt may have to come first. `lookupChecked` knows. */
  private pushWaiting(): void {
    const e = this.emit;
    this.pushInterrupted();
    for (const word of [S.INTERRUPT_WANTED, S.STEP]) {
      e.i32(0);
      e.load('i32', 4, S.CPU_BASE + word);
      e.op('i32.or');
    }
  }
  private lookUp(): void {
    this.functions.call(this.emit, 'lookupChecked');
    this.follow();
  }
}
