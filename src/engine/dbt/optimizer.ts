/**
 * Which regions V8's optimizing compiler makes again, and in which order. V8 would take them in the order in which they came: a
 * loop that is hot now waited for all that a boot has entered, in four threads that take the processors from the guest. So regions
 * come from the baseline compiler alone, and those that the guest spends its time in are compiled once more, the hottest first.
 *
 *    new -> in `regions` -> slices end in it -> asked for by the vCPU thread -> compiled by V8's threads -> sent to the vCPU thread
 *                       \-> nothing is under way -> one at a time, the newest first, of those that were hot in another VM, then of all
 */
import { rewriteTiers, type Tier } from '../../wasm/tiers.js';
import type { Weight } from './region-archive.js';
import { TALLY_DROPPED, TALLY_STATE } from './tally.js';
import type { OptimizedRegions } from './translation.js';

/** Modules that V8 compiles at the same time. */
const AT_ONCE = 4;
/** One in which another VM spent some time gets its turn when there was nothing else to compile for so long, any other for so long. */
const SHORT_QUIET_MS = 2;
const QUIET_MS = 20;

/** So many slices have ended in a region in which the guest has spent some of its time, and much. */
const SOME = 2;
const MUCH = 20;

/** What the vCPU thread reads: whether it is of use to ask. */
export const OPTIMIZER_IDLE = 0;
export const OPTIMIZER_WANTS = 1;

/** A region that the baseline compiler has made. */
export interface BaselineRegion {
  /** Linear-memory address of its tally. */
  readonly tally: number;
  /** Its number in the module, and the module. */
  readonly number: number;
  readonly of: BaselineModule;
  /** V8 optimizes it by itself. */
  readonly isUnderWay: boolean;
  /** In another VM. */
  readonly weight: Weight;
  /** Tells the archive. */
  readonly noteWeight: (weight: Weight) => void;
}
export interface BaselineModule {
  readonly batch: number;
  readonly epoch: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where the tiers of its functions are. */
  readonly tiersAt: number;
  /** How many functions there are. */
  readonly count: number;
}

export interface OptimizerHost {
  compile(module: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module>;
  send(optimized: OptimizedRegions): void;
  /** Tells the vCPU thread OPTIMIZER_*. */
  tell(state: number): void;
  /** Milliseconds. */
  now(): number;
}

const weightOf = (tally: number): Weight => (tally >= MUCH ? 2 : tally >= SOME ? 1 : 0);

export class Optimizer {
  private readonly words: Int32Array;
  private readonly host: OptimizerHost;
  /** Those it could compile, by module: the oldest first. */
  private readonly regions = new Map<BaselineModule, Set<BaselineRegion>>();
  /** Those that may become heavier, and the weight that is known. */
  private readonly watched = new Map<BaselineRegion, Weight>();
  private epoch = -1;
  private underWay = 0;
  private busyAt = Number.NEGATIVE_INFINITY;

  /** `memory`: where the tallies are. */
  constructor(memory: WebAssembly.Memory, host: OptimizerHost) {
    this.words = new Int32Array(memory.buffer);
    this.host = host;
  }

  /** Regions of one module. What was made in another epoch is gone. */
  add(module: BaselineModule, regions: readonly BaselineRegion[]): void {
    if (module.epoch !== this.epoch) {
      this.regions.clear();
      this.watched.clear();
    }
    this.epoch = module.epoch;
    const waiting = regions.filter(({ isUnderWay }) => !isUnderWay);
    if (waiting.length > 0) this.regions.set(module, new Set(waiting));
    for (const region of regions) this.watched.set(region, region.weight);
  }

  /** The compiler has had something else to do. */
  noteBusy(): void {
    this.busyAt = this.host.now();
  }

  /** Starts what is worth it. */
  look(): void {
    this.compileHottest();
    this.compileRemembered();
    const [newest] = [...this.regions.values()].at(-1) ?? [];
    if (newest !== undefined && this.isQuiet(QUIET_MS)) this.compile([newest]);
    this.tell();
    this.watch();
  }
  private isQuiet(forMs: number): boolean {
    return this.underWay === 0 && this.host.now() - this.busyAt >= forMs;
  }
  /** One is in one of V8's threads: the guest has the other processor. */
  private compileRemembered(): void {
    if (this.underWay > 0) return;
    const least = this.isQuiet(SHORT_QUIET_MS) ? 1 : 2;
    for (const regions of [...this.regions.values()].reverse()) {
      const remembered = [...regions].find(({ weight }) => weight >= least);
      if (remembered === undefined) continue;
      this.compile([remembered]);
      return;
    }
  }
  private watch(): void {
    for (const [region, known] of this.watched) {
      const weight = weightOf(this.tallyOf(region));
      if (weight > known) {
        region.noteWeight(weight);
        this.watched.set(region, weight);
      }
      if (weight === 2 || this.isDropped(region)) this.watched.delete(region);
    }
  }
  private isDropped({ tally }: BaselineRegion): boolean {
    return this.words[(tally + TALLY_STATE) >> 2] === TALLY_DROPPED;
  }
  private compileHottest(): void {
    while (this.underWay < AT_ONCE) {
      const hot = this.hottest();
      if (hot.length === 0) return;
      this.noteBusy();
      this.compile(hot);
    }
  }
  private tell(): void {
    const isWanted = this.underWay < AT_ONCE && this.regions.size > 0;
    this.host.tell(isWanted ? OPTIMIZER_WANTS : OPTIMIZER_IDLE);
  }

  private tallyOf({ tally }: BaselineRegion): number {
    return this.words[tally >> 2] as number;
  }
  /** Those of its module come along in which slices have ended. */
  private hottest(): BaselineRegion[] {
    let most = 0;
    let found: Set<BaselineRegion> | undefined;
    for (const [module, regions] of this.regions) {
      for (const region of regions) {
        const tally = this.tallyOf(region);
        if (this.isDropped(region)) regions.delete(region);
        else if (tally > most) {
          most = tally;
          found = regions;
        }
      }
      if (regions.size === 0) this.regions.delete(module);
    }
    return [...(found ?? [])].filter((region) => this.tallyOf(region) > 0);
  }

  /** Regions of one module. */
  private compile(regions: readonly BaselineRegion[]): void {
    const { of } = regions[0] as BaselineRegion;
    const { batch, bytes, tiersAt, count } = of;
    const tiers: Tier[] = Array.from({ length: count }, () => 'none');
    for (const { number } of regions) tiers[number] = 'optimized';
    rewriteTiers(bytes, tiersAt, tiers);
    const left = this.regions.get(of);
    for (const region of regions) left?.delete(region);
    if (left?.size === 0) this.regions.delete(of);
    this.underWay++;
    const done = (): void => {
      this.underWay--;
    };
    this.host.compile(bytes).then(
      (module) => {
        done();
        this.host.send({ batch, module, numbers: regions.map(({ number }) => number) });
        this.compileHottest();
        this.compileRemembered();
        this.tell();
      },
      // No memory for it, most likely: the baseline compiler's code runs on.
      () => {
        done();
        this.tell();
      },
    );
  }
}
