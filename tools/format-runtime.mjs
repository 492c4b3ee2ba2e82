// Formats runtime/ like everything else. Biome does not read AssemblyScript's decorators on functions, so they stand as
// comments while it works on copies.
//   node tools/format-runtime.mjs [--check] [FILE]...
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const isCheck = process.argv.includes('--check');
const DECORATOR = /^([ \t]*)@(inline|unmanaged|lazy|external\([^)\n]*\))/gm;
const MARK = /\/\*@([^*]+)\*\//g;

const files = readdirSync(join(root, 'runtime'), { recursive: true }).map(String);
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const sources = files.filter(
  (file) => file.endsWith('.ts') && (wanted.length === 0 || wanted.includes(`runtime/${file}`)),
);
const copies = mkdtempSync(join(tmpdir(), 'format-runtime-'));
let unformatted = 0;
try {
  const { vcs: _vcs, files: _files, $schema: _schema, ...configuration } = JSON.parse(read('biome.json'));
  writeFileSync(join(copies, 'biome.json'), JSON.stringify({ ...configuration, root: true }));
  for (const file of sources) {
    mkdirSync(dirname(join(copies, 'runtime', file)), { recursive: true });
    writeFileSync(join(copies, 'runtime', file), read(`runtime/${file}`).replace(DECORATOR, '$1/*@$2*/'));
  }
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome');
  const { status, stderr } = spawnSync(process.execPath, [biome, 'format', '--write', 'runtime'], {
    cwd: copies,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`biome failed on the runtime:\n${stderr}`);
  for (const file of sources) {
    const formatted = readFileSync(join(copies, 'runtime', file), 'utf8').replace(MARK, '@$1');
    if (formatted === read(`runtime/${file}`)) continue;
    unformatted++;
    if (isCheck) console.error(`format: runtime/${file} is not formatted; run npm run format`);
    else writeFileSync(join(root, 'runtime', file), formatted);
  }
} finally {
  rmSync(copies, { recursive: true });
}
console.log(`runtime: ${sources.length} files, ${unformatted} ${isCheck ? 'not formatted' : 'formatted'}`);
if (isCheck && unformatted > 0) process.exitCode = 1;

function read(file) {
  return readFileSync(join(root, file), 'utf8');
}
