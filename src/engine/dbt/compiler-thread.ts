/** The compiler's thread: answers requests of one VM. Its host gives it a way to send. */
import * as S from '../../x86/state.js';
import { DirectCompiler } from './direct-compiler.js';
import type { KnownBlocks } from './known-blocks.js';
import type { RegionArchive } from './region-archive.js';
import { RegionCompiler } from './region-compiler.js';
import type { Compiler, TranslationBatch, TranslationRequest } from './translation.js';

/** `error`: what the compiler threw. */
export type CompilerAnswer = TranslationBatch | { readonly error: Error };

/** How the vCPU thread reaches the compiler's thread. */
export interface CompilerLink {
  /** How many answers there have been, in shared memory. */
  readonly answers: Int32Array;
  post(request: TranslationRequest): void;
  /** What the thread's archive has. */
  readonly known?: KnownBlocks | undefined;
  /** An answer that has come. */
  receive(): CompilerAnswer | undefined;
  /** Ends the thread. */
  end(): void;
}

/** A thread that has not answered for so long has died, or never came to life: no event tells a vCPU thread that runs a guest. */
const PATIENCE_MS = 10_000;
/** The clock is read at one question of so many. */
const QUESTIONS = 64;

/** Answers each request by `send`, then raises the number of answers and asks the vCPU to look. */
export function serveRequests(
  memory: WebAssembly.Memory,
  answers: Int32Array,
  send: (answer: CompilerAnswer) => void,
  archive?: RegionArchive,
): (request: TranslationRequest) => void {
  const compiler = new RegionCompiler(memory, archive);
  const words = new Int32Array(memory.buffer);
  return (request) => {
    let answer: CompilerAnswer;
    try {
      answer = compiler.compile(request);
    } catch (error) {
      answer = { error: error instanceof Error ? error : new Error(String(error)) };
    }
    send(answer);
    Atomics.add(answers, 0, 1);
    Atomics.store(words, (S.CPU_BASE + S.EXIT_REQUEST) >> 2, S.EXIT_REQUESTED);
    compiler.keep();
  };
}

/** The vCPU thread's end. Where the thread does not answer, this end compiles by itself from then on. */
export class CompilerThread implements Compiler {
  private readonly memory: WebAssembly.Memory;
  private readonly link: CompilerLink;
  private readonly now: () => number;
  private taken = 0;
  private questions = 0;
  private asked: TranslationRequest | undefined;
  private askedAt = 0;
  private substitute: DirectCompiler | undefined;

  /** `now`: milliseconds. */
  constructor(memory: WebAssembly.Memory, link: CompilerLink, now: () => number = () => performance.now()) {
    this.memory = memory;
    this.link = link;
    this.now = now;
  }

  get known(): KnownBlocks | undefined {
    return this.link.known;
  }
  /** None: others gather while the thread is at work. */
  get waitNs(): number {
    return this.substitute?.waitNs ?? 0;
  }

  submit(request: TranslationRequest): void {
    if (this.substitute !== undefined) {
      this.substitute.submit(request);
      return;
    }
    this.asked = request;
    this.askedAt = this.now();
    this.link.post(request);
  }

  get isReady(): boolean {
    if (this.substitute !== undefined) return this.substitute.isReady;
    return Atomics.load(this.link.answers, 0) !== this.taken || this.isOverdue();
  }
  private isOverdue(): boolean {
    if (this.asked === undefined || ++this.questions % QUESTIONS !== 0) return false;
    if (this.now() - this.askedAt < PATIENCE_MS) return false;
    this.link.end();
    this.substitute = new DirectCompiler(this.memory);
    this.substitute.submit(this.asked);
    return true;
  }

  take(): TranslationBatch | undefined {
    if (!this.isReady) return undefined;
    if (this.substitute !== undefined) return this.substitute.take();
    const answer = this.link.receive();
    if (answer === undefined) return undefined;
    this.taken = (this.taken + 1) | 0;
    this.asked = undefined;
    if ('error' in answer) throw answer.error;
    return answer;
  }

  close(): void {
    this.link.end();
  }
}
