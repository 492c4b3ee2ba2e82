/**
 * Links between pages, as all compiled code follows them: the header of a block, and in the next word the generation in which the
 * mapping of its page holds ([decision 11](../../../docs/decisions/0011-links-between-pages.md)).
 */
import type { Emitter } from '../../wasm/emitter.js';
import * as S from '../../x86/state.js';
import * as R from './record.js';

/** RIP is a linear address: links between pages need to know no segment. */
export const isLinked = (key: number): boolean => (key & (S.KEY_CODE64 | S.KEY_FLAT)) !== 0;

/** Of user code, whose links have a generation of their own. */
export const isUser = (key: number): boolean => (key & S.KEY_CPL_MASK) === S.KEY_CPL_MASK;

/** Bits of a link, for `lookup`: it is good between pages; it holds the RIP that it is good for. */
export const FAR = 1;
export const INDIRECT = 2;

/**
 * Goes on by a link between pages if it is of the present generation and mode. `word` pushes the word of the link at an offset,
 * `rip` pushes RIP, `go` enters the header in local `header`. `generation` pushes that of links at this privilege level.
 */
export function followPageLink(
  e: Emitter,
  header: number,
  word: (offset: number) => void,
  rip: () => void,
  go: () => void,
  generation: () => void = () => pushGeneration(e),
): void {
  word(0);
  e.tee(header);
  e.if(undefined, true);
  word(4);
  generation();
  e.op('i32.eq');
  e.get(header);
  e.load('i32', 4, R.HEADER_KEY);
  e.i32(0);
  e.load('i32', 4, S.CPU_BASE + S.BLOCK_KEY);
  e.op('i32.eq');
  e.op('i32.and');
  e.if(undefined, true);
  setRipBase(e, rip);
  go();
  e.end();
  e.end();
}

/** Control arrives in the page of the RIP that `rip` pushes. */
export function setRipBase(e: Emitter, rip: () => void): void {
  e.i32(0);
  rip();
  e.i64Small(-4096);
  e.op('i64.and');
  e.store('i64', 8, S.CPU_BASE + S.RIP_BASE);
}

/** That of links at this privilege level: the user's stands behind the supervisor's. */
function pushGeneration(e: Emitter): void {
  e.i32(0);
  e.load('i32', 4, S.CPU_BASE + S.BLOCK_KEY);
  e.i32(S.KEY_CPL_MASK);
  e.op('i32.and');
  e.i32(S.KEY_CPL_MASK);
  e.op('i32.eq');
  e.i32(Math.log2(S.LINK_GENERATION_USER - S.LINK_GENERATION_SUPERVISOR));
  e.op('i32.shl');
  e.load('i32', 4, S.CPU_BASE + S.LINK_GENERATION_SUPERVISOR);
}

/** Nonzero: the budget in the local is used up, or another thread wants the vCPU. */
export function pushInterrupted(e: Emitter, budget: number): void {
  e.get(budget);
  e.i32(0);
  e.load('i32', 4, S.CPU_BASE + S.EXIT_REQUEST);
  e.op('i32.lt_s');
}
