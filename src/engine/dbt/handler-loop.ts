/** Handlers as WebAssembly functions: each one its own, or many that share one. */
import { Emitter } from '../../wasm/emitter.js';
import type { FunctionBody } from '../../wasm/module.js';
import * as S from '../../x86/state.js';
import { HandlerLowering } from './handler.js';
import { type HandlerTypes, RECORD } from './handler-flow.js';
import type { RuntimeFunctions } from './lower.js';
import * as R from './record.js';

/** A handler to lower: its modes, and what writes it. */
export interface HandlerBody {
  readonly key: number;
  readonly lower: (l: HandlerLowering) => void;
  /** The next record's, where this one is for both. */
  readonly second?: HandlerBody;
}

export function handlerFunction(functions: RuntimeFunctions, types: HandlerTypes, body: HandlerBody): FunctionBody {
  const emit = new Emitter(['i32']);
  body.lower(new HandlerLowering(emit, functions, types, body.key, undefined));
  return emit.finish(types.handler);
}

/**
 * Many handlers as one function, which stands at all their places of the table: a loop over a jump table.
 *
 *   loop (block to block)
 *     if the record is a header: what that does; the next record
 *     loop (record to record)
 *       block ... block (one for each handler, and one for the others)
 *         br_table (the record's handler - first)
 *       end  first handler;  br to a loop
 *       ...
 *       end  a pair: one handler, the next record, another handler;  br to a loop
 *       ...
 *       end  tail-calls the record's handler
 *
 * Going from one of them to the next takes a fraction of a tail call through the table, with its checks of stack and signature; what
 * jumps finds a header in front of the loop, without the table. Where a loop of the guest holds more than some thousand instructions,
 * the host's processor no longer foresees where the jump table leads, and waits for it: 6 ns of 8 for an instruction. So the number of
 * the record behind the next one is read ahead, and frequent pairs of instructions have one handler.
 */
export function handlerLoop(
  functions: RuntimeFunctions,
  types: HandlerTypes,
  first: number,
  header: number,
  bodies: readonly HandlerBody[],
): FunctionBody {
  const e = new Emitter(['i32']);
  const handler = e.allocate('i32');
  const next = e.allocate('i32');
  const read = (local: number, ahead: number): void => {
    e.get(RECORD);
    e.load('i32', 4, ahead + R.HANDLER);
    e.set(local);
  };
  e.loop();
  const blocks = e.depth;
  read(handler, 0);
  e.get(handler);
  e.i32(header);
  e.op('i32.eq');
  e.if(undefined, true);
  new HandlerLowering(e, functions, types, S.KEY_CODE64, undefined).header();
  e.releaseAll(next + 1);
  e.get(RECORD);
  e.i32(R.RECORD_SIZE);
  e.op('i32.add');
  e.set(RECORD);
  read(handler, 0);
  e.end();
  read(next, R.RECORD_SIZE);
  e.loop();
  const records = e.depth;
  for (let n = 0; n <= bodies.length; n++) e.block();
  e.get(handler);
  if (first > 0) {
    e.i32(first);
    e.op('i32.sub');
  }
  e.brTable(
    bodies.map((_, n) => e.depth - n),
    records + 1,
  );
  for (const { key, lower, second } of bodies) {
    e.end();
    const loops = { blocks, records, handler, next };
    if (second === undefined) lower(new HandlerLowering(e, functions, types, key, loops));
    else {
      read(next, 2 * R.RECORD_SIZE);
      lower(new HandlerLowering(e, functions, types, key, { ...loops, isFollowed: true }));
      e.releaseAll(next + 1);
      second.lower(new HandlerLowering(e, functions, types, second.key, loops));
    }
    e.releaseAll(next + 1);
  }
  e.end();
  e.get(RECORD);
  e.get(RECORD);
  e.load('i32', 4, R.HANDLER);
  e.returnCallIndirect(types.handler);
  e.end();
  e.unreachable();
  e.end();
  e.unreachable();
  return e.finish(types.handler);
}
