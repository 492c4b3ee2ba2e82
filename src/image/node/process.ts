/** Running a program of the host: bounded in time, its errors as one sentence. */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { ImageSourceError } from '../../base/errors.js';

export interface ProcessOptions {
  readonly cwd?: string;
  readonly timeoutMs?: number;
  /** Receives standard output as it comes; return true to stop the program early, which is then no error. */
  readonly onOutput?: (chunk: Uint8Array) => boolean;
  /** Receives the lines of file descriptor 3. */
  readonly onStatusLine?: (line: string) => void;
}

/** The program is not installed. */
export class MissingProgramError extends ImageSourceError {}

const DEFAULT_TIMEOUT_MS = 10 * 60_000;
const MAX_TEXT = 4 * 1024 * 1024;

/** Runs a program and returns its standard output as text, unless `onOutput` takes it. */
export function runProgram(program: string, args: readonly string[], options: ProcessOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    const output: string[] = [];
    let size = 0;
    let errors = '';
    let stopped = false;
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);

    child.stdout?.on('data', (chunk: Buffer) => {
      if (stopped) return;
      if (options.onOutput === undefined) {
        size += chunk.length;
        if (size <= MAX_TEXT) output.push(chunk.toString('utf8'));
        return;
      }
      try {
        stopped = options.onOutput(chunk);
      } catch (error) {
        stopped = true;
        reject(error);
      }
      if (stopped) child.kill('SIGTERM');
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString('utf8')).slice(-16_384);
    });
    readLines(child.stdio[3] as Readable, options.onStatusLine);

    child.on('error', (cause: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      const missing = cause.code === 'ENOENT';
      reject(
        missing
          ? new MissingProgramError(`this host has no ${program}`, { cause })
          : new ImageSourceError(`${program} cannot be started (${cause.message}); check that it may be run`, {
              cause,
            }),
      );
    });
    child.on('close', (status) => {
      clearTimeout(timer);
      if (stopped || status === 0) resolve(output.join(''));
      else if (timedOut)
        reject(new ImageSourceError(`${program} did not finish in time; check the network and try again`));
      else reject(new ImageSourceError(`${program} failed: ${lastProblem(errors, status)}`));
    });
  });
}

function readLines(stream: Readable, onLine: ((line: string) => void) | undefined): void {
  let rest = '';
  stream.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('utf8')).split('\n');
    rest = (lines.pop() ?? '').slice(-4096);
    for (const line of lines) onLine?.(line);
  });
  // Closed together with the child.
  stream.on('error', () => undefined);
}

/** The last line that says what is wrong ("E: ..." of apt), or the last line at all. */
function lastProblem(errors: string, status: number | null): string {
  const lines = errors.split('\n').filter((line) => line.trim() !== '');
  const problem = lines.findLast((line) => line.startsWith('E:')) ?? lines.at(-1);
  return problem?.replace(/^E:\s*/, '').trim() ?? `exit status ${status}`;
}
