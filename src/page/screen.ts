/** The terminal on the page: xterm.js fitted to its element, with the keys that are the page's and not the guest's. */
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import { followColorScheme } from './theme.js';

export interface ScreenEvents {
  onInput(bytes: Uint8Array): void;
  onResize(columns: number, rows: number): void;
  /** Tab belongs to the guest, so there is another key that leaves the terminal. */
  onLeave(): void;
}

const FONTS = "ui-monospace, 'Cascadia Mono', 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";
const SCROLLBACK_LINES = 10_000;
/** Text on any background the guest chooses stays readable: WCAG 2, "Contrast (Minimum)". */
const CONTRAST = 4.5;

export class Screen {
  readonly terminal: Terminal;

  constructor(element: HTMLElement, events: ScreenEvents) {
    this.terminal = new Terminal({
      fontFamily: FONTS,
      fontSize: 15,
      scrollback: SCROLLBACK_LINES,
      minimumContrastRatio: CONTRAST,
      cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
      macOptionIsMeta: true,
    });
    const { terminal } = this;
    followColorScheme((theme) => {
      terminal.options.theme = theme;
    });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    terminal.open(element);
    fit.fit();
    new ResizeObserver(() => fit.fit()).observe(element);

    const encoder = new TextEncoder();
    terminal.onData((text) => events.onInput(encoder.encode(text)));
    // Mouse reports in the encoding of old: one byte a character.
    terminal.onBinary((text) => events.onInput(Uint8Array.from(text, (character) => character.charCodeAt(0))));
    terminal.onResize(({ cols, rows }) => events.onResize(cols, rows));
    terminal.attachCustomKeyEventHandler((event) => this.isForGuest(event, events));
  }

  get size(): { columns: number; rows: number } {
    return { columns: this.terminal.cols, rows: this.terminal.rows };
  }

  write(bytes: Uint8Array): void {
    this.terminal.write(bytes);
  }

  /** Empty, with nothing left of what an earlier guest set. */
  clear(): void {
    this.terminal.reset();
  }

  focus(): void {
    this.terminal.focus();
  }

  /** Ctrl+C is the guest's, so copying is Ctrl+Shift+C as in other terminals. Pasting is the browser's own event. */
  private isForGuest(event: KeyboardEvent, events: ScreenEvents): boolean {
    const control = event.ctrlKey && event.shiftKey && !event.altKey && !event.metaKey;
    if (control && event.code === 'KeyC') {
      event.preventDefault();
      const selected = this.terminal.getSelection();
      if (event.type === 'keydown' && selected !== '') void navigator.clipboard.writeText(selected);
      return false;
    }
    if (control && event.code === 'KeyV') return false;
    if (control && event.code === 'F6') {
      if (event.type === 'keydown') events.onLeave();
      return false;
    }
    return true;
  }
}
