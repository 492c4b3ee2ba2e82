/** Ports that exist for tests and early boot messages; stateless. */
import type { PioHandler } from '../../base/io.js';
import type { CharBackend } from '../../char/char.js';

/** What a guest reads to see that somebody listens; Bochs began it. */
const DEBUG_CONSOLE_PRESENT = 0xe9;
export const DEBUG_EXIT_PORT = 0xf4;

export function debugConsole(backend: CharBackend): PioHandler {
  const byte = new Uint8Array(1);
  return {
    read: () => DEBUG_CONSOLE_PRESENT,
    write: (_offset, _size, value) => {
      byte[0] = value;
      backend.write(byte);
    },
  };
}

/** The value v written ends the run with exit code ((v << 1) | 1) & 255: never zero. */
export function debugExit(exit: (code: number) => void): PioHandler {
  return {
    read: () => 0,
    write: (_offset, _size, value) => exit(((value << 1) | 1) & 0xff),
  };
}
