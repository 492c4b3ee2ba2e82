// The generated pages of the reference are what the code says today.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateReference, staleReferences } from '../../tools/generate-reference.mjs';

test('docs/reference is up to date', () => {
  assert.deepEqual(staleReferences(), [], 'run npm run reference');
});

test('the pages hold what they are about', () => {
  const pages = generateReference();
  assert.match(pages['instructions.md'], /\| 66 0F 38 37 \| `pcmpgtq` \|/);
  assert.match(pages['cpuid.md'], /\| `sse4_2` \|/);
  assert.match(pages['cpuid.md'], /\| `avx2` \| AVX2 \| CPUID\.07H:EBX\[5\] \| \S/);
  assert.match(pages['msrs.md'], /\| 0xc0000080 \| `IA32_EFER` \|.*\| processor \| read write \|/);
  assert.match(pages['msrs.md'], /\| 0xfe \| `IA32_MTRRCAP` \|.*\| read \|/);
  assert.match(pages['devices.md'], /\| 0x3f8-0x3ff \| 8 \| 16550A, COM1 \|/);
});
