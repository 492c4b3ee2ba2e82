/**
 * The vCPU thread's side of optimizing: which of the regions that can be entered the guest spends its time in, and their better code
 * when it comes.
 */
import * as S from '../../x86/state.js';
import type { BlockCache, CompiledRegion } from './block-cache.js';
import type { RuntimeImports } from './imports.js';
import { TALLY_ASKED, TALLY_DROPPED, TALLY_NEW, TALLY_STATE } from './tally.js';
import type { Compiler, OptimizedRegions } from './translation.js';

/** The compiler looks for what to optimize when a slice has ended in a region that is new to it, and after so many slices. */
const SLICES_TO_LOOK = 40;
/** More than a batch has regions. */
const NUMBERS = 4096;

const placeOf = ({ batch, number }: { batch: number; number: number }): number => batch * NUMBERS + number;

export class EnteredRegions {
  private readonly imports: RuntimeImports;
  private readonly table: WebAssembly.Table;
  private readonly cache: BlockCache;
  private readonly i32: Int32Array;
  /** By batch and number. */
  private readonly regions = new Map<number, CompiledRegion>();
  /** Addresses, by index in the table. */
  private readonly tallies: number[] = [];
  private slices = 0;

  constructor(imports: RuntimeImports, table: WebAssembly.Table, cache: BlockCache) {
    this.imports = imports;
    this.table = table;
    this.cache = cache;
    this.i32 = new Int32Array(imports.memory.buffer);
  }

  private word(at: number): number {
    return this.i32[at >> 2] as number;
  }
  private setWord(at: number, value: number): void {
    this.i32[at >> 2] = value;
  }

  add(region: CompiledRegion): void {
    this.regions.set(placeOf(region), region);
    this.tallies[region.tableIndex] = region.tally;
  }
  drop(region: CompiledRegion): void {
    this.setWord(region.tally + TALLY_STATE, TALLY_DROPPED);
    this.regions.delete(placeOf(region));
    delete this.tallies[region.tableIndex];
  }

  /** A slice has ended in compiled code: it counts for the region that was left, or that comes now. */
  sample(compiler: Compiler): void {
    const tally = this.word(S.CPU_BASE + S.LEFT_TALLY) || this.tallies[this.cache.indexHere()];
    if (tally === undefined) return;
    this.setWord(tally, this.word(tally) + 1);
    if (!compiler.isOptimizing) return;
    const isNew = this.word(tally + TALLY_STATE) === TALLY_NEW;
    if (!isNew && ++this.slices < SLICES_TO_LOOK) return;
    if (isNew) this.setWord(tally + TALLY_STATE, TALLY_ASKED);
    this.slices = 0;
    compiler.optimize();
  }

  /** Those that are still there run by better code from their next entry on; how many they are. */
  replace({ batch, module, numbers }: OptimizedRegions): number {
    const regions = numbers.flatMap((number) => this.regions.get(placeOf({ batch, number })) ?? []);
    if (regions.length === 0) return 0;
    const functions = this.imports.instantiate(module);
    for (const { number, tableIndex } of regions) this.table.set(tableIndex, functions[`r${number}`] as () => number);
    return regions.length;
  }
}
