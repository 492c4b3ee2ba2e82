import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { commonHandlersCode } from './common-handlers.js';

test('the handlers that were built are those of these sources', () => {
  const built = readFileSync(new URL('../../threads/handlers.wasm', import.meta.url));
  assert.ok(
    built.equals(commonHandlersCode()),
    'dist/threads/handlers.wasm is of other sources; run `node tools/build.mjs --ts`',
  );
});
