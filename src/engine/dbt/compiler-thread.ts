/** The compiler's thread: answers requests of one VM. Its host gives it a way to send. */
import * as S from '../../x86/state.js';
import { RegionCompiler } from './region-compiler.js';
import type { Compiler, TranslationBatch, TranslationRequest } from './translation.js';

/** `error`: what the compiler threw. */
export type CompilerAnswer = TranslationBatch | { readonly error: Error };

/** Answers each request by `send`, then raises the number of answers and asks the vCPU to look. */
export function serveRequests(
  memory: WebAssembly.Memory,
  answers: Int32Array,
  send: (answer: CompilerAnswer) => void,
): (request: TranslationRequest) => void {
  const compiler = new RegionCompiler(memory);
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
    Atomics.store(words, (S.CPU_BASE + S.EXIT_REQUEST) >> 2, 1);
  };
}

/** The vCPU thread's end: `post` sends a request, `receive` takes an answer that has come. */
export class CompilerThread implements Compiler {
  /** Others gather while the thread is at work. */
  readonly waitNs = 0;
  private readonly answers: Int32Array;
  private readonly post: (request: TranslationRequest) => void;
  private readonly receive: () => CompilerAnswer | undefined;
  private readonly end: () => void;
  private taken = 0;

  /** `answers`: how many answers there have been, in shared memory. */
  constructor(
    answers: Int32Array,
    post: (request: TranslationRequest) => void,
    receive: () => CompilerAnswer | undefined,
    end: () => void,
  ) {
    this.answers = answers;
    this.post = post;
    this.receive = receive;
    this.end = end;
  }

  submit(request: TranslationRequest): void {
    this.post(request);
  }
  get isReady(): boolean {
    return Atomics.load(this.answers, 0) !== this.taken;
  }
  take(): TranslationBatch | undefined {
    if (!this.isReady) return undefined;
    const answer = this.receive();
    if (answer === undefined) return undefined;
    this.taken = (this.taken + 1) | 0;
    if ('error' in answer) throw answer.error;
    return answer;
  }
  close(): void {
    this.end();
  }
}
