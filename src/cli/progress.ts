/** A progress bar on a terminal, one line per step elsewhere. */
import type { PullProgress } from '../image/node/pull.js';

const WIDTH = 30;
const MIN_INTERVAL_MS = 60;

export class ProgressBar {
  private readonly stream: NodeJS.WriteStream;
  private step = '';
  private shownAt = 0;
  private isShown = false;

  constructor(stream: NodeJS.WriteStream) {
    this.stream = stream;
  }

  show(progress: PullProgress): void {
    const step = `${progress.image} ${progress.step}`;
    const changed = step !== this.step;
    this.step = step;
    if (!this.stream.isTTY) {
      if (changed) this.stream.write(`${progress.image}: ${progress.step} (${progress.detail})\n`);
      return;
    }
    const now = performance.now();
    if (!changed && progress.fraction < 1 && now - this.shownAt < MIN_INTERVAL_MS) return;
    this.shownAt = now;
    this.isShown = true;
    this.stream.write(`\r\u001b[K${progressLine(progress, this.stream.columns || 80)}`);
  }

  /** Takes the bar away. */
  close(): void {
    if (this.isShown) this.stream.write('\r\u001b[K');
    this.isShown = false;
    this.step = '';
  }
}

export function progressLine(progress: PullProgress, columns: number): string {
  const filled = Math.round(Math.min(Math.max(progress.fraction, 0), 1) * WIDTH);
  const percent = `${Math.floor(progress.fraction * 100)}`.padStart(3);
  const bar = `[${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}] ${percent} %`;
  return `${progress.image}: ${progress.step} ${bar} ${progress.detail}`.slice(0, Math.max(columns - 1, 20));
}
