import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode } from '../../x86/decode/decoder.js';
import { StaticLift } from '../../x86/lift-static.js';
import { semantics } from '../../x86/semantics/index.js';
import * as S from '../../x86/state.js';
import type { Statement } from '../value.js';
import { dropDeadFlags } from './dead-flags.js';

const KEY = S.KEY_CODE64 | S.KEY_FLAT | S.KEY_PROTECTED | S.KEY_LONG;

/** Lifts a run of instructions and drops dead flags: for each, whether it still writes flags. */
function writesFlags(...bytes: number[]): boolean[] {
  const code = Uint8Array.from(bytes);
  const lifted: (readonly Statement[])[] = [];
  for (let at = 0; at < code.length; ) {
    const insn = decode(code, at, code.length - at, 64);
    if (insn === 'truncated') throw new Error('truncated');
    const lift = new StaticLift(KEY, insn, at);
    semantics[insn.mnemonic]?.lift(lift, insn);
    lifted.push(lift.statements);
    at += insn.length;
  }
  const writes = (list: readonly Statement[]): boolean =>
    list.some((s) => s.kind === 'flags' || s.kind === 'setflags' || (s.kind === 'if' && writes(s.then)));
  return dropDeadFlags(lifted, () => true).map(writes);
}

const ROR_EAX_7 = [0xc1, 0xc8, 7];
const SHL_EAX_CL = [0xd3, 0xe0];
const XOR_EBX_EAX = [0x31, 0xc3];
const INC_EAX = [0xff, 0xc0];
const ADC_EAX_ECX = [0x11, 0xc8];
const MOV_RAX_MEM = [0x48, 0x8b, 0x03];
const MOV_MEM_RAX = [0x48, 0x89, 0x03];
const SETZ_DL = [0x0f, 0x94, 0xc2];
const CMC = [0xf5];

test('flags that the next instruction overwrites are dropped', () => {
  assert.deepEqual(writesFlags(...ROR_EAX_7, ...XOR_EBX_EAX), [false, true]);
  assert.deepEqual(writesFlags(...SHL_EAX_CL, ...XOR_EBX_EAX), [false, true]);
  assert.deepEqual(writesFlags(...INC_EAX, ...INC_EAX, ...XOR_EBX_EAX), [false, false, true]);
  assert.deepEqual(writesFlags(...XOR_EBX_EAX, ...INC_EAX, ...XOR_EBX_EAX), [false, false, true]);
});

test('flags that are read stay: by a carry, a condition, or an instruction that keeps some', () => {
  assert.deepEqual(writesFlags(...XOR_EBX_EAX, ...ADC_EAX_ECX), [true, true]);
  assert.deepEqual(writesFlags(...XOR_EBX_EAX, ...SETZ_DL, ...XOR_EBX_EAX), [true, false, true]);
  assert.deepEqual(writesFlags(...XOR_EBX_EAX, ...INC_EAX), [true, true]);
  assert.deepEqual(writesFlags(...XOR_EBX_EAX, ...CMC), [true, true]);
  assert.deepEqual(writesFlags(...XOR_EBX_EAX, ...SHL_EAX_CL), [true, true]);
  assert.deepEqual(writesFlags(...ROR_EAX_7), [true]);
});

test('flags that a fault would show stay', () => {
  assert.deepEqual(writesFlags(...XOR_EBX_EAX, ...MOV_RAX_MEM, ...XOR_EBX_EAX), [true, false, true]);
  assert.deepEqual(writesFlags(...XOR_EBX_EAX, ...MOV_MEM_RAX, ...XOR_EBX_EAX), [true, false, true]);
});
