/**
 * The page of `trapeze serve`: fetches the guest, runs it, and connects it with the terminal and the status line.
 * `trapeze` in the console of the browser's developer tools is the running machine and its terminal.
 */
import { checkHost, type EndReason, Machine, TrapezeError } from '../browser.js';
import { INIT_PARAMETERS } from '../image/busybox-initramfs.js';
import { fetchGuest, type Guest } from './guest.js';
import { Screen } from './screen.js';
import { StatusLine } from './status-line.js';

const END_TEXT: Readonly<Record<EndReason, string>> = {
  'power-off': 'Switched off',
  reset: 'Reset',
  'triple-fault': 'Triple fault',
  'debug-exit': 'Ended by the debug port',
  timeout: 'Timed out',
  closed: 'Switched off',
};
/** What xterm.js emulates, by the name terminfo has for it. */
const TERM = 'xterm-256color';

let guest: Promise<Guest> | undefined;
let machine: Machine | undefined;
let running: Promise<void> = Promise.resolve();
let isStarting = false;
/**
 * A size sent before the guest's userland reads sizes is lost. The first input comes when it does: the shell asks the
 * terminal for the cursor's position at its prompt.
 */
let tellSizeAgain: (() => void) | undefined;

const status = new StatusLine(() => void restart());
const terminalElement = document.getElementById('terminal') as HTMLElement;
const screen = new Screen(terminalElement, {
  onInput: (bytes) => {
    tellSizeAgain?.();
    machine?.write(bytes);
  },
  onResize: (columns, rows) => machine?.resize(columns, rows),
  onLeave: () => status.focus(),
});

function fetchOnce(): Promise<Guest> {
  guest ??= fetchGuest({
    onDescription: ({ title, memoryBytes }) => status.describe(title, memoryBytes),
    onProgress: (what, fraction) => status.fetching(what, fraction),
  }).catch((error: unknown) => {
    guest = undefined;
    throw error;
  });
  return guest;
}

/** The machine before it is gone first: its memory has to be free for the next one. */
async function restart(): Promise<void> {
  if (isStarting) return;
  isStarting = true;
  try {
    machine?.close();
    await running;
    checkHost();
    machine = powerOn(await fetchOnce());
  } catch (error) {
    status.failed(sentence(error));
  } finally {
    isStarting = false;
    screen.focus();
  }
}

function powerOn(guest: Guest): Machine {
  screen.clear();
  const started = new Machine({
    kernel: guest.kernel,
    kernelName: guest.kernelName,
    modules: guest.modules,
    append: guest.hasDefaultInit ? `${guest.append} ${terminalParameters()}` : guest.append,
    memoryBytes: guest.memoryBytes,
  });
  let isSilent = true;
  started.on('serial', (bytes) => {
    if (isSilent) status.running();
    isSilent = false;
    screen.write(bytes);
  });
  const { columns, rows } = screen.size;
  tellSizeAgain = () => {
    tellSizeAgain = undefined;
    const now = screen.size;
    if (now.columns !== columns || now.rows !== rows) started.resize(now.columns, now.rows);
  };
  status.booting();
  running = started.run().then(
    ({ reason }) => status.ended(END_TEXT[reason]),
    (error: unknown) => status.failed(sentence(error)),
  );
  Object.assign(globalThis, { trapeze: { machine: started, terminal: screen.terminal } });
  return started;
}

/** How our own /init learns about the terminal it is shown on. */
function terminalParameters(): string {
  const { columns, rows } = screen.size;
  return `${INIT_PARAMETERS.ROWS}=${rows} ${INIT_PARAMETERS.COLUMNS}=${columns} ${INIT_PARAMETERS.TERM}=${TERM}`;
}

function sentence(error: unknown): string {
  if (!(error instanceof TrapezeError)) return `This page has a defect: ${String(error)}`;
  const text = `${error.code === 'internal' ? 'This program has a defect: ' : ''}${error.message}`;
  // Messages about guest files begin with the file's name.
  const start = error.code === 'bad-image' ? text.charAt(0) : text.charAt(0).toUpperCase();
  return `${start}${text.slice(1)}${/[.?!]$/.test(text) ? '' : '.'}`;
}

globalThis.addEventListener('error', (event) => status.failed(sentence(event.error ?? event.message)));
globalThis.addEventListener('unhandledrejection', (event) => status.failed(sentence(event.reason)));
void restart();
