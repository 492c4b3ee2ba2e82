// Builds dist/: TypeScript by tsc, the handlers every interpreter begins with, Node's threads in few files, the runtime by the
// AssemblyScript compiler. Silent unless something is wrong.
//   node tools/build.mjs [--ts|--runtime]
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const PROGRAM = `${root}/dist/cli/main.js`;
const THREADS = `${root}/dist/threads`;
const only = process.argv[2];
mkdirSync(`${root}/dist`, { recursive: true });

function run(module, ...args) {
  const options = { cwd: root, stdio: 'inherit' };
  const { status } = spawnSync(process.execPath, [`${root}/node_modules/${module}`, ...args], options);
  if (status !== 0) process.exitCode = status ?? 1;
}

/** The threads of a machine on Node: from some 200 files each, Node takes a tenth of a second to load them. */
async function bundleThreads() {
  rmSync(THREADS, { recursive: true, force: true });
  if (process.exitCode) return;
  await build({
    absWorkingDir: root,
    entryPoints: ['node-worker', 'node-compiler-worker'].map((name) => `dist/${name}.js`),
    outdir: THREADS,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    logLevel: 'warning',
  });
}

/** What every interpreter begins with, so that no vCPU thread has to make it (src/node-worker.ts). */
async function writeHandlers() {
  const file = `${THREADS}/handlers.wasm`;
  rmSync(file, { force: true });
  if (process.exitCode) return;
  const { commonHandlersCode } = await import('../dist/engine/dbt/common-handlers.js');
  writeFileSync(file, commonHandlersCode());
}

/** Of the code that makes regions: what an older one has kept is of no use to another. */
function writeTranslatorId() {
  const hash = createHash('sha256');
  for (const folder of ['engine/dbt', 'ir', 'wasm', 'x86']) {
    const names = readdirSync(`${root}/dist/${folder}`, { recursive: true }).filter((name) =>
      /(?<!test)\.js$/.test(name),
    );
    for (const name of names.sort()) hash.update(name).update(readFileSync(`${root}/dist/${folder}/${name}`));
  }
  writeFileSync(`${root}/dist/translator-id`, `${hash.digest('hex').slice(0, 16)}\n`);
}

if (only !== '--runtime') {
  run('typescript/bin/tsc', '-p', 'tsconfig.json');
  if (existsSync(PROGRAM)) chmodSync(PROGRAM, 0o755);
  await bundleThreads();
  await writeHandlers();
  writeTranslatorId();
}
if (only !== '--ts') run('assemblyscript/bin/asc.js', '--config', 'runtime/asconfig.json', '--target', 'release');
