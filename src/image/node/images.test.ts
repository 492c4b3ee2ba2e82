/** Pulling with stand-ins for apt and dpkg-deb on the PATH: no network, no host state. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, beforeEach } from 'node:test';
import { TrapezeError } from '../../base/errors.js';
import { parsePackage } from './apt.js';
import { cacheDirectory, ImageCache } from './cache.js';
import { findImage, listImages, openImage, pullImage, removeImage } from './images.js';

const directory = mkdtempSync(join(tmpdir(), 'trapeze-image-'));
const bin = join(directory, 'bin');
const path = process.env.PATH;
after(() => {
  process.env.PATH = path;
  rmSync(directory, { recursive: true });
});

let cache: ImageCache;
beforeEach(() => {
  process.env.PATH = `${bin}:${path}`;
  rmSync(bin, { recursive: true, force: true });
  mkdirSync(bin);
  cache = new ImageCache(mkdtempSync(join(directory, 'cache-')));
});

const DEB = 'package bytes';
const KERNEL = 'kernel bytes';
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

function script(name: string, body: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
  chmodSync(join(bin, name), 0o755);
}

/** apt and dpkg-deb that know one metapackage and one kernel. */
function installPrograms(checksum = sha256(DEB), version = '6.1-1'): void {
  script(
    'apt-get',
    `case "$3" in
      update) echo "dlstatus:1:50.0:half" >&3 ;;
      download) test "$4" = "linux-image-6.1-cloud-amd64:amd64=${version}" || exit 100
        echo "dlstatus:1:100.0:done" >&3; printf '%s' '${DEB}' > linux-image-6.1-cloud-amd64_1_amd64.deb
        echo download >> ${directory}/downloads ;;
    esac`,
  );
  const stanza = (name: string, depends: string): string =>
    `Package: ${name}\\nVersion: ${version}\\nArchitecture: amd64\\nDepends: ${depends}\\nSHA256: ${checksum}\\nDescription: x\\n`;
  script(
    'apt-cache',
    `case "$5" in
      linux-image-cloud-amd64:amd64) printf '${stanza('linux-image-cloud-amd64', 'linux-image-6.1-cloud-amd64 (= 6.1-1)')}' ;;
      linux-image-6.1-cloud-amd64:amd64) printf '${stanza('linux-image-6.1-cloud-amd64', 'kmod, linux-base (>= 4.3~)')}' ;;
      *) echo "E: No packages found" >&2; exit 100 ;;
    esac`,
  );
  const tree = mkdtempSync(join(directory, 'tree-'));
  mkdirSync(join(tree, 'boot'));
  writeFileSync(join(tree, 'boot', 'vmlinuz-6.1-cloud-amd64'), KERNEL);
  script('dpkg-deb', `tar -C ${tree} -cf - .`);
}

test('a metapackage is resolved, fetched, checked, unpacked and remembered', async () => {
  installPrograms();
  const steps: string[] = [];
  const record = await pullImage(
    'debian-cloud',
    (progress) => steps.push(`${progress.step} ${progress.fraction}`),
    cache,
  );
  assert.equal(record.package, 'linux-image-6.1-cloud-amd64');
  assert.deepEqual(record.files, [{ name: 'vmlinuz', sizeBytes: KERNEL.length, sha256: sha256(KERNEL) }]);
  assert.equal(new TextDecoder().decode(await openImage(record, cache)), KERNEL);
  assert.ok(steps.includes('package lists 0.5') && steps.includes('package 1') && steps.at(-1) === 'unpacking 1');
  assert.deepEqual(
    (await listImages(cache)).map((image) => image.name),
    ['debian-cloud'],
  );

  // A second pull finds it in the cache; a newer version replaces it.
  const downloads = (): number => readFileSync(join(directory, 'downloads'), 'utf8').length;
  const before = downloads();
  await pullImage('debian-cloud', undefined, cache);
  assert.equal(downloads(), before);
  installPrograms(sha256(DEB), '6.1-2');
  assert.equal((await pullImage('debian-cloud', undefined, cache)).packageVersion, '6.1-2');
  // Nothing is left of the work.
  assert.deepEqual(readdirSync(cache.path({ ...record, name: '.' }, '.')), ['debian-cloud']);

  assert.equal(await removeImage('debian-cloud', cache), true);
  assert.equal(await removeImage('debian-cloud', cache), false);
  assert.equal(await findImage('debian-cloud', cache), undefined);
});

test('a damaged cache is noticed and mended by the next pull', async () => {
  installPrograms();
  const record = await pullImage('debian-cloud', undefined, cache);
  writeFileSync(cache.path(record, 'vmlinuz'), 'tampered');
  await assert.rejects(openImage(record, cache), /missing or damaged; run "trapeze image remove debian-cloud"/);
  const mended = await pullImage('debian-cloud', undefined, cache);
  assert.equal(new TextDecoder().decode(await openImage(mended, cache)), KERNEL);
  for (const text of ['', '{', 'null', '[]', '{"version":1,"name":"debian-cloud"}', '{"version":2}']) {
    writeFileSync(cache.path(record, 'image.json'), text);
    assert.equal(await findImage('debian-cloud', cache), undefined);
    assert.deepEqual(await listImages(cache), []);
  }
});

async function failure(name = 'debian-cloud'): Promise<string> {
  try {
    await pullImage(name, undefined, cache);
  } catch (error) {
    assert.ok(error instanceof TrapezeError, `${error}`);
    assert.equal(error.exitCode, 2);
    return error.message;
  }
  return assert.fail('nothing was thrown');
}

test('what can go wrong is said with its remedy', async () => {
  process.env.PATH = bin;
  assert.match(await failure(), /this host has no apt-get; use --kernel FILE --initrd FILE/);
  process.env.PATH = `${bin}:${path}`;

  installPrograms();
  assert.match(await failure('debian-rt'), /do not offer linux-image-rt-amd64 for amd64; add Debian's/);
  installPrograms('0'.repeat(64));
  assert.match(await failure(), /does not have the checksum/);
  installPrograms();
  script('dpkg-deb', 'echo "dpkg-deb: error: not a package" >&2; exit 2');
  assert.match(await failure(), /dpkg-deb failed: dpkg-deb: error: not a package/);
  script('dpkg-deb', 'tar -C /dev -cf - -T /dev/null');
  assert.match(await failure(), /holds no file for a kernel/);
  script('apt-get', 'test "$3" = download || exit 0; echo "E: Failed to fetch" >&2; exit 100');
  assert.match(await failure(), /apt-get failed: Failed to fetch/);
  // A source that fails does no harm while the package is found, and is the reason when it is not.
  script('apt-get', 'echo "E: Some index files failed" >&2; exit 100');
  assert.match(await failure('debian'), /do not offer linux-image-amd64 for amd64 \(apt-get failed: Some index/);
});

test('package stanzas and cache directories', () => {
  const stanza =
    'Package: a\nVersion: 1:2-3\nArchitecture: amd64\nDepends: b (= 1) | c,\n d:any\nSHA256: abc\n\nPackage: z\n';
  assert.deepEqual(parsePackage(stanza), {
    package: 'a',
    version: '1:2-3',
    architecture: 'amd64',
    sha256: 'abc',
    depends: ['b', 'c', 'd'],
  });
  assert.equal(parsePackage('Package: a\n'), undefined);
  assert.equal(cacheDirectory({ XDG_CACHE_HOME: '/x' }), '/x/trapeze');
  assert.match(cacheDirectory({ XDG_CACHE_HOME: 'relative' }), /\.cache\/trapeze$/);
});
