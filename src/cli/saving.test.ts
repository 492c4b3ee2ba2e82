import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { StateError } from '../base/errors.js';
import type { Machine } from '../machine/machine.js';
import { Saving } from './saving.js';
import { StateFile } from './state-file.js';

const directory = mkdtempSync(join(tmpdir(), 'trapeze-saving-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function makeMachine(save: () => Promise<Uint8Array>): { machine: Machine; log: string[] } {
  const log: string[] = [];
  const machine = {
    pause: async () => void log.push('pause'),
    resume: () => void log.push('resume'),
    close: () => void log.push('close'),
    save: () => {
      log.push('save');
      return save();
    },
  } as unknown as Machine;
  return { machine, log };
}

test('leaving saves first, and the second time not at all', async () => {
  const file = new StateFile(join(directory, 'left'));
  const said: string[] = [];
  const saving = new Saving(file, (text) => said.push(text));
  const { machine, log } = makeMachine(async () => Uint8Array.of(1, 2, 3));
  await saving.leave(machine, 'by key');
  assert.deepEqual(log, ['pause', 'save', 'close']);
  assert.deepEqual([...readFileSync(file.path)], [1, 2, 3]);
  await saving.leave(machine, 'by key');
  assert.deepEqual(log.slice(3), ['close']);
  assert.equal(said.length, 1);
});

test('a guest that cannot be saved goes on for a person, and ends for a signal', async () => {
  const make = (): { saving: Saving; said: string[] } => {
    const said: string[] = [];
    const file = new StateFile(join(directory, 'full'));
    file.write = () => Promise.reject(new Error('the disk is full'));
    return { saving: new Saving(file, (text) => said.push(text)), said };
  };
  const person = make();
  const kept = makeMachine(async () => Uint8Array.of(1));
  await person.saving.leave(kept.machine, 'by key');
  assert.deepEqual(kept.log, ['pause', 'save', 'resume']);
  assert.match(person.said[0], /disk is full.*leaves without saving/);
  assert.equal(person.saving.failure, undefined);
  await person.saving.leave(kept.machine, 'by key');
  assert.equal(kept.log.at(-1), 'close');
  const signal = make();
  const lost = makeMachine(async () => Uint8Array.of(1));
  await signal.saving.leave(lost.machine, 'from outside');
  assert.deepEqual(lost.log, ['pause', 'save', 'close']);
  assert.match(String(signal.saving.failure), /disk is full/);
});

test('saving by key says where, or why not', async () => {
  const said: string[] = [];
  await new Saving(undefined, (text) => said.push(text)).now(makeMachine(async () => Uint8Array.of(1)).machine);
  const file = new StateFile(join(directory, 'asked'));
  const saving = new Saving(file, (text) => said.push(text));
  const { machine, log } = makeMachine(async () => Uint8Array.of(9));
  await saving.now(machine);
  assert.deepEqual(log, ['save']);
  await saving.now(makeMachine(() => Promise.reject(new StateError('the guest ended before'))).machine);
  assert.match(said[0], /start with --save FILE/);
  assert.match(said[1], /saved to .*asked/);
  assert.match(said[2], /nothing was saved, the guest ended/);
  assert.equal(saving.saved, true);
  file.write = () => Promise.reject(new Error('the disk is full'));
  await saving.now(machine);
  assert.match(said[3], /disk is full/);
  assert.equal(saving.failure, undefined, 'the run does not end with it');
});
