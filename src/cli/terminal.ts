/**
 * The user's terminal while a guest has it: raw input, escape keys, window size; and its old self again afterwards,
 * however the program ends. Input that is not a terminal is passed on byte for byte.
 */
import type { ReadStream, WriteStream } from 'node:tty';
import { ESCAPE_HELP, EscapeKeys } from './escape-keys.js';
import { TerminalModes } from './terminal-modes.js';

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface TerminalHandlers {
  readonly onInput: (bytes: Uint8Array) => void;
  readonly onResize: (size: TerminalSize) => void;
  /** The user typed Ctrl-A x. */
  readonly onLeave: () => void;
  /** The user typed Ctrl-A s. */
  readonly onSave: () => void;
}

export interface TerminalStreams {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  readonly errors: NodeJS.WriteStream;
}

export class Terminal {
  private readonly streams: TerminalStreams;
  private readonly handlers: TerminalHandlers;
  private readonly keys = new EscapeKeys();
  private readonly modes = new TerminalModes();
  private isOpen = false;
  private readonly onData = (chunk: Buffer): void => this.input(chunk);
  private readonly onResize = (): void => this.resized();
  private readonly onContinue = (): void => this.continued();
  private readonly onExit = (): void => this.close();

  constructor(streams: TerminalStreams, handlers: TerminalHandlers) {
    this.streams = streams;
    this.handlers = handlers;
  }

  /** A person sits there: keys come one by one and the output goes to a screen. */
  get isInteractive(): boolean {
    return this.streams.input.isTTY === true && this.streams.output.isTTY === true;
  }

  /** undefined when the output is no terminal or does not know its size. */
  get size(): TerminalSize | undefined {
    const { columns, rows } = this.streams.output as WriteStream;
    return this.streams.output.isTTY && columns > 0 && rows > 0 ? { columns, rows } : undefined;
  }

  open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    const { input, output } = this.streams;
    // Runs on process.exit() and after an uncaught error too; a terminal left raw is useless to its owner.
    process.on('exit', this.onExit);
    setRaw(input, true);
    input.on('data', this.onData);
    input.resume();
    if (output.isTTY) output.on('resize', this.onResize);
    if (input.isTTY) process.on('SIGCONT', this.onContinue);
  }

  /** Output of the guest. */
  write(bytes: Uint8Array): void {
    if (this.streams.output.isTTY) this.modes.observe(bytes);
    this.streams.output.write(bytes);
  }

  /** A line of ours between the guest's output. */
  notice(text: string): void {
    this.streams.errors.write(`\r\n${text.replaceAll('\n', '\r\n')}\r\n`);
  }

  /** Puts everything back; may be called more than once. */
  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const { input, output } = this.streams;
    process.off('exit', this.onExit);
    process.off('SIGCONT', this.onContinue);
    output.off('resize', this.onResize);
    input.off('data', this.onData);
    input.pause();
    if (output.isTTY) output.write(this.modes.restore());
    setRaw(input, false);
  }

  private input(chunk: Buffer): void {
    if (this.streams.input.isTTY !== true) {
      this.handlers.onInput(new Uint8Array(chunk));
      return;
    }
    const { bytes, actions } = this.keys.filter(chunk);
    if (bytes.length > 0) this.handlers.onInput(bytes);
    for (const action of actions) {
      if (action === 'help') this.notice(ESCAPE_HELP.join('\n'));
      else if (action === 'save') this.handlers.onSave();
      else this.handlers.onLeave();
    }
  }

  private resized(): void {
    const { size } = this;
    if (size !== undefined) this.handlers.onResize(size);
  }

  /** After Ctrl-Z from outside and `fg`, the shell has put the terminal into its own mode. */
  private continued(): void {
    setRaw(this.streams.input, false);
    setRaw(this.streams.input, true);
    this.resized();
  }
}

function setRaw(input: NodeJS.ReadStream, raw: boolean): void {
  if (input.isTTY !== true) return;
  try {
    (input as ReadStream).setRawMode(raw);
  } catch {
    // The terminal is gone (hang-up): there is nothing left to put back.
  }
}
