/**
 * What the vCPU thread and the compiler of regions tell each other. The compiler may be another thread: it sees guest
 * memory change under it, so a batch carries the bytes it was made from, and is entered only where they are still there.
 *
 *   vCPU thread   hot blocks -> TranslationRequest ->            -> TranslationBatch: compare, instantiate, enter
 *   compiler                                        form .. compile
 */

import type { KnownBlocks } from './known-blocks.js';

/** A region that a hot block should have been in: it is made again with that block as an entry. */
export interface RegionToReplace {
  readonly id: number;
  readonly generation: number;
  /** Page offsets. */
  readonly entries: readonly number[];
  readonly offsets: readonly number[];
}

export interface HotBlock {
  /** Guest physical address. */
  readonly gpa: number;
  readonly key: number;
  /** The guest is in it now. */
  readonly isLoop: boolean;
  readonly replaces: RegionToReplace | undefined;
}

/** Zeroed linear memory for links and tables. */
export interface Room {
  readonly at: number;
  readonly bytes: number;
}

export interface TranslationRequest {
  /** Changes when the vCPU thread forgets all: rooms of another epoch are gone. */
  readonly epoch: number;
  readonly hot: readonly HotBlock[];
  /** Entries that make a block hot. */
  readonly threshold: number;
  /** Those of a block that comes along. */
  readonly warm: number;
  readonly room: Room | undefined;
}

/** A page that a region is made of: its guest physical address, and the 64-byte chunks as two 32-bit masks. */
export interface RegionPart {
  readonly page: number;
  readonly chunks: readonly [number, number];
}

export interface TranslatedRegion {
  readonly key: number;
  /** Guest physical address of its own page. */
  readonly page: number;
  /** `id` of the region it replaces. */
  readonly replaces: number | undefined;
  readonly generation: number;
  /** Page offsets of the entries, by number (others lead into it from nowhere), and of all blocks of the page. */
  readonly entries: readonly number[];
  readonly offsets: readonly number[];
  readonly instructions: number;
  readonly hasTable: boolean;
  /** Linear-memory address of its tally. */
  readonly tally: number;
  /** What it was made from, its own page first. */
  readonly parts: readonly RegionPart[];
  /** Blocks of theirs that it goes to, which must be the ones that have these headers. */
  readonly crossings: readonly { readonly gpa: number; readonly header: number }[];
}

/** Regions of a batch once more, by the optimizing compiler. */
export interface OptimizedRegions {
  readonly batch: number;
  /** As the batch's module. */
  readonly module: WebAssembly.Module;
  /** Of the regions that are in it. */
  readonly numbers: readonly number[];
}

export interface TranslationBatch {
  readonly number: number;
  readonly epoch: number;
  /** Exports r0, r1 ... by number of the region; absent where no region was made. */
  readonly module: WebAssembly.Module | undefined;
  readonly moduleBytes: number;
  readonly regions: readonly TranslatedRegion[];
  /** How many of them were made in other VMs. */
  readonly restored: number;
  /** Bytes of their pages when they were decoded, by guest physical address. */
  readonly code: ReadonlyMap<number, Uint8Array>;
  /** Hot blocks that there was no room for. */
  readonly refused: readonly HotBlock[];
  /** Bytes of room left. */
  readonly roomLeft: number;
  readonly milliseconds: number;
}

export interface Compiler {
  /** Blocks that have been translated in other VMs: that they will be hot is known before. */
  readonly known: KnownBlocks | undefined;
  /** How long the first hot block waits for others. */
  readonly waitNs: number;
  /** Nothing may be under way. */
  submit(request: TranslationRequest): void;
  /** There is something to take. */
  readonly isReady: boolean;
  /** The batch that was submitted, once, or a better one of regions that are there. Throws what the compiler threw. */
  take(): TranslationBatch | OptimizedRegions | undefined;
  /** It is of use to `optimize`. */
  readonly isOptimizing: boolean;
  /** Looks at the tallies: the guest has spent time in regions of the baseline compiler. */
  optimize(): void;
  close(): void;
}
