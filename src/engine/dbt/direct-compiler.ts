/** Compiles in the vCPU's own thread: where there is no other, and where a test wants regions at a known moment. */
import type { KnownBlocks } from './known-blocks.js';
import type { RegionArchive } from './region-archive.js';
import { RegionCompiler } from './region-compiler.js';
import type { Compiler, TranslationBatch, TranslationRequest } from './translation.js';

export class DirectCompiler implements Compiler {
  readonly waitNs = 3e6;
  readonly known: KnownBlocks | undefined;
  private readonly compiler: RegionCompiler;
  private batch: TranslationBatch | undefined;

  /** `archive` and what is in it. */
  constructor(memory: WebAssembly.Memory, archive?: RegionArchive, known?: KnownBlocks) {
    this.compiler = new RegionCompiler(memory, archive);
    this.known = known;
  }

  get isReady(): boolean {
    return this.batch !== undefined;
  }
  submit(request: TranslationRequest): void {
    this.batch = this.compiler.compile(request);
    this.compiler.keep();
  }
  take(): TranslationBatch | undefined {
    const { batch } = this;
    this.batch = undefined;
    return batch;
  }
  /** A page's engine optimizes by itself. */
  readonly isOptimizing = false;
  optimize(): void {}
  close(): void {}
}
