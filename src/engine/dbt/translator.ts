/**
 * The vCPU thread's side of translation: which blocks are hot, and entering what the compiler made of them. Everything
 * here costs the guest time.
 */
import * as S from '../../x86/state.js';
import type { Block, BlockCache, CompiledRegion } from './block-cache.js';
import { Delays } from './delays.js';
import { Duty } from './duty.js';
import { EnteredRegions } from './entered-regions.js';
import { HotQueue } from './hot-queue.js';
import type { RuntimeImports } from './imports.js';
import { MAX_TABLE_SIZE } from './interpreter.js';
import { DEFERRED_FOR_LOAD, DEFERRED_FOR_REGION, FIRST_REGION } from './record.js';
import type { Compiler, HotBlock, RegionPart, TranslatedRegion, TranslationBatch } from './translation.js';

const PAGE = 4096;
/** A region is made again for another entry so many times; then blocks inside it get regions of their own. */
const MAX_GENERATION = 6;
/** A block is warm at so much less than what makes it hot. */
const HOT_TO_WARM = 40;
/** To make a region again costs as much as its size: a block that wants it must be worth it. */
const HOT_TO_PATIENCE = 40;
/** A block that was hot in other VMs is hot at so much less. */
const HOT_TO_KNOWN = 100;
/** A block must get hot twice while the compiler works more than this part of its time. */
const BUSY = 0.5;
export interface DbtOptions {
  /** Entries after which a block is translated; 0: never. */
  readonly hotThreshold: number;
  /** The compiler knows blocks that will be hot: it starts before there are any. */
  readonly startsAhead?: boolean | undefined;
}

/** Linear memory for links and tables: what the compiler gets at a time, and when it gets more. */
const ROOM = 65536;
const LOW_ROOM = 32768;

export class Translator {
  private readonly imports: RuntimeImports;
  private readonly table: WebAssembly.Table;
  private readonly cache: BlockCache;
  private readonly startCompiler: () => Compiler;
  private readonly startsAhead: boolean;
  private started: Compiler | undefined;
  private readonly i32: Int32Array;
  /** Entries of a hot block. */
  private readonly threshold: number;
  /** Entries of a block that comes into the region of a hot one. */
  private readonly warm: number;
  /** Further entries of a hot block, per instruction of a region that has to be made again for it. */
  private readonly patience: number;
  private readonly freeIndexes: number[] = [];
  private nextIndex = FIRST_REGION;
  private readonly queue: HotQueue;
  private readonly entered: EnteredRegions;
  private isCompiling = false;
  private readonly load = new Duty(true);
  private roomLeft = 0;
  private roomEpoch = -1;
  // Counters for statistics.
  private regions = 0;
  /** Of them, those with code of other pages. */
  private wide = 0;
  /** Of them, those that were made in other VMs. */
  private restored = 0;
  private modules = 0;
  /** Of the regions, those that were replaced by the optimizing compiler's. */
  private optimized = 0;
  private instructions = 0;
  private bytes = 0;
  private dropped = 0;
  private outdated = 0;
  private milliseconds = 0;
  private readonly stalls = new Delays();

  constructor(
    imports: RuntimeImports,
    table: WebAssembly.Table,
    cache: BlockCache,
    startCompiler: () => Compiler,
    { hotThreshold, startsAhead = false }: DbtOptions,
  ) {
    this.startsAhead = startsAhead;
    this.threshold = hotThreshold;
    this.warm = Math.ceil(hotThreshold / HOT_TO_WARM);
    this.patience = hotThreshold / HOT_TO_PATIENCE;
    this.imports = imports;
    this.table = table;
    this.cache = cache;
    this.queue = new HotQueue(cache);
    this.entered = new EnteredRegions(imports, table, cache);
    this.startCompiler = startCompiler;
    this.i32 = new Int32Array(imports.memory.buffer);
    cache.onRegionDropped = (region) => {
      this.dropped++;
      this.entered.drop(region);
      this.table.set(region.tableIndex, null);
      this.freeIndexes.push(region.tableIndex);
    };
  }

