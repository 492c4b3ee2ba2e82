/**
 * The ways from one region to another: functions that regions end with by a tail call. They are the same for all regions, and
 * V8 compiles them once.
 *
 *   enterHeader     to a header
 *   followLink      to a page offset of the same page, through a link of one word
 *   followFar       to a fixed RIP in another page, through a link between pages
 *   followIndirect  to a RIP known at run time, through the link to where this jump went last
 *   followReturn    to where a RET goes: the ring of return addresses leads to the link of the caller
 *   followRip       to a RIP that no link leads to
 *   followSite      to the run loop after an access that was refused, or to the same instruction, which starts anew
 *
 * Those that follow links between pages exist twice, for supervisor and user code, since there are two generations. A link of the
 * region's own was made in its mode, as RIP and mode are looked up together; one from the ring may be of another region.
 */
import { Emitter } from '../../wasm/emitter.js';
import { type FunctionBody, ModuleBuilder } from '../../wasm/module.js';
import * as S from '../../x86/state.js';
import { bridged } from './bridges.js';
import { declareMemory, importedFunctions, type RuntimeImports } from './imports.js';
import type { RuntimeFunctions } from './lower.js';
import { FAR, followPageLink, INDIRECT, isUser, pushInterrupted, setRipBase } from './page-links.js';
import * as R from './record.js';
import { popReturn } from './return-ring.js';
import { HANDLER_SIGNATURE, signatureOf } from './signatures.js';

const OF_ALL = ['enterHeader', 'followLink', 'followRip', 'followSite'] as const;
const BY_PRIVILEGE = ['followFar', 'followIndirect', 'followReturn'] as const;
export type WayByPrivilege = (typeof BY_PRIVILEGE)[number];

/** The way for code of that mode. */
export function wayOf(name: WayByPrivilege, key: number): string {
  return isUser(key) ? `${name}User` : name;
}

let compiled: WebAssembly.Module | undefined;

/** Regions may import the ways from now on. */
export function provideWays(imports: RuntimeImports, table: WebAssembly.Table): void {
  compiled ??= new WebAssembly.Module(waysModule());
  const exports = imports.instantiate(compiled, table);
  for (const [name, f] of Object.entries(exports)) imports.provide(name, f);
}

function waysModule(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  declareMemory(module);
  module.importTable('env', 'table', 0);
  const functions = importedFunctions(module);
  const handler = module.type(HANDLER_SIGNATURE);
  const bodies: [string, FunctionBody][] = [];
  const add = (name: string, write: (way: Way, type: number) => FunctionBody): void => {
    bodies.push([name, write(new Way(name, functions, handler), module.type(bridged(signatureOf(name))))]);
  };
  for (const name of OF_ALL) add(name, (way, type) => way[name](type));
  for (const way of BY_PRIVILEGE) {
    for (const key of [0, S.KEY_CPL_MASK]) {
      const generation = key === 0 ? S.LINK_GENERATION_SUPERVISOR : S.LINK_GENERATION_USER;
      add(wayOf(way, key), (w, type) => w[way](type, generation));
    }
  }
  // Every import comes before the first function.
  for (const [name, body] of bodies) module.export(name, module.addFunction(body));
  return module.finish();
}

class Way {
  private readonly emit: Emitter;
  private readonly functions: RuntimeFunctions;
  private readonly handlerType: number;

  constructor(name: string, functions: RuntimeFunctions, handlerType: number) {
    this.emit = new Emitter(bridged(signatureOf(name)).params);
    this.functions = functions;
    this.handlerType = handlerType;
  }

