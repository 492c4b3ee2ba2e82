/** The ring of return addresses: for each of the newest calls, where it returns to and the link between pages that leads there. */
import type { Emitter } from '../../wasm/emitter.js';
import * as S from '../../x86/state.js';

/** The place on the stack becomes that of the next or of the last entry. */
function turn(e: Emitter, way: 'i32.add' | 'i32.sub'): void {
  e.i32(S.RETURN_ENTRY_SIZE);
  e.op(way);
  e.i32(S.RETURN_RING_SIZE - 1);
  e.op('i32.and');
}

/** Notes a call. `rip` and `link` push where it returns to and its link; `top` is a local to work with. */
export function pushReturn(e: Emitter, top: number, rip: () => void, link: () => void): void {
  e.i32(0);
  e.i32(0);
  e.load('i32', 4, S.CPU_BASE + S.RETURN_TOP);
  turn(e, 'i32.add');
  e.tee(top);
  e.store('i32', 4, S.CPU_BASE + S.RETURN_TOP);
  e.get(top);
  rip();
  e.store('i64', 8, S.RETURN_RING);
  e.get(top);
  link();
  e.store('i32', 4, S.RETURN_RING + 8);
}

/** Takes the newest call back if it returns to what `rip` pushes; its link is on the stack for `then`. */
export function popReturn(e: Emitter, top: number, rip: () => void, then: () => void): void {
  e.i32(0);
  e.load('i32', 4, S.CPU_BASE + S.RETURN_TOP);
  e.tee(top);
  e.load('i64', 8, S.RETURN_RING);
  rip();
  e.op('i64.eq');
  e.if(undefined, true);
  e.i32(0);
  e.get(top);
  turn(e, 'i32.sub');
  e.store('i32', 4, S.CPU_BASE + S.RETURN_TOP);
  e.get(top);
  e.load('i32', 4, S.RETURN_RING + 8);
  then();
  e.end();
}
