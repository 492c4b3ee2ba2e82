// The page of `trapeze serve` in a headless Chromium: a guest boots to its shell and answers, and what goes wrong is said.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { startServer } from '../../dist/cli/serve.js';
import { findChromium, launchChromium, terminalText, waitFor } from './chromium.mjs';
import { openTestGuest } from './guest.mjs';

const BOOT_MS = 120_000;
const ANSWER_MS = 30_000;
const PAGE_MS = 60_000;
const MEMORY = 256 * 2 ** 20;

const executable = findChromium();
const noBrowser = executable === undefined ? 'no Chromium on this host; install one or name it in $CHROMIUM' : false;
const guest = noBrowser ? { missing: noBrowser } : await openTestGuest();

let browser;
let directory;
const servers = [];

before(async () => {
  if (!noBrowser) browser = await launchChromium(executable);
  directory = process.env.TRAPEZE_SCREENSHOTS ?? (await mkdtemp(join(tmpdir(), 'trapeze-page-')));
});

after(async () => {
  await browser?.close();
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  if (process.env.TRAPEZE_SCREENSHOTS === undefined) await rm(directory, { recursive: true, force: true });
});

/** URL of a server for a kernel. */
async function serveGuest(kernel, initrd, append = 'console=ttyS0 quiet') {
  const modules = initrd === undefined ? [] : [{ data: initrd, args: '', name: 'initrd' }];
  const description = { kernel, kernelName: 'vmlinuz', modules, append, hasDefaultInit: true, title: 'test guest' };
  const server = await startServer(description, { host: '127.0.0.1', port: 0, memory: MEMORY });
  servers.push(server);
  return `http://127.0.0.1:${server.address().port}/`;
}

/** A page that notes what it asks for and what goes wrong in it. */
async function openPage(url, options = {}) {
  const page = await browser.newPage({ viewport: { width: 1000, height: 640 }, ...options });
  page.setDefaultTimeout(PAGE_MS);
  const requests = [];
  const errors = [];
  page.on('request', (request) => requests.push(request.url()));
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.goto(url, { timeout: PAGE_MS });
  const line = (id) => page.textContent(`#${id}`);
  return { page, requests, errors, line };
}

