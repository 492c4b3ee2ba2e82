// The documents point at what exists.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const documents = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'), { recursive: true })
    .map((name) => join('docs', String(name)))
    .filter((name) => name.endsWith('.md')),
];

const textOf = (file) => readFileSync(join(root, file), 'utf8');

/** Anchors as GitHub makes them of headings. */
function anchors(file) {
  const headings = textOf(file).match(/^#+ .*$/gm) ?? [];
  return headings.map((heading) =>
    heading
      .replace(/^#+ /, '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\- ]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test('links between documents lead somewhere', () => {
  const broken = [];
  for (const file of documents) {
    const text = textOf(file).replace(/```[\s\S]*?```/g, '');
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path, anchor] = target.split('#');
      const other = path === '' ? file : join(dirname(file), path);
      if (!existsSync(join(root, other))) broken.push(`${file}: ${target}`);
      else if (anchor !== undefined && !anchors(other).includes(anchor)) broken.push(`${file}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('sources that documents name are there', () => {
  const missing = [];
  for (const file of documents) {
    for (const [, path] of textOf(file).matchAll(/`((?:src|runtime|test|tools|docs|bench)\/[\w./-]+)`/g)) {
      if (!existsSync(join(root, path))) missing.push(`${file}: ${path}`);
    }
  }
  assert.deepEqual(missing, []);
});

test('the architecture fits on a few pages', () => {
  assert.ok(textOf('ARCHITECTURE.md').split('\n').length < 300);
});
