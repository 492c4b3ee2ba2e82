// The code of the two embedding guides, taken out of the documents and run as a reader would.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findChromium, launchChromium, waitFor } from '../browser/chromium.mjs';
import { openTestGuest } from '../browser/guest.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BOOT_MS = 120_000;
const guest = await openTestGuest();
const executable = findChromium();
const noGuest = guest.missing ?? false;
const noPage = noGuest || (executable === undefined ? 'no Chromium on this host' : false);

let project;

before(async () => {
  project = await mkdtemp(join(tmpdir(), 'trapeze-guide-'));
  await mkdir(join(project, 'site'));
  await mkdir(join(project, 'node_modules/@xterm'), { recursive: true });
  await symlink(ROOT, join(project, 'node_modules/trapeze'));
  await symlink(join(ROOT, 'node_modules/@xterm/xterm'), join(project, 'node_modules/@xterm/xterm'));
  if (noGuest) return;
  for (const folder of ['.', 'site']) {
    await writeFile(join(project, folder, 'vmlinuz'), guest.kernel);
    await writeFile(join(project, folder, 'initrd.cpio'), guest.initrd);
  }
});

after(() => rm(project, { recursive: true, force: true }));

/** The code blocks of a guide in one language. */
async function samples(document, language) {
  const text = await readFile(join(ROOT, 'docs/guide', document), 'utf8');
  const blocks = text.matchAll(/^```(\w*)\n(.*?)^```$/gms);
  return [...blocks].filter(([, name]) => name === language).map(([, , code]) => code);
}

function start(file) {
  const child = spawn(process.execPath, [file], { cwd: project, env: { ...process.env, PORT: '0' } });
  const output = { text: '', errors: '' };
  child.stdout.on('data', (data) => {
    output.text += data;
  });
  child.stderr.on('data', (data) => {
    output.errors += data;
  });
  const ended = new Promise((resolve) => {
    child.on('exit', (code) => resolve({ code, ...output }));
  });
  return { child, output, ended };
}

test('the Node guide: a guest answers a question', { skip: noGuest, timeout: BOOT_MS }, async () => {
  const [sample] = await samples('embedding-in-node.md', 'js');
  await writeFile(join(project, 'question.mjs'), sample);
  assert.deepEqual(await start('question.mjs').ended, { code: 0, text: '42\npower-off 0\n', errors: '' });
});

test('the Node guide: errors are typed', { timeout: 30_000 }, async () => {
  const [, sample] = await samples('embedding-in-node.md', 'js');
  await writeFile(join(project, 'errors.mjs'), sample);
  const { code, text, errors } = await start('errors.mjs').ended;
  assert.deepEqual([code, errors], [0, '']);
  assert.match(text, /^bad-image .*notes\.txt.*\n$/);
});

test('the Node guide: a machine is saved and goes on', { skip: noGuest, timeout: BOOT_MS }, async () => {
  const [, , sample] = await samples('embedding-in-node.md', 'js');
  await writeFile(join(project, 'saving.mjs'), sample);
  assert.deepEqual(await start('saving.mjs').ended, { code: 0, text: 'closed\n', errors: '' });
});

test('the page guide: a guest boots in the terminal of the page', { skip: noPage, timeout: 2 * BOOT_MS }, async () => {
  const [html] = await samples('embedding-in-a-page.md', 'html');
  const [server] = await samples('embedding-in-a-page.md', 'js');
  await writeFile(join(project, 'site/index.html'), html);
  await writeFile(join(project, 'server.mjs'), server);
  const { child, output, ended } = start('server.mjs');
  const browser = await launchChromium(executable);
  try {
    const url = await waitFor('the server', async () => output.text.trim(), /^http:.*\/$/, 30_000);
    const page = await browser.newPage();
    await page.goto(url);
    const text = () =>
      page.evaluate(`[...document.querySelectorAll('.xterm-rows > *')].map((row) => row.textContent).join('\\n')`);
    await waitFor('the terminal', text, /:~#/, BOOT_MS);
    await page.keyboard.type('echo $((6*7))-ok; exit\n');
    await waitFor('the terminal', text, /^42-ok\s*$/m, 30_000);
    await waitFor('the terminal', text, /The\sguest\sended:\spower-off\./, 30_000);
  } finally {
    await browser.close();
    child.kill();
    await ended;
  }
});
