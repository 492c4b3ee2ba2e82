/** The keys the command keeps for itself: Ctrl-A and one more. Everything else belongs to the guest. */

const CTRL_A = 0x01;

export type EscapeAction = 'leave' | 'save' | 'help';

export interface EscapeResult {
  /** What goes to the guest. */
  readonly bytes: Uint8Array;
  readonly actions: readonly EscapeAction[];
}

export const ESCAPE_HELP = [
  'Ctrl-A x       leave: the guest is switched off, or saved with --save',
  'Ctrl-A s       save the machine to the file of --save and go on',
  'Ctrl-A h       this help',
  'Ctrl-A Ctrl-A  send Ctrl-A to the guest',
];

export class EscapeKeys {
  private pending = false;

  filter(input: Uint8Array): EscapeResult {
    const bytes: number[] = [];
    const actions: EscapeAction[] = [];
    for (const byte of input) {
      if (!this.pending) {
        if (byte === CTRL_A) this.pending = true;
        else bytes.push(byte);
        continue;
      }
      this.pending = false;
      if (byte === CTRL_A) bytes.push(CTRL_A);
      else if (byte === 0x78 || byte === 0x58) actions.push('leave');
      else if (byte === 0x73 || byte === 0x53) actions.push('save');
      else if (byte === 0x68 || byte === 0x3f) actions.push('help');
      // Any other key after Ctrl-A does nothing.
    }
    return { bytes: Uint8Array.from(bytes), actions };
  }
}
