/** AND, OR, XOR, TEST, NOT. Intel SDM Vol. 2, the pages of each mnemonic. */
import { type Definition, type Definitions, define } from '../lift.js';
import { operand, sizeOf } from './shape.js';

function logic(kind: 'and' | 'or' | 'xor' | 'test'): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const size = sizeOf(dst);
    const x = kind === 'test' ? b.read(dst) : b.readForWrite(dst);
    const y = b.read(operand(i, 1));
    const r = b[kind === 'test' ? 'and' : kind](x, y);
    if (kind !== 'test') b.write(dst, r);
    b.flagsLogic(size, r);
  });
}

/** NOT changes no flag. */
const not = define((b, i) => {
  const dst = operand(i, 0);
  const size = sizeOf(dst);
  b.write(dst, b.xor(b.readForWrite(dst), b.constant(size, -1)));
});

export const definitions: Definitions = {
  and: logic('and'),
  or: logic('or'),
  xor: logic('xor'),
  test: logic('test'),
  not,
};
