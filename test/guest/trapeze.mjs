// Boots a guest in a build of Trapeze, through its API.
import { pathToFileURL } from 'node:url';
import { GuestConsole } from './console.mjs';

/** `guest` is {kernel, initrd, append, memoryMiB}; `dist` the directory of the build. */
export async function bootTrapeze(guest, dist = new URL('../../dist/', import.meta.url)) {
  const { Machine } = await import(new URL('node.js', dist).href);
  const machine = new Machine({
    kernel: guest.kernel,
    firmware: guest.firmware,
    modules: guest.initrd === undefined ? [] : [{ data: guest.initrd, args: '' }],
    append: guest.append,
    memoryBytes: guest.memoryMiB * 2 ** 20,
    noReboot: true,
    timeoutMs: guest.timeoutMs,
  });
  const terminal = new GuestConsole((text) => machine.write(Buffer.from(text, 'latin1')));
  machine.on('serial', (bytes) => terminal.receive(bytes));
  const ended = machine.run().then(
    (result) => {
      terminal.end(`the guest ended (${result.reason})`);
      return { reason: result.reason, result };
    },
    (error) => {
      terminal.end(`the machine failed (${error.message})`);
      return { reason: `error: ${error.stack ?? error.message}` };
    },
  );
  return { console: terminal, ended, close: () => machine.close() };
}

export function distUrl(directory) {
  return pathToFileURL(directory.endsWith('/') ? directory : `${directory}/`);
}
