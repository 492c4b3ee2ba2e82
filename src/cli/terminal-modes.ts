/**
 * What the guest's programs did to the terminal, so that it can be undone: private modes (ECMA-48 "SM/RM" with "?",
 * as in xterm's control sequences: hidden cursor, alternate screen, mouse reports, bracketed paste), colours, keypad.
 */

const ESC = '\u001b';
/** Modes a terminal has on by default; all others are off. */
const ON_BY_DEFAULT: ReadonlySet<number> = new Set([7, 25]);
/** The longest sequence we care for; a longer one is dropped. */
const MAX_SEQUENCE = 32;
const MAX_MODES = 64;

export class TerminalModes {
  private readonly changed = new Map<number, boolean>();
  private sequence = '';
  private dirty = false;
  private lastByte = 0x0a;

  /** Looks at output on its way to the terminal. */
  observe(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.lastByte = bytes[bytes.length - 1];
    // Without an escape there is nothing to track, and that is nearly all output.
    if (this.sequence === '' && !bytes.includes(0x1b)) return;
    for (const byte of bytes) this.step(String.fromCharCode(byte));
  }

  /** The text that brings the terminal back, ending at the start of a line. */
  restore(): string {
    let text = '';
    if (this.dirty) {
      for (const [mode, on] of this.changed) {
        if (on !== ON_BY_DEFAULT.has(mode)) text += `${ESC}[?${mode}${ON_BY_DEFAULT.has(mode) ? 'h' : 'l'}`;
      }
      // Colours, keypad, character set; harmless where they were not touched.
      text += `${ESC}[0m${ESC}>${ESC}(B`;
    }
    if (this.lastByte !== 0x0a) text += '\r\n';
    this.changed.clear();
    this.sequence = '';
    this.dirty = false;
    this.lastByte = 0x0a;
    return text;
  }

  private step(character: string): void {
    if (character === ESC) {
      this.sequence = ESC;
      this.dirty = true;
      return;
    }
    if (this.sequence === '') return;
    this.sequence += character;
    if (this.sequence.length > MAX_SEQUENCE || (this.sequence.length === 2 && character !== '[')) {
      this.sequence = '';
    } else if (this.sequence.length > 2 && character >= '@' && character <= '~') {
      this.finish(this.sequence);
      this.sequence = '';
    }
  }

  private finish(sequence: string): void {
    const match = /^.\[\?([\d;]+)([hl])$/.exec(sequence);
    if (match === null) return;
    for (const number of match[1].split(';')) {
      if (number !== '' && this.changed.size < MAX_MODES) this.changed.set(Number(number), match[2] === 'h');
    }
  }
}