test('a guest boots in the page to a shell that answers', { skip: guest.missing ?? false }, async (t) => {
  const url = await serveGuest(guest.kernel, guest.initrd);
  const started = Date.now();
  const { page, requests, errors, line } = await openPage(url);
  const text = () => terminalText(page);
  await waitFor('the state', () => line('state'), /^Booting$/, PAGE_MS);
  await page.setViewportSize({ width: 960, height: 600 });
  await waitFor('the terminal', text, /:~# *$/, BOOT_MS);
  t.diagnostic(`prompt after ${((Date.now() - started) / 1000).toFixed(1)} s`);
  assert.equal(await line('state'), 'Running');
  assert.equal(await line('memory'), `${MEMORY / 2 ** 20} MiB`);
  assert.match(await line('uptime'), /^\d+:\d\d$/);
  assert.equal(await line('guest'), 'test guest');

  await page.keyboard.type('echo $((6*7))-ok\n');
  await waitFor('the terminal', text, /^42-ok$/m, ANSWER_MS);
  const isInside = await page.evaluate(`
    document.querySelector('header').getBoundingClientRect().top === 0 &&
    document.querySelector('.xterm-screen').getBoundingClientRect().bottom <= innerHeight`);
  assert.ok(isInside, 'header and terminal fit into the window');
  await page.screenshot({ path: join(directory, 'running.png') });

  // The guest's terminal is as large as the page's, whether the window changed while it booted or later.
  const size = () => page.evaluate(`trapeze.terminal.rows + ' ' + trapeze.terminal.cols`);
  const first = await size();
  const untilSize = (size, then) => `until [ "$(stty size)" = "${size}" ]; do sleep 0.1; done; echo ${then}\n`;
  await page.keyboard.type(untilSize(first, 'sized'));
  await waitFor('the terminal', text, /^sized$/m, ANSWER_MS);
  await page.setViewportSize({ width: 700, height: 480 });
  const second = await waitFor('the size', size, new RegExp(`^(?!${first}$)`), ANSWER_MS);
  await page.keyboard.type(untilSize(second, 'resized'));
  await waitFor('the terminal', text, /^resized$/m, ANSWER_MS);

  // Ctrl-C is the guest's; pasted text arrives as it is.
  await page.keyboard.type('echo started; sleep 1000\n');
  await waitFor('the terminal', text, /^started$/m, ANSWER_MS);
  await page.keyboard.press('Control+C');
  await waitFor('the terminal', text, /\^C\n\S*:~# *$/, ANSWER_MS);
  await page.evaluate(`trapeze.terminal.paste('echo pasted-$((1+1))')`);
  await page.keyboard.press('Enter');
  await waitFor('the terminal', text, /^pasted-2$/m, ANSWER_MS);

  // A key leads out of the terminal, and the button is usable.
  await page.keyboard.press('Control+Shift+F6');
  assert.equal(await page.evaluate('document.activeElement.id'), 'restart');
  await page.evaluate('trapeze.terminal.focus()');
  await page.keyboard.type('exit\n');
  await waitFor('the state', () => line('state'), /^Switched off$/, ANSWER_MS);
  await page.screenshot({ path: join(directory, 'ended.png') });
  await page.click('#restart');
  await waitFor('the state', () => line('state'), /^Booting$/, ANSWER_MS);

  assert.deepEqual(errors, []);
  const foreign = requests.filter((request) => !request.startsWith(url));
  assert.deepEqual(foreign, [], 'nothing comes from elsewhere');
  assert.equal(requests.filter((request) => request.endsWith('/guest/kernel')).length, 1, 'a restart fetches nothing');
  await page.close();
});

test('a page that is not isolated says which headers to send', { skip: noBrowser }, async () => {
  const files = await serveGuest(Uint8Array.of(1));
  const bare = createServer(async (request, response) => {
    const answer = await fetch(new URL(request.url, files));
    response.writeHead(answer.status, { 'Content-Type': answer.headers.get('content-type') });
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise((resolve) => bare.listen(0, '127.0.0.1', resolve));
  servers.push(bare);
  const { page, line } = await openPage(`http://127.0.0.1:${bare.address().port}/`, { colorScheme: 'light' });
  const problem = await waitFor('the problem', () => line('problem'), /./, PAGE_MS);
  assert.match(problem, /"Cross-Origin-Opener-Policy: same-origin".*"Cross-Origin-Embedder-Policy: require-corp"/);
  assert.match(problem, /^This page is not cross-origin isolated[^.]*\.$/);
  assert.equal(await line('state'), 'Failed');
  await page.screenshot({ path: join(directory, 'not-isolated.png') });

  const error = await page.evaluate(`import('/dist/browser.js').then(({ Machine, TrapezeError }) => {
    try {
      new Machine({ kernel: new Uint8Array(1) });
    } catch (error) {
      return { isTyped: error instanceof TrapezeError, code: error.code };
    }
  })`);
  assert.deepEqual(error, { isTyped: true, code: 'host-unsupported' });
  await page.close();
});

test('a file that is no kernel is named in one sentence', { skip: noBrowser }, async () => {
  const { page, line, errors } = await openPage(await serveGuest(new Uint8Array(5000).fill(0x5a)));
  const problem = await waitFor('the problem', () => line('problem'), /./, PAGE_MS);
  assert.match(problem, /^vmlinuz\b.*\.$/);
  assert.doesNotMatch(problem, /defect/);
  assert.equal(await line('state'), 'Failed');
  assert.deepEqual(errors, []);
  await page.close();
});

test('a server that stops while the page is open is named', { skip: noBrowser }, async () => {
  const { page, line } = await openPage(await serveGuest(new Uint8Array(5000)));
  await waitFor('the state', () => line('state'), /^Failed$/, PAGE_MS);
  await page.route('**/guest.json', (route) => route.abort());
  await page.reload();
  await waitFor('the problem', () => line('problem'), /^The server does not answer.*\?$/, PAGE_MS);
  await page.close();
});

test('a vCPU thread that cannot be loaded is an error, not a hang', { skip: noBrowser }, async () => {
  const { page, line } = await openPage(await serveGuest(new Uint8Array(5000)));
  await waitFor('the state', () => line('state'), /^Failed$/, PAGE_MS);
  await page.route('**/browser-worker.js', (route) => route.fulfill({ status: 404, body: '' }));
  await page.click('#restart');
  await waitFor('the problem', () => line('problem'), /browser-worker\.js.*could not be loaded/, PAGE_MS);
  await page.close();
});

test('the page names no file that the package does not have', async () => {
  const html = await readFile(new URL('../../page/index.html', import.meta.url), 'utf8');
  assert.doesNotMatch(html, /(src|href)="(https?:)?\/\//);
});
