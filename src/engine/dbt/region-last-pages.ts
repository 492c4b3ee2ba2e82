/**
 * Accesses of small tables in loops remember in locals where they found the table last. It may lie in two pages: those of a
 * stack begin anywhere.
 *
 *   in one page                              over two
 *   page    +-----------+ host               page        +-----------+ host
 *           |           |                    page + 4096 +-----------+ next
 *           +-----------+ limit              page + 8192 +-----------+ pair
 */
import type { Value } from '../../ir/value.js';
import type { Lookup } from './lower.js';
import { RegionRegisters } from './region-registers.js';

const PAGE = 4096;

/** In locals. */
export interface LastPage {
  /** Linear address of the page, or of the first of two. */
  readonly page: number;
  readonly host: number;
  /** Of the second of two. */
  readonly next: number;
  /** What is less than this behind `page` is in it; 0 while there is none, or are two. */
  readonly limit: number;
  /** What is less than this behind `page` is in one of two; 0 where there are not two. */
  readonly pair: number;
}

export abstract class RegionLastPages extends RegionRegisters {
  private readonly lastPages: LastPage[] = [];
  private lastPagesUsed = 0;

  /** The present code is in a loop whose accesses remember their pages. */
  protected abstract get isPagedLoop(): boolean;

  /** For so many accesses. */
  protected reservePages(count: number): void {
    const e = this.emit;
    for (let n = 0; n < count; n++)
      this.lastPages.push({
        page: e.allocateNew('i64'),
        host: e.allocateNew('i32'),
        next: e.allocateNew('i32'),
        limit: e.allocateNew('i64'),
        pair: e.allocateNew('i64'),
      });
  }
  /** Behind routines, which may change mappings. */
  protected forgetPages(): void {
    for (const last of this.lastPages) this.limitTo(last, 0, 0);
  }
  /** That of another access; undefined where no more can remember theirs. */
  protected nextPage(): LastPage | undefined {
    return this.lastPages[this.lastPagesUsed++];
  }
  private limitTo({ limit, pair }: LastPage, one: number, two: number): void {
    const e = this.emit;
    e.i64Small(one);
    e.set(limit);
    e.i64Small(two);
    e.set(pair);
  }

  /** In the page of last time, else by the TLB. `ask`: by the runtime, where that has missed. */
  protected inLastPage(last: LastPage, address: Value, size: number, write: boolean, ask: (l: Lookup) => void): Lookup {
    const e = this.emit;
    const l = { address: e.allocate('i64'), shift: 0, delta: e.allocate('i64'), host: e.allocate('i32'), behind: 0 };
    this.value(address);
    e.tee(l.address);
    e.get(last.page);
    e.op('i64.sub');
    e.set(l.delta);
    e.get(last.host);
    e.set(l.host);
    e.get(l.delta);
    e.get(last.limit);
    e.op('i64.ge_u');
    e.if(undefined, false);
    this.inTwo(last, l, size);
    e.else();
    this.findPage(l, write);
    ask(l);
    this.keep(last, l, size);
    e.end();
    e.end();
    return l;
  }

  /** Begins the conditional code for an access in one of two pages. Which of them it is nobody could predict: no branch. */
  private inTwo(last: LastPage, { delta, host }: Lookup, size: number): void {
    const e = this.emit;
    const within = e.allocate('i64');
    e.get(delta);
    e.get(last.pair);
    e.op('i64.lt_u');
    e.get(delta);
    e.i64Small(PAGE - 1);
    e.op('i64.and');
    e.tee(within);
    e.i64Small(PAGE + 1 - size);
    e.op('i64.lt_u');
    e.op('i32.and');
    e.if();
    e.get(last.host);
    e.get(last.next);
    e.get(delta);
    e.i64Small(PAGE);
    e.op('i64.lt_u');
    e.select('i32');
    e.set(host);
    e.get(within);
    e.set(delta);
    e.release(within, 'i64');
  }

  /** Remembers where an access was found. What is no RAM is found elsewhere, and not kept. */
  private keep(last: LastPage, { address, delta, host }: Lookup, size: number): void {
    const e = this.emit;
    const page = e.allocate('i64');
    e.get(delta);
    e.i64Small(PAGE + 1 - size);
    e.op('i64.ge_u');
    e.if();
    this.limitTo(last, 0, 0);
    e.else();
    e.get(address);
    e.get(delta);
    e.op('i64.sub');
    e.set(page);
    // Beside the one page that was kept: 0 in front of it, 8192 behind it.
    e.get(last.limit);
    e.op('i64.eqz');
    e.get(page);
    e.get(last.page);
    e.op('i64.sub');
    e.i64Small(PAGE);
    e.op('i64.add');
    e.tee(page);
    e.i64Small(~(2 * PAGE));
    e.op('i64.and');
    e.op('i64.eqz');
    e.op('i32.eqz');
    e.op('i32.or');
    this.keepPage(last, page, host, size);
    e.end();
    e.release(page, 'i64');
  }

  /** A condition on the stack: there will be one page, not two. `distance`: from a page in front of the one that was kept. */
  private keepPage(last: LastPage, distance: number, host: number, size: number): void {
    const e = this.emit;
    const moveTo = (): void => {
      e.get(last.page);
      e.i64Small(PAGE);
      e.op('i64.sub');
      e.get(distance);
      e.op('i64.add');
      e.set(last.page);
      e.get(host);
      e.set(last.host);
    };
    e.if();
    moveTo();
    this.limitTo(last, PAGE + 1 - size, 0);
    e.else();
    e.get(distance);
    e.op('i64.eqz');
    e.if();
    e.get(last.host);
    e.set(last.next);
    moveTo();
    e.else();
    e.get(host);
    e.set(last.next);
    e.end();
    this.limitTo(last, 0, 2 * PAGE);
    e.end();
  }
}
