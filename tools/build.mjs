// Builds dist/: TypeScript by tsc, the handlers every interpreter begins with, the runtime by the AssemblyScript compiler. Silent unless something is wrong.
//   node tools/build.mjs [--ts|--runtime]
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const PROGRAM = `${root}/dist/cli/main.js`;
const only = process.argv[2];
mkdirSync(`${root}/dist`, { recursive: true });

function run(module, ...args) {
  const options = { cwd: root, stdio: 'inherit' };
  const { status } = spawnSync(process.execPath, [`${root}/node_modules/${module}`, ...args], options);
  if (status !== 0) process.exitCode = status ?? 1;
}

/** What every interpreter begins with, so that no vCPU thread has to make it (src/node-worker.ts). */
async function writeHandlers() {
  const file = `${root}/dist/handlers.wasm`;
  rmSync(file, { force: true });
  if (process.exitCode) return;
  const { commonHandlersCode } = await import('../dist/engine/dbt/common-handlers.js');
  writeFileSync(file, commonHandlersCode());
}

if (only !== '--runtime') {
  run('typescript/bin/tsc', '-p', 'tsconfig.json');
  if (existsSync(PROGRAM)) chmodSync(PROGRAM, 0o755);
  await writeHandlers();
}
if (only !== '--ts') run('assemblyscript/bin/asc.js', '--config', 'runtime/asconfig.json', '--target', 'release');
