// Builds dist/: TypeScript by tsc, the runtime by the AssemblyScript compiler. `--runtime` or `--ts` builds one of them.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
mkdirSync(`${root}/dist`, { recursive: true });
const only = process.argv[2];

function run(module, ...args) {
  const { status } = spawnSync(process.execPath, [`${root}/node_modules/${module}`, ...args], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exitCode = status ?? 1;
}

if (only !== '--runtime') run('typescript/bin/tsc', '-p', 'tsconfig.json');
if (only !== '--ts') run('assemblyscript/bin/asc.js', '--config', 'runtime/asconfig.json', '--target', 'release');
