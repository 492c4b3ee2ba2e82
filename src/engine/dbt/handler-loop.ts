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
 *       end  tail-calls the record's handler
 *
 * Going from one of them to the next takes a fraction of a tail call through the table, with its checks of stack and signature; what
 * jumps finds a header in front of the loop, without the table.
 */
export function handlerLoop(
  functions: RuntimeFunctions,
  types: HandlerTypes,
  first: number,
  header: number,
  bodies: readonly HandlerBody[],
): FunctionBody {
  const e = new Emitter(['i32']);
  e.loop();
  const blocks = e.depth;
  e.get(RECORD);
  e.load('i32', 4, R.HANDLER);
  e.i32(header);
  e.op('i32.eq');
  e.if(undefined, true);
  new HandlerLowering(e, functions, types, S.KEY_CODE64, undefined).header();
  e.releaseAll(RECORD + 1);
  e.get(RECORD);
  e.i32(R.RECORD_SIZE);
  e.op('i32.add');
  e.set(RECORD);
  e.end();
  e.loop();
  const records = e.depth;
  for (let n = 0; n <= bodies.length; n++) e.block();
  e.get(RECORD);
  e.load('i32', 4, R.HANDLER);
  if (first > 0) {
    e.i32(first);
    e.op('i32.sub');
  }
  e.brTable(
    bodies.map((_, n) => e.depth - n),
    records + 1,
  );
  for (const { key, lower } of bodies) {
    e.end();
    lower(new HandlerLowering(e, functions, types, key, { blocks, records }));
    e.releaseAll(RECORD + 1);
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
