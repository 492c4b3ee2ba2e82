// Chromium without a window, driven over its debugging protocol.
import { spawnSync } from 'node:child_process';
import { chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
// Nothing of the browser's own calls home, and a container's sandbox and graphics are not needed.
const ARGUMENTS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

/** Path of the host's Chromium ($CHROMIUM, or found on the path), undefined without one. */
export function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of NAMES) {
    const { status, stdout } = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' });
    if (status === 0) return stdout.trim();
  }
  return undefined;
}

/** A browser with a profile of its own that is deleted with it. */
export function launchChromium(executablePath) {
  return chromium.launch({ executablePath, args: ARGUMENTS, timeout: 60_000 });
}

/** What a terminal of xterm.js holds, without trailing blanks. `expression` gives it in the page. */
export function terminalText(page, expression = 'globalThis.trapeze?.terminal') {
  return page.evaluate(`(() => {
    const buffer = (${expression})?.buffer.active;
    const lines = [];
    for (let n = 0; n < (buffer?.length ?? 0); n++) lines.push(buffer.getLine(n).translateToString(true));
    return lines.join('\\n').trimEnd();
  })()`);
}

/** Asks `read` until its answer matches; fails with the last answer. */
export async function waitFor(what, read, pattern, timeoutMs) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const text = await read();
    if (pattern.test(text)) return text;
    if (Date.now() > end) throw new Error(`${what} did not match ${pattern} within ${timeoutMs} ms; it was:\n${text}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
