/** AES rounds. Intel SDM Vol. 1, "Advanced Encryption Standard New Instructions (AESNI)"; FIPS 197. */
import type { Definition, Definitions } from '../lift.js';
import { readVector, sse } from './sse-guard.js';
import { vector, vectorUnary } from './sse-vector.js';

const round = (routine: string): Definition => vector((b, x, y) => b.call(routine, 'v128', x, y));

const keyAssist: Definition = sse((b, i) => {
  const [dst, src, imm] = i.operands;
  const v = readVector(b, src);
  b.write(dst, b.call('aes_keygen_assist', 'v128', v, b.read(imm)));
});

export const definitions: Definitions = {
  aesenc: round('aes_encrypt'),
  aesenclast: round('aes_encrypt_last'),
  aesdec: round('aes_decrypt'),
  aesdeclast: round('aes_decrypt_last'),
  aesimc: vectorUnary((b, x) => b.call('aes_inverse_mix', 'v128', x)),
  aeskeygenassist: keyAssist,
};