  /**
   * Remembers a hot block; it is compiled with others of its time (a module costs far more than a function). True: it is the first
   * of them, and the compiler has nothing to do.
   */
  request(block: Block, nowNs: number): boolean {
    if (this.cache.joinRegion(block)) return false;
    const isBusy = this.load.share(nowNs) > BUSY && !this.cache.isKnown(block);
    if (isBusy && this.cache.defer(block, 0, DEFERRED_FOR_LOAD)) return false;
    this.queue.add(block, nowNs);
    if (this.queue.isFull) this.advance(nowNs);
    return !this.isCompiling && this.queue.length === 1;
  }

  /** Started when the vCPU first runs: one that only steps for another engine needs none. */
  private get compiler(): Compiler {
    if (this.started === undefined) {
      this.started = this.startCompiler();
      this.cache.expect(this.started.known, this.threshold - Math.ceil(this.threshold / HOT_TO_KNOWN));
    }
    return this.started;
  }

  /** There may be something for `advance` to do. */
  get isWaiting(): boolean {
    if (this.startsAhead && this.started === undefined) return true;
    return this.started?.isReady === true || (!this.isCompiling && this.queue.length > 0);
  }

  /** A slice has ended in compiled code. */
  sample(): void {
    if (this.started !== undefined) this.entered.sample(this.started);
  }

  /** Enters what was compiled and submits what has waited long enough. */
  advance(nowNs: number): void {
    if (!this.isWaiting) return;
    const started = performance.now();
    const { compiler } = this;
    if (compiler.isReady) this.collect(nowNs);
    if (!this.isCompiling && this.isTime(nowNs, compiler.waitNs)) this.submit(nowNs);
    this.stalls.add(performance.now() - started);
  }

  private isTime(nowNs: number, waitNs: number): boolean {
    const { queue } = this;
    return queue.isFull || (queue.length > 0 && queue.waitedNs(nowNs) >= waitNs);
  }

  private submit(nowNs: number): void {
    const hot: HotBlock[] = [];
    for (const { block, isLoop } of this.queue.take(nowNs, this.compiler.waitNs > 0)) {
      if (this.cache.isTranslated(block)) continue;
      const { gpa, key } = block;
      const found = this.cache.regionAt(gpa, key);
      const old = found !== undefined && found.generation < MAX_GENERATION ? found : undefined;
      const patience = old === undefined ? 0 : Math.floor(old.instructions * this.patience);
      if (patience > 0 && this.cache.defer(block, patience, DEFERRED_FOR_REGION)) continue;
      hot.push({ gpa, key, isLoop, replaces: old === undefined ? undefined : toReplace(old) });
    }
    if (hot.length === 0) return;
    this.isCompiling = true;
    this.load.wake(nowNs);
    const { epoch } = this.cache;
    if (epoch !== this.roomEpoch) this.roomLeft = 0;
    this.roomEpoch = epoch;
    const at = this.roomLeft < LOW_ROOM ? this.cache.allocate(ROOM) : 0;
    this.compiler.submit({
      epoch,
      hot,
      threshold: this.threshold,
      warm: this.warm,
      room: at === 0 ? undefined : { at, bytes: ROOM },
    });
    // A compiler of this thread is done now.
    this.collect(nowNs);
  }

  private collect(nowNs: number): void {
    const batch = this.compiler.take();
    if (batch === undefined) return;
    if ('numbers' in batch) {
      this.optimized += this.entered.replace(batch);
      return;
    }
    this.isCompiling = false;
    this.load.sleep(nowNs);
    this.milliseconds += batch.milliseconds;
    // The guest's memory was replaced or the record area was full: nothing of it is known any more.
    if (batch.epoch !== this.cache.epoch) return;
    this.roomLeft = batch.roomLeft;
    for (const { gpa, key } of batch.refused) this.cache.cool(gpa, key);
    if (batch.module !== undefined) this.enter(batch, this.imports.instantiate(batch.module));
  }

