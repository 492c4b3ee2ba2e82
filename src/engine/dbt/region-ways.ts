/**
 * The ways from one region to another: functions that regions end with by a tail call. They are the same for all regions, and
 * V8 compiles them once.
 *
 *   followLink     to a page offset of the same page, through a link of one word
 *   followRip      to a RIP known at run time or in another page, through a link between pages if there is one
 *   followReturn   to where a RET goes: the ring of return addresses leads to the link of the caller
 *   followSite     to the run loop after an access that was refused, or to the same instruction, which starts anew
 */
import { Emitter } from '../../wasm/emitter.js';
import { type FunctionBody, ModuleBuilder } from '../../wasm/module.js';
import * as S from '../../x86/state.js';
import { declareMemory, HANDLER_SIGNATURE, importedFunctions, type RuntimeImports, signatureOf } from './imports.js';
import type { FunctionIndex } from './lower.js';
import { FAR, followPageLink, INDIRECT, pushInterrupted } from './page-links.js';
import * as R from './record.js';
import { popReturn } from './return-ring.js';

const PAGE_MASK = 4095;

const WAYS = ['followLink', 'followRip', 'followReturn', 'followSite'] as const;

let compiled: WebAssembly.Module | undefined;

/** Regions may import the ways from now on. */
export function provideWays(imports: RuntimeImports, table: WebAssembly.Table): void {
  compiled ??= new WebAssembly.Module(waysModule());
  const exports = imports.instantiate(compiled, table);
  for (const name of WAYS) imports.provide(name, exports[name]);
}

function waysModule(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  declareMemory(module);
  module.importTable('env', 'table', 0);
  const functions = importedFunctions(module);
  functions('lookup');
  const handler = module.type(HANDLER_SIGNATURE);
  for (const name of WAYS) {
    const body = new Way(name, functions, handler)[name](module.type(signatureOf(name)));
    module.export(name, module.addFunction(body));
  }
  return module.finish();
}

class Way {
  private readonly emit: Emitter;
  private readonly functions: FunctionIndex;
  private readonly handlerType: number;

  constructor(name: string, functions: FunctionIndex, handlerType: number) {
    this.emit = new Emitter(signatureOf(name).params);
    this.functions = functions;
    this.handlerType = handlerType;
  }

  followLink(type: number): FunctionBody {
    const [link, offset, budget] = [0, 1, 2];
    const e = this.emit;
    const header = e.allocate('i32');
    this.storeBudget(budget);
    // A guest's loop may lead through several regions and have no back edge inside any.
    this.returnIfInterrupted(budget, () => this.setRip(offset));
    e.get(link);
    e.load('i32', 4, 0);
    this.enterHeader(header);
    this.setRip(offset);
    this.lookUp(link, header);
    return e.finish(type);
  }
  followRip(type: number): FunctionBody {
    const [rip, link, budget] = [0, 1, 2];
    this.goTo(rip, link, budget);
    return this.emit.finish(type);
  }
  followReturn(type: number): FunctionBody {
    const [rip, budget] = [0, 1];
    const e = this.emit;
    const link = e.allocate('i32');
    const top = e.allocate('i32');
    popReturn(
      e,
      top,
      () => e.get(rip),
      () => e.set(link),
    );
    this.goTo(rip, link, budget);
    return e.finish(type);
  }

  followSite(type: number): FunctionBody {
    const budget = 0;
    const e = this.emit;
    const offset = e.allocate('i32');
    const link = e.allocate('i32');
    const header = e.allocate('i32');
    const field = (shift: number): void => {
      e.i32(0);
      e.load('i64', 8, S.CPU_BASE + S.ACCESS_SITE);
      e.i64Small(shift);
      e.op('i64.shr_u');
      e.op('i32.wrap_i64');
    };
    e.get(budget);
    field(S.SITE_PENDING_SHIFT);
    e.op('i32.sub');
    e.set(budget);
    this.storeBudget(budget);
    field(S.SITE_OFFSET_SHIFT);
    e.i32(PAGE_MASK);
    e.op('i32.and');
    e.set(offset);
    this.setRip(offset);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
    e.tee(header);
    e.if(undefined, false);
    e.get(header);
    e.return();
    e.end();
    this.returnIfInterrupted(budget, () => {});
    // Nothing was refused: there is no link.
    this.lookUp(link, header);
    return e.finish(type);
  }

  private goTo(rip: number, link: number, budget: number): void {
    const e = this.emit;
    const header = e.allocate('i32');
    this.storeBudget(budget);
    e.i32(0);
    e.get(rip);
    e.store('i64', 8, S.CPU_BASE + S.RIP);
    this.returnIfInterrupted(budget, () => {});
    e.get(link);
    e.i32(FAR | INDIRECT);
    e.op('i32.and');
    e.i32(FAR);
    e.op('i32.eq');
    e.if(undefined, true);
    this.followPages(rip, link, header);
    e.end();
    this.lookUp(link, header);
  }
  /** The header stands at link - 1, for bit 0 of the link is set; what does not hold is left for `lookup`. */
  private followPages(rip: number, link: number, header: number): void {
    const e = this.emit;
    const word = (offset: number): void => {
      e.get(link);
      e.i32(FAR);
      e.op('i32.sub');
      e.load('i32', 4, offset);
    };
    followPageLink(
      e,
      header,
      word,
      () => e.get(rip),
      () => this.enter(header),
    );
  }

  private storeBudget(budget: number): void {
    const e = this.emit;
    e.i32(0);
    e.get(budget);
    e.store('i32', 4, S.CPU_BASE + S.BUDGET);
  }
  /** The budget is used up, or another thread wants the vCPU. */
  private returnIfInterrupted(budget: number, before: () => void): void {
    const e = this.emit;
    pushInterrupted(e, budget);
    e.if(undefined, false);
    before();
    e.i32(S.STATUS_BUDGET);
    e.return();
    e.end();
  }
  /** RIP becomes that of a page offset. */
  private setRip(offset: number): void {
    const e = this.emit;
    e.i32(0);
    e.i32(0);
    e.load('i64', 8, S.CPU_BASE + S.RIP_BASE);
    e.get(offset);
    e.op('i64.extend_i32_s');
    e.op('i64.add');
    e.i64Small(-1);
    e.i64Safe(0xffffffff);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.BLOCK_KEY);
    e.i32(S.KEY_CODE64);
    e.op('i32.and');
    e.select('i64');
    e.op('i64.and');
    e.store('i64', 8, S.CPU_BASE + S.RIP);
  }
  private enter(header: number): void {
    const e = this.emit;
    e.get(header);
    e.get(header);
    e.load('i32', 4, R.HANDLER);
    e.returnCallIndirect(this.handlerType);
  }
  /** Goes on at the header on the stack, if it is not 0. */
  private enterHeader(header: number): void {
    const e = this.emit;
    e.tee(header);
    e.if(undefined, true);
    this.enter(header);
    e.end();
  }
  /** Goes on at what is found at RIP, or returns STATUS. */
  private lookUp(link: number, header: number): void {
    const e = this.emit;
    e.get(link);
    e.call(this.functions('lookup'));
    this.enterHeader(header);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
  }
}
