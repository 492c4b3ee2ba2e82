/** A child process whose output is read by the line and whose cost the host's kernel counts (proc(5)). */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100; // USER_HZ, the same on every x86-64 Linux

export class HostProcess {
  /** onLine(text, milliseconds of the host's clock since the start, costs) is called for every line. */
  constructor(command, args, { onLine = () => undefined, env = process.env } = {}) {
    this.started = performance.now();
    this.text = '';
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.pid = this.child.pid;
    this.errors = '';
    this.waiting = [];
    let rest = '';
    this.child.stdout.setEncoding('latin1');
    this.child.stdout.on('data', (chunk) => {
      const at = this.elapsed();
      this.text += chunk;
      for (const waiter of this.waiting) waiter();
      rest += chunk;
      for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
        onLine(rest.slice(0, end).replaceAll('\r', ''), at, this);
        rest = rest.slice(end + 1);
      }
    });
    this.child.stderr.setEncoding('latin1');
    this.child.stderr.on('data', (chunk) => {
      this.errors = (this.errors + chunk).slice(-4000);
    });
    this.child.stdin.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      this.child.on('error', (error) => resolve(error.message));
      this.child.on('close', (code, signal) => resolve(signal ?? code));
    });
  }

  elapsed() {
    return performance.now() - this.started;
  }

  write(text) {
    this.child.stdin.write(text);
  }

  /** True when the output matches in time; false when it does not or the process ends. */
  async waitFor(pattern, timeoutMs) {
    return await new Promise((resolve) => {
      const finish = (value) => {
        clearTimeout(timer);
        this.waiting = this.waiting.filter((waiter) => waiter !== check);
        resolve(value);
      };
      const check = () => pattern.test(this.text) && finish(true);
      const timer = setTimeout(() => finish(false), timeoutMs);
      this.waiting.push(check);
      void this.ended.then(() => finish(pattern.test(this.text)));
      check();
    });
  }

  /** Exit code, or undefined when it had to be ended after the time. */
  async end(timeoutMs) {
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve(undefined), timeoutMs);
    });
    const code = await Promise.race([this.ended, late]);
    clearTimeout(timer);
    if (code === undefined) {
      this.child.kill('SIGKILL');
      await this.ended;
    }
    return code;
  }

  /** Seconds of CPU of all threads, those that ended too. */
  cpuSeconds() {
    try {
      const fields = readFileSync(`/proc/${this.pid}/stat`, 'latin1').split(') ')[1].split(' ');
      return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    } catch {
      return Number.NaN;
    }
  }

  /** Milliseconds on a CPU by thread, finer than cpuSeconds. */
  threadCpuMs() {
    const threads = new Map();
    try {
      for (const task of readdirSync(`/proc/${this.pid}/task`)) {
        const [ran] = readFileSync(`/proc/${this.pid}/task/${task}/schedstat`, 'latin1').split(' ');
        threads.set(task, Number(ran) / 1e6);
      }
    } catch {
      // It ended meanwhile.
    }
    return threads;
  }

  /** MiB of memory at the highest so far. */
  peakMemoryMiB() {
    try {
      const [, kib] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, 'latin1'));
      return Number(kib) / 1024;
    } catch {
      return Number.NaN;
    }
  }
}
