import assert from 'node:assert/strict';
import test from 'node:test';
import { BadImageError } from './errors.js';

test('a message is one line, whatever names it quotes', () => {
  const name = 'a\n\u001b[2Jb\u2028c';
  assert.equal(new BadImageError(`${name} is no kernel`).message, 'a [2Jb c is no kernel');
});
