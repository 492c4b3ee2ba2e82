// Writes docs/reference/{instructions,cpuid,msrs,devices,registers}.md from what the code itself says: opcode tables, CPUID
// profile, the answers of RDMSR and WRMSR, the claims of the chipset. `npm test` checks that they are up to date.
//   node tools/generate-reference.mjs [--check]
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { cpuidReference } from './reference/cpuid.mjs';
import { devicesReference } from './reference/devices.mjs';
import { instructionsReference } from './reference/instructions.mjs';
import { msrsReference } from './reference/msrs.mjs';
import { registersReference } from './reference/registers.mjs';

const folder = fileURLToPath(new URL('../docs/reference/', import.meta.url));

/** File name -> contents. */
export function generateReference() {
  return {
    'instructions.md': instructionsReference(),
    'cpuid.md': cpuidReference(),
    'msrs.md': msrsReference(),
    'devices.md': devicesReference(),
    'registers.md': registersReference(),
  };
}

/** Names of the files that differ from what is generated. */
export function staleReferences() {
  return Object.entries(generateReference()).flatMap(([name, text]) => (read(name) === text ? [] : [name]));
}

function read(name) {
  try {
    return readFileSync(join(folder, name), 'utf8');
  } catch {
    return undefined;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const stale = staleReferences();
  if (process.argv.includes('--check')) {
    for (const name of stale) console.error(`docs/reference/${name} is out of date; run npm run reference`);
    if (stale.length > 0) process.exitCode = 1;
  } else {
    const texts = generateReference();
    for (const name of stale) writeFileSync(join(folder, name), texts[name]);
    console.log(stale.length === 0 ? 'the reference was up to date' : `written: ${stale.join(', ')}`);
  }
}