  /** The headers of the entries of each region lead into it from now on. */
  private enter(
    { number: batch, regions, restored, code, moduleBytes }: TranslationBatch,
    functions: WebAssembly.Exports,
  ): void {
    this.modules++;
    this.restored += restored;
    this.bytes += moduleBytes;
    for (const [n, region] of regions.entries()) {
      if (!this.isCurrent(region, code)) {
        this.outdated++;
        for (const at of region.entries) if (at >= 0 && at < PAGE) this.cache.cool(region.page + at, region.key);
        continue;
      }
      const index = this.freeIndexes.pop() ?? this.newIndex();
      if (index === undefined) {
        // All slots taken: start afresh, what is hot comes back soon.
        this.cache.flush();
        return;
      }
      const old = region.replaces === undefined ? undefined : this.cache.regionById(region.page, region.replaces);
      this.table.set(index, functions[`r${n}`] as () => number);
      const compiled = this.compiled(region, index, batch, n);
      this.entered.add(compiled);
      this.cache.addRegion(compiled);
      // Behind the new one: what both have as entries stays hot.
      if (old !== undefined) this.cache.dropRegion(old);
      this.regions++;
      if (region.parts.length > 1) this.wide++;
      this.instructions += region.instructions;
    }
  }

  /** Undefined where the table is full. */
  private newIndex(): number | undefined {
    if (this.nextIndex === this.table.length) {
      if (this.nextIndex === MAX_TABLE_SIZE) return undefined;
      this.table.grow(Math.min(this.nextIndex, MAX_TABLE_SIZE - this.nextIndex));
    }
    return this.nextIndex++;
  }

  /** The code is what it was made from, and what it goes to in other pages is still there. */
  private isCurrent(region: TranslatedRegion, code: TranslationBatch['code']): boolean {
    return (
      region.parts.every((part) => this.isUnchanged(part, code.get(part.page))) &&
      region.crossings.every(({ gpa, header }) => this.cache.headerAt(gpa, region.key) === header)
    );
  }
  private isUnchanged({ page, chunks }: RegionPart, bytes: Uint8Array | undefined): boolean {
    if (bytes === undefined) return false;
    const then = new Int32Array(bytes.buffer, bytes.byteOffset, PAGE / 4);
    const now = (S.RAM + page) >> 2;
    for (let word = 0; word < PAGE / 4; word++) {
      const chunk = word >> 4;
      if ((((chunks[chunk >> 5] as number) >>> (chunk & 31)) & 1) === 0) word |= 15;
      else if (then[word] !== this.i32[now + word]) return false;
    }
    return true;
  }

  private compiled(region: TranslatedRegion, tableIndex: number, batch: number, number: number): CompiledRegion {
    const { page, key, entries, offsets, generation, instructions, hasTable, parts, tally } = region;
    return {
      id: this.regions,
      key,
      entryOffsets: entries,
      entries: entries.map((at) => (at >= 0 && at < PAGE ? this.cache.find(page + at, key) : undefined)),
      offsets: new Set(offsets),
      generation,
      instructions,
      hasTable,
      parts,
      tableIndex,
      tally,
      batch,
      number,
    };
  }

  close(): void {
    this.started?.close();
  }

  /** `ms`: of the compiler's time. `stalls`: how often the guest waited how long for translation. */
  statistics(): Record<string, number> {
    return {
      regions: this.regions,
      'regions of several pages': this.wide,
      'regions of earlier runs': this.restored,
      'regions optimized': this.optimized,
      modules: this.modules,
      'regions dropped': this.dropped,
      'regions outdated': this.outdated,
      'blocks cooled while they waited': this.queue.cooled,
      'guest instructions': this.instructions,
      'module bytes': this.bytes,
      ms: this.milliseconds,
      ...this.stalls.statistics('stalls'),
    };
  }
}

function toReplace(region: CompiledRegion): HotBlock['replaces'] {
  const { id, generation, entries, offsets } = region;
  return {
    id,
    generation,
    entries: entries.flatMap((entry) => (entry === undefined ? [] : entry.gpa % PAGE)),
    offsets: [...offsets],
  };
}
