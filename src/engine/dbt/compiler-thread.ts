/** The compiler's thread: answers requests of one VM. Its host gives it a way to send. */
import * as S from '../../x86/state.js';
import { DirectCompiler } from './direct-compiler.js';
import type { KnownBlocks } from './known-blocks.js';
import { OPTIMIZER_WANTS, Optimizer } from './optimizer.js';
import type { RegionArchive } from './region-archive.js';
import { RegionCompiler } from './region-compiler.js';
import type { Compiler, OptimizedRegions, TranslationBatch, TranslationRequest } from './translation.js';

/** `error`: what the compiler threw. */
export type CompilerAnswer = TranslationBatch | OptimizedRegions | { readonly error: Error };
/** `look`: at the tallies. */
export type CompilerMessage = TranslationRequest | 'look';

/** What both threads see, in shared memory: how many answers there have been, and OPTIMIZER_*. */
export const SIGNS = 2;
const ANSWERS = 0;
const OPTIMIZER = 1;

/** How the vCPU thread reaches the compiler's thread. */
export interface CompilerLink {
  readonly signs: Int32Array;
  post(message: CompilerMessage): void;
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

export interface CompilerHost {
  readonly signs: Int32Array;
  send(answer: CompilerAnswer): void;
  readonly archive?: RegionArchive | undefined;
  /** Its WebAssembly engine can be told which functions to optimize. */
  readonly choosesTiers: boolean;
}

/** Answers each message by `send`, then raises the number of answers; to a request, it asks the vCPU to look. */
export function serveRequests(
  memory: WebAssembly.Memory,
  { signs, send, archive, choosesTiers }: CompilerHost,
): (message: CompilerMessage) => void {
  const answer = (what: CompilerAnswer): void => {
    send(what);
    Atomics.add(signs, ANSWERS, 1);
  };
  const optimizer = choosesTiers
    ? new Optimizer(memory, {
        compile: (module) => WebAssembly.compile(module),
        send: answer,
        tell: (state) => void Atomics.store(signs, OPTIMIZER, state),
        now: () => performance.now(),
      })
    : undefined;
  const compiler = new RegionCompiler(memory, archive, optimizer);
  const words = new Int32Array(memory.buffer);
  return (message) => {
    if (message !== 'look') {
      answer(batchOf(compiler, message));
      Atomics.store(words, (S.CPU_BASE + S.EXIT_REQUEST) >> 2, S.EXIT_REQUESTED);
      compiler.keep();
      optimizer?.noteBusy();
    }
    optimizer?.look();
  };
}

function batchOf(compiler: RegionCompiler, request: TranslationRequest): CompilerAnswer {
  try {
    return compiler.compile(request);
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }
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
    return Atomics.load(this.link.signs, ANSWERS) !== this.taken || this.isOverdue();
  }
  private isOverdue(): boolean {
    if (this.asked === undefined || ++this.questions % QUESTIONS !== 0) return false;
    if (this.now() - this.askedAt < PATIENCE_MS) return false;
    this.link.end();
    this.substitute = new DirectCompiler(this.memory);
    this.substitute.submit(this.asked);
    return true;
  }

  take(): TranslationBatch | OptimizedRegions | undefined {
    if (!this.isReady) return undefined;
    if (this.substitute !== undefined) return this.substitute.take();
    const answer = this.link.receive();
    if (answer === undefined) return undefined;
    this.taken = (this.taken + 1) | 0;
    if ('numbers' in answer) return answer;
    this.asked = undefined;
    if ('error' in answer) throw answer.error;
    return answer;
  }

  get isOptimizing(): boolean {
    return this.substitute === undefined && Atomics.load(this.link.signs, OPTIMIZER) === OPTIMIZER_WANTS;
  }
  optimize(): void {
    this.link.post('look');
  }

  close(): void {
    this.link.end();
  }
}
