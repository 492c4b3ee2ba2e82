/** Saving the machine of a run: at once with Ctrl-A s, and last of all when it is ended from outside. */
import { StateError } from '../base/errors.js';
import type { Machine } from '../machine/machine.js';
import type { StateFile } from './state-file.js';

export class Saving {
  /** It was saved to the file at least once. */
  saved = false;
  /** Why saving went wrong, for the end of the run. */
  failure: unknown;
  private readonly file: StateFile | undefined;
  private readonly tell: (text: string) => void;
  private isLeaving = false;

  /** `tell` shows a line to the user. */
  constructor(file: StateFile | undefined, tell: (text: string) => void) {
    this.file = file;
    this.tell = tell;
  }

  /** The user asks for it; the guest goes on. */
  async now(machine: Machine): Promise<void> {
    if (this.file === undefined) {
      this.tell('trapeze: there is nowhere to save to; start with --save FILE');
      return;
    }
    await this.toFile(machine, this.file);
    if (this.failure === undefined) return;
    this.tell(`trapeze: ${messageOf(this.failure)}`);
    this.failure = undefined;
  }

  /**
   * Ends the run, saved where that is wanted; asked again, at once. A person at the keyboard keeps the guest where it
   * cannot be saved.
   */
  async leave(machine: Machine, isAsked: 'by key' | 'from outside'): Promise<void> {
    if (this.file !== undefined && !this.isLeaving) {
      this.isLeaving = true;
      // It must not go on after the moment that is saved.
      await machine.pause().catch(() => {});
      await this.toFile(machine, this.file);
      if (this.failure !== undefined && isAsked === 'by key') {
        this.tell(`trapeze: ${messageOf(this.failure)}. The guest goes on; Ctrl-A x again leaves without saving.`);
        this.failure = undefined;
        machine.resume();
        return;
      }
    }
    machine.close();
  }

  private async toFile(machine: Machine, file: StateFile): Promise<void> {
    try {
      const state = await machine.save();
      await file.write(state);
      this.saved = true;
      this.tell(`trapeze: saved to ${file.path} (${(state.length / 2 ** 20).toFixed(1)} MiB)`);
    } catch (error) {
      // A guest that ended by itself meanwhile leaves nothing to save.
      if (error instanceof StateError) this.tell(`trapeze: nothing was saved, ${error.message}`);
      else this.failure ??= error;
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
