// The layer check must fail where it should: small trees with one violation each.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import * as table from '../../layers.mjs';
import { checkTree } from '../../tools/check-layers.mjs';

/** Violations in a tree of the given files. */
function check(files) {
  const root = mkdtempSync(join(tmpdir(), 'layers-'));
  try {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      writeFileSync(join(root, file), text);
    }
    return checkTree(root, table).problems;
  } finally {
    rmSync(root, { recursive: true });
  }
}

function assertOne(problems, pattern) {
  assert.equal(problems.length, 1, problems.join('\n'));
  assert.match(problems[0], pattern);
}

const EMPTY = 'export const x = 1;\n';

test('a tree in order has no violations', () => {
  const problems = check({
    'src/base/errors.ts': EMPTY,
    'src/device/uart.ts': "import { x } from '../base/errors.js';\nexport const y = x;\n",
    'src/node.ts': "import { x } from './device/uart.js';\nimport 'node:fs';\nexport const z = x;\n",
  });
  assert.deepEqual(problems, []);
});

test('an import against the order of layers is found, also across lines and as a type', () => {
  const files = { 'src/ir/value.ts': EMPTY, 'src/base/a.ts': '' };
  for (const line of [
    "import { x } from '../ir/value.js';\n",
    "import {\n  x,\n} from '../ir/value.js';\n",
    "import type { X } from '../ir/value.js';\n",
    "export * from '../ir/value.js';\n",
    "export const lazy = () => import('../ir/value.js');\n",
  ]) {
    assertOne(check({ ...files, 'src/base/a.ts': line }), /^layer: src\/base\/a\.ts imports src\/ir\/value\.ts/);
  }
  assert.deepEqual(check({ ...files, 'src/base/a.ts': "// import { x } from '../ir/value.js';\n" }), []);
});

test('never-rules give their reason', () => {
  const problems = check({
    'src/engine/engine.ts': EMPTY,
    'src/device/uart.ts': "import type { X } from '../engine/engine.js';\n",
  });
  assert.equal(problems.length, 2);
  assert.match(problems.join('\n'), /never: src\/device\/uart\.ts imports .*the vCPU loop/);
});

test('the machine may use the contract of engines but not one engine', () => {
  const files = { 'src/engine/engine.ts': EMPTY, 'src/engine/dbt/vcpu.ts': "import '../engine.js';\n" };
  assert.deepEqual(check({ ...files, 'src/machine/loop.ts': "import '../engine/engine.js';\n" }), []);
  const problems = check({ ...files, 'src/machine/loop.ts': "import '../engine/dbt/vcpu.js';\n" });
  assert.match(problems.join('\n'), /never: src\/machine\/loop\.ts/);
  assert.match(problems.join('\n'), /layer: src\/machine\/loop\.ts/);
});

test('cycles of files are found', () => {
  assertOne(
    check({
      'src/base/a.ts': "import './b.js';\n",
      'src/base/b.ts': "import './c.js';\n",
      'src/base/c.ts': "import './a.js';\n",
    }),
    /^cycle: src\/base\/a\.ts -> src\/base\/b\.ts -> src\/base\/c\.ts -> src\/base\/a\.ts$/,
  );
});

test('host code keeps to its folders', () => {
  assertOne(
    check({ 'src/device/disk.ts': "import { readFileSync } from 'node:fs';\n" }),
    /^host: .*for Node has its own/,
  );
  assertOne(check({ 'src/device/disk.ts': 'export const e = process.env;\n' }), /^host: .*uses process/);
  assertOne(check({ 'src/machine/screen.ts': 'export const b = document.body;\n' }), /^host: .*uses document/);
  assertOne(
    check({ 'src/image/node/cache.ts': "import 'node:fs';\n", 'src/image/tar.ts': "import './node/cache.js';\n" }),
    /^host: src\/image\/tar\.ts imports src\/image\/node\/cache\.ts/,
  );
  assert.deepEqual(check({ 'src/device/disk.ts': "export const text = 'process.exit'; // document.body\n" }), []);
});

test('only the faces import composition roots', () => {
  const files = { 'src/node.ts': EMPTY };
  assert.deepEqual(check({ ...files, 'src/cli/main.ts': "import '../node.js';\n" }), []);
  assert.match(check({ ...files, 'src/machine/a.ts': "import '../node.js';\n" }).join(), /root: src\/machine\/a\.ts/);
  assertOne(check({ 'src/vcpu-worker.ts': EMPTY, 'src/device/a.ts': "import '../vcpu-worker.js';\n" }), /^root: /);
});

test('code does not import what is for tests', () => {
  assertOne(
    check({ 'src/base/test-rig.ts': EMPTY, 'src/base/a.ts': "import './test-rig.js';\n" }),
    /^test: src\/base\/a\.ts imports src\/base\/test-rig\.ts/,
  );
  assert.deepEqual(check({ 'src/base/test-rig.ts': EMPTY, 'src/base/a.test.ts': "import './test-rig.js';\n" }), []);
});

test('files outside of layers, missing files and long files are found', () => {
  assertOne(check({ 'src/new/a.ts': "import '../base/b.js';\n", 'src/base/b.ts': EMPTY }), /^layer: .*in no layer/);
  assert.match(check({ 'src/base/a.ts': "import './gone.js';\n" }).join(), /^missing: src\/base\/a\.ts/);
  assertOne(check({ 'src/base/a.ts': EMPTY.repeat(table.MAX_LINES + 1) }), /^length: src\/base\/a\.ts/);
});

test('the runtime reads shared layouts and nothing else of src', () => {
  const files = { 'src/x86/state.ts': EMPTY, 'src/x86/insn.ts': EMPTY };
  assert.deepEqual(check({ ...files, 'runtime/a.ts': "import { x } from '../src/x86/state';\n" }), []);
  assertOne(check({ ...files, 'runtime/a.ts': "import { x } from '../src/x86/insn';\n" }), /^layer: runtime\/a\.ts/);
});

test('every layer of the table names layers that exist', () => {
  const names = Object.keys(table.LAYERS);
  for (const [layer, allowed] of Object.entries(table.LAYERS)) {
    for (const name of allowed) assert.ok(names.includes(name), `${layer} may import ${name}, which is no layer`);
    // The table is in order: what a layer may import stands above it.
    for (const name of allowed) assert.ok(names.indexOf(name) < names.indexOf(layer), `${name} stands below ${layer}`);
  }
});
