// Checks the imports of the tree against the table in layers.mjs: layer order, never-rules, host code, composition
// roots, test support, cycles of files, length of files. Prints one line per violation and fails.
//   node tools/check-layers.mjs [ROOT]
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as projectTable from '../layers.mjs';

const IMPORT = /^[ \t]*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|^[ \t]*import\s*['"]([^'"]+)['"]/gm;
const DYNAMIC_IMPORT = /\bimport\s*\(\s*['"]([^'"]+)['"]/g;
const COMMENTS = /\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm;
const TEST_SUPPORT = /(^|\/)test-[\w-]+\.ts$|-machine\.ts$/;
const TEST = /\.test\.ts$/;

/** Relative paths of the sources under `root`, by the folders the table names. */
function sourceFiles(root, table) {
  const tops = [...new Set(Object.keys(table.LAYERS).map((layer) => layer.split('/')[0]))];
  const files = [];
  for (const top of tops) {
    if (statSync(join(root, top), { throwIfNoEntry: false }) === undefined) continue;
    for (const name of readdirSync(join(root, top), { recursive: true })) {
      const file = posix.join(top, String(name).replaceAll('\\', '/'));
      if (/\.ts$/.test(file) && !/\.d\.ts$/.test(file)) files.push(file);
    }
  }
  return files.sort();
}

function importsOf(text) {
  const code = text.replace(COMMENTS, '');
  const specifiers = [...code.matchAll(IMPORT)].map((m) => m[1] ?? m[2]);
  return [...specifiers, ...[...code.matchAll(DYNAMIC_IMPORT)].map((m) => m[1])];
}

/** The source file that a relative specifier means: TypeScript's end in .js, AssemblyScript's have no ending. */
function resolve(file, specifier) {
  const path = posix.join(posix.dirname(file), specifier);
  return /\.js$/.test(path) ? path.replace(/\.js$/, '.ts') : /\.\w+$/.test(path) ? path : `${path}.ts`;
}

/** Violations as sentences. */
export function checkTree(root, table = projectTable) {
  const problems = [];
  const files = sourceFiles(root, table);
  const layers = Object.keys(table.LAYERS).sort((a, b) => b.length - a.length);
  const layerOf = (file) => layers.find((layer) => file.startsWith(`${layer}/`));
  const isRoot = (file) => table.ROOTS.files.some((pattern) => pattern.test(file));
  const isTest = (file) => TEST.test(file) || (TEST_SUPPORT.test(file) && isOnlyForTests(file));
  const within = (file, folder) => file.startsWith(`${folder}/`);
  const graph = new Map();
  const importers = new Map();

  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8');
    const targets = [];
    for (const specifier of importsOf(text)) {
      if (!specifier.startsWith('.')) {
        checkHostImport(file, specifier);
        continue;
      }
      const target = resolve(file, specifier);
      if (!files.includes(target)) problems.push(`missing: ${file} imports ${specifier}, which is no source file`);
      targets.push(target);
      importers.set(target, [...(importers.get(target) ?? []), file]);
    }
    graph.set(file, targets);
    checkHostGlobals(file, text);
    checkLength(file, text);
  }
  for (const [file, targets] of graph) for (const target of targets) checkEdge(file, target);
  problems.push(...cycles(graph));
  return { files: files.length, problems };

  /** Test support is what only tests (and other test support) import. */
  function isOnlyForTests(file) {
    return /(^|\/)test-/.test(file) || (importers.get(file) ?? []).every((by) => TEST.test(by));
  }

  function checkHostImport(file, specifier) {
    for (const host of table.HOSTS) {
      if (!host.imports.test(specifier) || host.folders.some((folder) => folder.test(file))) continue;
      if (/^node:/.test(specifier) && (TEST.test(file) || TEST_SUPPORT.test(file))) continue;
      problems.push(`host: ${file} imports ${specifier}, but code for ${host.name} has its own folders`);
    }
  }

  function checkHostGlobals(file, text) {
    if (file.startsWith('runtime/') || TEST.test(file) || TEST_SUPPORT.test(file)) return;
    const code = text.replace(COMMENTS, '').replace(/'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g, "''");
    for (const host of table.HOSTS) {
      if (host.folders.some((folder) => folder.test(file))) continue;
      const found = host.globals.exec(code);
      if (found) problems.push(`host: ${file} uses ${found[1]}, but code for ${host.name} has its own folders`);
    }
  }

  function checkLength(file, text) {
    const lines = text.split('\n').length - 1;
    if (lines > table.MAX_LINES && !table.LONG_FILES.includes(file) && layerOf(file) !== 'src/spec') {
      problems.push(`length: ${file} has ${lines} lines, at most ${table.MAX_LINES} are allowed; split it by families`);
    }
  }

  function checkEdge(file, target) {
    if (isTest(target) && !isTest(file)) {
      problems.push(`test: ${file} imports ${target}, which is for tests only`);
    }
    if (isTest(file) || isRoot(file)) return;
    for (const [from, to, instead] of table.NEVER) {
      const isContract = to === 'src/engine' && !within(target, 'src/engine/dbt');
      if (within(file, from) && within(target, to) && !(within(file, 'src/engine') && within(target, 'src/engine'))) {
        problems.push(`never: ${file} imports ${target}${isContract ? ' (a contract)' : ''}; ${instead}`);
      }
    }
    for (const host of table.HOSTS) {
      const toHost = host.folders.some((folder) => folder.test(target));
      if (toHost && !host.folders.some((folder) => folder.test(file))) {
        problems.push(`host: ${file} imports ${target}, but only code for ${host.name} and composition roots may`);
      }
    }
    const from = layerOf(file);
    const to = layerOf(target);
    if (from === undefined) {
      problems.push(`layer: ${file} stands in no layer and is no composition root; put it into one`);
      return;
    }
    if (isRoot(target)) {
      if (!table.ROOTS.importedBy.includes(from)) {
        problems.push(`root: ${file} imports the composition root ${target}; only ${table.ROOTS.importedBy} may`);
      }
      return;
    }
    if (to === undefined || to === from) return;
    if (table.LAYERS[from].includes(to) || table.SHARED_FILES[target]?.includes(from)) return;
    const allowed = table.LAYERS[from].join(', ') || 'nothing';
    problems.push(`layer: ${file} imports ${target}, but ${from} may import only: ${allowed}`);
  }
}

/** Every cycle of files once, as `cycle: a -> b -> a`. Tarjan's strongly connected components would name sets only. */
function cycles(graph) {
  const found = [];
  const state = new Map();
  const path = [];
  const visit = (file) => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      found.push(`cycle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`);
      return;
    }
    state.set(file, 'open');
    path.push(file);
    for (const target of graph.get(file) ?? []) visit(target);
    path.pop();
    state.set(file, 'done');
  };
  for (const file of graph.keys()) visit(file);
  return found;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const root = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..');
  const { files, problems } = checkTree(root);
  for (const problem of problems) console.error(problem);
  console.log(`layers: ${files} files, ${problems.length} violations`);
  if (problems.length > 0) process.exitCode = 1;
}