  enterHeader(type: number): FunctionBody {
    this.goTo(0);
    return this.emit.finish(type);
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
    this.goToHeader(header);
    this.setRip(offset);
    this.lookUp(link, header);
    return e.finish(type);
  }
  followRip(type: number): FunctionBody {
    const [rip, budget] = [0, 1];
    const e = this.emit;
    const link = e.allocate('i32');
    this.begin(rip, budget);
    // None.
    this.findRip(rip, link);
    return e.finish(type);
  }
  followFar(type: number, generation: number): FunctionBody {
    const [rip, link, budget] = [0, 1, 2];
    const e = this.emit;
    this.begin(rip, budget);
    this.pushHolds(link, generation);
    e.if(undefined, true);
    this.followOwn(rip, link);
    e.end();
    e.get(link);
    e.i32(FAR);
    e.op('i32.or');
    e.set(link);
    this.findRip(rip, link);
    return e.finish(type);
  }
  followIndirect(type: number, generation: number): FunctionBody {
    const [rip, link, budget] = [0, 1, 2];
    const e = this.emit;
    this.begin(rip, budget);
    this.pushHolds(link, generation);
    e.get(link);
    e.load('i64', 8, 8);
    e.get(rip);
    e.op('i64.eq');
    e.op('i32.and');
    e.if(undefined, true);
    this.followOwn(rip, link);
    e.end();
    e.get(link);
    e.i32(FAR | INDIRECT);
    e.op('i32.or');
    e.set(link);
    this.findRip(rip, link);
    return e.finish(type);
  }
  followReturn(type: number, generation: number): FunctionBody {
    const [rip, budget] = [0, 1];
    const e = this.emit;
    const link = e.allocate('i32');
    const header = e.allocate('i32');
    this.begin(rip, budget);
    popReturn(
      e,
      header,
      () => e.get(rip),
      () => {
        e.set(link);
        this.followRing(rip, link, header, generation);
      },
    );
    this.findRip(rip, link);
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
      e.op('i64.shr_s');
      e.op('i32.wrap_i64');
    };
    e.get(budget);
    field(S.SITE_PENDING_SHIFT);
    e.i32(S.SITE_PENDING_MASK);
    e.op('i32.and');
    e.op('i32.sub');
    e.set(budget);
    this.storeBudget(budget);
    field(S.SITE_OFFSET_SHIFT);
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

  private begin(rip: number, budget: number): void {
    this.storeBudget(budget);
    this.returnIfInterrupted(budget, () => this.storeRip(rip));
  }
  /** Nonzero: the link is one of this generation. Links that lead nowhere have generation 0, which none is. */
  private pushHolds(link: number, generation: number): void {
    const e = this.emit;
    e.get(link);
    e.load('i32', 4, 4);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + generation);
    e.op('i32.eq');
  }
  private followOwn(rip: number, link: number): void {
    const e = this.emit;
    setRipBase(e, () => e.get(rip));
    e.get(link);
    e.load('i32', 4, 0);
    e.set(link);
    this.goTo(link);
  }
  /** The header stands at link - 1, for bit 0 of the link is set; what does not hold is left for `lookup`. */
  private followRing(rip: number, link: number, header: number, generation: number): void {
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
      () => this.goTo(header),
      () => {
        e.i32(0);
        e.load('i32', 4, S.CPU_BASE + generation);
      },
    );
  }
  private storeRip(rip: number): void {
    const e = this.emit;
    e.i32(0);
    e.get(rip);
    e.store('i64', 8, S.CPU_BASE + S.RIP);
  }
  private findRip(rip: number, link: number): void {
    this.storeRip(rip);
    this.lookUp(link, this.emit.allocate('i32'));
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
  private goTo(header: number): void {
    const e = this.emit;
    e.get(header);
    e.get(header);
    e.load('i32', 4, R.HANDLER);
    e.returnCallIndirect(this.handlerType);
  }
  /** Goes on at the header on the stack, if it is not 0. */
  private goToHeader(header: number): void {
    const e = this.emit;
    e.tee(header);
    e.if(undefined, true);
    this.goTo(header);
    e.end();
  }
  /** Goes on at what is found at RIP, or returns STATUS. */
  private lookUp(link: number, header: number): void {
    const e = this.emit;
    e.get(link);
    this.functions.call(e, 'lookup');
    this.goToHeader(header);
    e.i32(0);
    e.load('i32', 4, S.CPU_BASE + S.STATUS);
  }
}
