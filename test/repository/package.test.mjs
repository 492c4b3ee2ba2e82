// package.json and package-lock.json are such that `npm ci` works on a stranger's machine of any kind.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const read = (name) => JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'));
const manifest = read('package.json');
const { packages } = read('package-lock.json');

test('the lock file names no registry', () => {
  const resolved = Object.entries(packages).filter(([, entry]) => 'resolved' in entry);
  assert.deepEqual(
    resolved.map(([name]) => name),
    [],
  );
});

test('the lock file holds every dependency, those for other platforms too', () => {
  const { '': own, ...others } = packages;
  for (const kind of ['dependencies', 'devDependencies']) assert.deepEqual(own[kind], manifest[kind]);
  const wanted = [own, ...Object.values(others)].flatMap((entry) =>
    ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((kind) => Object.keys(entry[kind] ?? {})),
  );
  assert.deepEqual(
    wanted.filter((name) => packages[`node_modules/${name}`] === undefined),
    [],
    'npm ci fails on a lock file without them; add the entries of other platforms by hand if npm left them out',
  );
});

test('what package.json points at is there', () => {
  const files = [...Object.values(manifest.bin), ...Object.values(manifest.exports['.']), manifest.types];
  for (const file of files) assert.ok(existsSync(new URL(`../../${file}`, import.meta.url)), file);
});
