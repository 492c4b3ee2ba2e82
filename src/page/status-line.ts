/** The line above the terminal: guest, state, memory, uptime, restart button, and problems in one sentence. */

export type PageState = 'loading' | 'fetching' | 'booting' | 'running' | 'ended' | 'failed';

const RESTART_TEXT: Partial<Record<PageState, string>> = { ended: 'Start again', failed: 'Try again' };
const TICK_MS = 1000;
const MIB = 2 ** 20;

export class StatusLine {
  private readonly guest = find('guest');
  private readonly state = find('state');
  private readonly memory = find('memory');
  private readonly uptime = find('uptime');
  private readonly problem = find('problem');
  private readonly progress = find('progress') as HTMLProgressElement;
  private readonly restart = find('restart') as HTMLButtonElement;
  private startedAt = 0;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(onRestart: () => void) {
    this.restart.addEventListener('click', onRestart);
    // Ctrl+W erases a word in the guest's shell and closes the tab in the browser: ask before a running guest is lost.
    globalThis.addEventListener('beforeunload', (event) => {
      if (this.state.dataset.state === 'running') event.preventDefault();
    });
  }

  describe(title: string, memoryBytes: number): void {
    this.guest.textContent = title;
    this.guest.title = title;
    this.memory.textContent = `${memoryBytes / MIB} MiB`;
    document.title = `${title} – Trapeze`;
  }

  fetching(what: string, fraction: number | undefined): void {
    this.show('fetching', `Fetching ${what}${fraction === undefined ? '' : ` ${Math.floor(fraction * 100)} %`}`);
    if (fraction === undefined) this.progress.removeAttribute('value');
    else this.progress.value = fraction;
  }

  booting(): void {
    this.show('booting', 'Booting');
    this.problem.hidden = true;
    this.startedAt = performance.now();
    this.tick();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  running(): void {
    this.show('running', 'Running');
  }

  ended(text: string): void {
    this.show('ended', text);
  }

  failed(sentence: string): void {
    this.show('failed', 'Failed');
    this.problem.textContent = sentence;
    this.problem.hidden = false;
  }

  /** For keyboard users who leave the terminal. */
  focus(): void {
    this.restart.focus();
  }

  private show(state: PageState, text: string): void {
    this.state.dataset.state = state;
    // A live region is read out on every change, so the same text is not set again.
    if (this.state.textContent !== text) this.state.textContent = text;
    const isOver = state === 'ended' || state === 'failed';
    this.progress.hidden = state !== 'loading' && state !== 'fetching';
    this.restart.disabled = state === 'loading' || state === 'fetching';
    this.restart.classList.toggle('wanted', isOver);
    this.restart.textContent = RESTART_TEXT[state] ?? 'Restart';
    if (isOver) clearInterval(this.timer);
  }

  private tick(): void {
    const seconds = Math.floor((performance.now() - this.startedAt) / 1000);
    this.uptime.textContent = formatDuration(seconds);
  }
}

export function formatDuration(seconds: number): string {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (parts[0] === 0) parts.shift();
  return parts.map((part, index) => (index === 0 ? `${part}` : `${part}`.padStart(2, '0'))).join(':');
}

function find(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`page/index.html has no element with the id ${id}`);
  return element;
}
