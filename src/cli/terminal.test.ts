import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import test from 'node:test';
import { EscapeKeys } from './escape-keys.js';
import { Terminal, type TerminalSize, type TerminalStreams } from './terminal.js';
import { TerminalModes } from './terminal-modes.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

test('Ctrl-A x leaves, also when the keys arrive apart; Ctrl-A Ctrl-A is Ctrl-A', () => {
  const keys = new EscapeKeys();
  const first = keys.filter(bytes('ls\r\u0001'));
  assert.equal(text(first.bytes), 'ls\r');
  assert.deepEqual(first.actions, []);
  assert.deepEqual(keys.filter(bytes('x')).actions, ['leave']);
  assert.equal(text(keys.filter(bytes('a\u0001\u0001b')).bytes), 'a\u0001b');
  assert.deepEqual(keys.filter(bytes('\u0001h')).actions, ['help']);
  const nothing = keys.filter(bytes('\u0001cz'));
  assert.equal(text(nothing.bytes), 'z');
  assert.deepEqual(nothing.actions, []);
  // Ctrl-C, Ctrl-Z and Ctrl-D are the guest's.
  assert.equal(text(keys.filter(bytes('\u0003\u001a\u0004')).bytes), '\u0003\u001a\u0004');
});

test('terminal modes are undone only where they were changed', () => {
  const modes = new TerminalModes();
  modes.observe(bytes('plain text\n'));
  assert.equal(modes.restore(), '');
  modes.observe(bytes('\u001b[?1049h\u001b[?25l\u001b[?20'));
  modes.observe(bytes('04h\u001b[?7l\u001b[?7hvim\u001b[31m'));
  const restored = modes.restore();
  assert.ok(
    restored.includes('\u001b[?1049l') && restored.includes('\u001b[?25h') && restored.includes('\u001b[?2004l'),
  );
  assert.ok(!restored.includes('?7'));
  assert.ok(restored.includes('\u001b[0m') && restored.endsWith('\r\n'));
  assert.equal(modes.restore(), '');
  // A hostile stream of modes or an endless sequence is bounded.
  for (let mode = 0; mode < 10_000; mode++) modes.observe(bytes(`\u001b[?${1000 + mode}h`));
  modes.observe(bytes(`\u001b[${'1;'.repeat(10_000)}`));
  assert.ok(modes.restore().length < 2000);
});

class FakeStream extends EventEmitter {
  isTTY = true;
  columns = 80;
  rows = 24;
  raw: boolean[] = [];
  written = '';
  setRawMode(raw: boolean): void {
    this.raw.push(raw);
  }
  write(data: Uint8Array | string): boolean {
    this.written += typeof data === 'string' ? data : text(data);
    return true;
  }
  resume(): void {}
  pause(): void {}
}

function fakeTerminal(isTTY = true) {
  const [input, output, errors] = [new FakeStream(), new FakeStream(), new FakeStream()];
  for (const stream of [input, output, errors]) stream.isTTY = isTTY;
  const events: (string | TerminalSize)[] = [];
  const streams = { input, output, errors } as unknown as TerminalStreams;
  const terminal = new Terminal(streams, {
    onInput: (data) => events.push(text(data)),
    onResize: (size) => events.push(size),
    onLeave: () => events.push('LEAVE'),
    onSave: () => events.push('SAVE'),
  });
  return { terminal, input, output, errors, events };
}

test('a terminal becomes raw, passes keys and sizes, and is put back', () => {
  const { terminal, input, output, errors, events } = fakeTerminal();
  const exitListeners = process.listenerCount('exit');
  terminal.open();
  assert.deepEqual(input.raw, [true]);
  input.emit('data', Buffer.from('a\u0003'));
  output.columns = 100;
  output.emit('resize');
  input.emit('data', Buffer.from('\u0001h\u0001s\u0001x'));
  assert.deepEqual(events, ['a\u0003', { columns: 100, rows: 24 }, 'SAVE', 'LEAVE']);
  assert.match(errors.written, /Ctrl-A x/);
  terminal.write(bytes('\u001b[?25lprompt# '));
  terminal.close();
  terminal.close();
  assert.deepEqual(input.raw, [true, false]);
  assert.ok(output.written.endsWith('\u001b[?25h\u001b[0m\u001b>\u001b(B\r\n'));
  assert.equal(input.listenerCount('data'), 0);
  assert.equal(output.listenerCount('resize'), 0);
  assert.equal(process.listenerCount('exit'), exitListeners);
});

test('an exit of the process puts the terminal back', () => {
  const { terminal, input } = fakeTerminal();
  const before = process.listeners('exit');
  terminal.open();
  const added = process.listeners('exit').filter((listener) => !before.includes(listener));
  assert.equal(added.length, 1);
  added[0](0);
  assert.deepEqual(input.raw, [true, false]);
});

test('a terminal that hung up does not make closing fail', () => {
  const { terminal, input } = fakeTerminal();
  terminal.open();
  input.setRawMode = () => {
    throw new Error('EIO');
  };
  terminal.close();
});

test('input that is no terminal is passed on as it is', () => {
  const { terminal, input, output, events } = fakeTerminal(false);
  terminal.open();
  input.emit('data', Buffer.from('\u0001x'));
  terminal.write(bytes('\u001b[?25l'));
  terminal.close();
  assert.deepEqual(events, ['\u0001x']);
  assert.deepEqual(input.raw, []);
  assert.equal(output.written, '\u001b[?25l');
  assert.equal(terminal.size, undefined);
});
