/** Compiles in the vCPU's own thread: where there is no other, and where a test wants regions at a known moment. */
import { RegionCompiler } from './region-compiler.js';
import type { Compiler, TranslationBatch, TranslationRequest } from './translation.js';

export class DirectCompiler implements Compiler {
  readonly waitNs = 3e6;
  private readonly compiler: RegionCompiler;
  private batch: TranslationBatch | undefined;

  constructor(memory: WebAssembly.Memory) {
    this.compiler = new RegionCompiler(memory);
  }

  get isReady(): boolean {
    return this.batch !== undefined;
  }
  submit(request: TranslationRequest): void {
    this.batch = this.compiler.compile(request);
  }
  take(): TranslationBatch | undefined {
    const { batch } = this;
    this.batch = undefined;
    return batch;
  }
  close(): void {}
}
