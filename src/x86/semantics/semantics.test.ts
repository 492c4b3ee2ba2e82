import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operandsOf } from '../../ir/builder.js';
import type { Statement, Value } from '../../ir/value.js';
import { decode, opcodeRows } from '../decode/decoder.js';
import { StaticLift } from '../lift-static.js';
import { ROUTINES } from '../routines.js';
import * as S from '../state.js';
import { endsBlock, semantics } from './index.js';

const mnemonics = new Set(opcodeRows.flatMap((row) => row.mnemonic.split('/')));

test('every mnemonic of the opcode tables has a definition', () => {
  const missing = [...mnemonics].filter((m) => semantics[m] === undefined);
  assert.deepEqual(missing, []);
});

test('what the decoder makes of undefined and overlong encodings has a definition', () => {
  for (const name of ['ud', 'gp']) assert.ok(semantics[name], name);
});

/** Names and argument types of all routines that an instruction's meaning calls. */
function calls(statements: readonly Statement[], found: Map<string, string>, seen = new Set<Value>()): void {
  const visit = (v: Value | undefined): void => {
    if (v === undefined || seen.has(v)) return;
    seen.add(v);
    if (v.op === 'call') found.set(v.name, (v.args ?? []).map((a) => a.type).join(' '));
    for (const part of [v.a, v.b, v.c, ...(v.args ?? [])]) visit(part);
  };
  for (const s of statements) {
    for (const v of operandsOf(s)) visit(v);
    if (s.kind === 'routine') found.set(s.name, s.args.map((a) => a.type).join(' '));
    if (s.kind === 'if') calls(s.then, found, seen);
  }
}

const KEY64 = S.KEY_CODE64 | S.KEY_FLAT | S.KEY_PROTECTED | S.KEY_LONG;
const KEY32 = S.KEY_CODE32 | S.KEY_STACK32 | S.KEY_PROTECTED;
const KEY16 = 0;

/** Every encoding with one or two opcode bytes, some prefixes and a register or memory operand. */
function* encodings(): Generator<Uint8Array> {
  const tail = [0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb];
  for (const prefix of [[], [0x66], [0xf3], [0xf2], [0x48], [0x66, 0x48]]) {
    for (const map of [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]) {
      for (let opcode = 0; opcode < 256; opcode++) {
        for (let reg = 0; reg < 8; reg++) {
          for (const mod of [0x43, 0xc1]) yield Uint8Array.from([...prefix, ...map, opcode, mod | (reg << 3), ...tail]);
        }
      }
    }
  }
}

for (const [codeSize, key] of [
  [64, KEY64],
  [32, KEY32],
  [16, KEY16],
] as const) {
  test(`every ${codeSize}-bit form lifts, and calls routines as they are declared`, () => {
    const wrong = new Map<string, string>();
    let lifted = 0;
    for (const bytes of encodings()) {
      const insn = decode(bytes, 0, bytes.length, codeSize);
      if (insn === 'truncated') continue;
      const definition = semantics[insn.mnemonic];
      assert.ok(definition, insn.mnemonic);
      const lift = new StaticLift(key, insn, 0x123);
      definition.lift(lift, insn);
      lifted++;
      // A block that is cut before lifting must have been cut where the meaning ends it.
      if (lift.ended && !endsBlock(insn)) wrong.set(insn.mnemonic, 'ends a block and does not say so');
      const found = new Map<string, string>();
      calls(lift.statements, found);
      for (const [name, types] of found) {
        const declared = ROUTINES[name]?.params.join(' ');
        if (declared !== types) wrong.set(name, `declared (${declared}), called (${types}) by ${insn.mnemonic}`);
      }
    }
    assert.ok(lifted > 10000);
    assert.deepEqual([...wrong], []);
  });
}

/** Whether statements store, or load what they will store. */
function stores(statements: readonly Statement[]): boolean {
  const isForWrite = (v: Value | undefined): boolean =>
    v !== undefined && (v.op === 'loadrmw' || [v.a, v.b, v.c, ...(v.args ?? [])].some(isForWrite));
  return statements.some(
    (s) => s.kind === 'store' || operandsOf(s).some(isForWrite) || (s.kind === 'if' && stores(s.then)),
  );
}

// Intel SDM Vol. 3A, "Type Checking": no store into code or into read-only data.
test('a store through a segment asks whether it is writable, and nothing else does', () => {
  const wrong = new Set<string>();
  let checked = 0;
  for (const bytes of encodings()) {
    const insn = decode(Uint8Array.from([0x64, ...bytes]), 0, bytes.length + 1, 32);
    if (insn === 'truncated' || !insn.operands.some((op) => op.kind === 'mem' && op.seg === S.SEG_FS)) continue;
    const lift = new StaticLift(KEY32 | S.KEY_FLAT, insn, 0x123);
    semantics[insn.mnemonic]?.lift(lift, insn);
    const found = new Map<string, string>();
    calls(lift.statements, found);
    // These store only below the stack pointer, or through the flat ES.
    const isElsewhere = ['push', 'call', 'callf', 'movs'].includes(insn.mnemonic);
    if (!isElsewhere && stores(lift.statements) && !found.has('segmentCheckWrite')) wrong.add(insn.mnemonic);
    if (found.has('segmentCheckWrite')) checked++;
    if (
      ['mov', 'cmp', 'test', 'push'].includes(insn.mnemonic) &&
      !stores(lift.statements) &&
      found.has('segmentCheckWrite')
    ) {
      wrong.add(`${insn.mnemonic} without a store`);
    }
  }
  assert.deepEqual([...wrong], []);
  assert.ok(checked > 1000);
});
