import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CodeSize, type Insn, NO_REGISTER } from '../insn.js';
import { endsBlock } from '../semantics/index.js';
import { decode } from './decoder.js';
import { formKey, readFields } from './fields.js';
import { formNumber } from './form.js';
import { opcodeRows } from './tables.js';

const CODE_SIZES: readonly CodeSize[] = [16, 32, 64];
const PREFIXES = [[], [0x66], [0xf2], [0xf3], [0x67], [0x64], [0xf0], [0x48], [0x40], [0x4f], [0x26, 0x66, 0x41]];
const ESCAPES = { '': [], '0f': [0x0f], '0f38': [0x0f, 0x38], '0f3a': [0x0f, 0x3a] } as const;
const TAIL = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99];

/** Everything that a handler is made for. */
function formOf(insn: Insn): string {
  const memory = insn.operands.flatMap((op) => (op.kind === 'mem' ? [op.seg, op.index !== NO_REGISTER] : []));
  return [formNumber(insn), endsBlock(insn), ...memory].join();
}

test('instructions with one key have one form', () => {
  const forms = new Map<number, string>();
  for (const { map, opcode } of opcodeRows) {
    for (const prefixes of PREFIXES) {
      for (let modrm = 0; modrm < 256; modrm += 3) {
        const bytes = Uint8Array.from([...prefixes, ...ESCAPES[map], opcode, modrm, ...TAIL]);
        for (const codeSize of CODE_SIZES) {
          const insn = decode(bytes, 0, bytes.length, codeSize);
          if (insn === 'truncated') continue;
          const key = formKey();
          const form = formOf(insn);
          assert.equal(
            forms.get(key) ?? form,
            form,
            `${codeSize} bits: ${[...bytes].map((b) => b.toString(16)).join(' ')}`,
          );
          forms.set(key, form);
        }
      }
    }
  }
  assert.ok(forms.size > 2000);
});

test('what only the operands tell apart has keys of its own', () => {
  const key = (...bytes: number[]): number => {
    assert.equal(readFields(Uint8Array.from(bytes), 0, bytes.length, 64), bytes.length);
    return formKey();
  };
  // MOV r8, r8: AL, AH, and SPL under REX.
  const keys = [key(0x88, 0xc0), key(0x88, 0xe0), key(0x88, 0xc4), key(0x88, 0xe4)];
  assert.equal(new Set(keys).size, 4);
  assert.equal(key(0x88, 0xc0), key(0x40, 0x88, 0xe4));
  // Base, index, RIP, FS.
  const memory = [key(0x8b, 0x03), key(0x8b, 0x04, 0x0b), key(0x8b, 0x05, 0, 0, 0, 0), key(0x64, 0x8b, 0x03)];
  assert.equal(new Set(memory).size, 4);
  assert.equal(key(0x8b, 0x03), key(0x8b, 0x53, 0x10), 'register numbers and displacements do not matter');
});

test('what one instruction had is nothing to the next', () => {
  const key = (...bytes: number[]): number => {
    readFields(Uint8Array.from(bytes), 0, bytes.length, 64);
    return formKey();
  };
  const alone = key(0x90);
  key(0xf0, 0x64, 0x48, 0x01, 0x44, 0x8b, 0x10);
  assert.equal(key(0x90), alone);
  key(0xf3, 0x65, 0xa4);
  assert.equal(key(0x90), alone);
});
