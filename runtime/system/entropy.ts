/** RDRAND and RDSEED. SDM Vol. 2B. */

import { random } from './env';
import { setFlags } from './flags';

function word(): u64 {
  return (random() as u64) & 0xffffffff;
}

/** The value of RDRAND or RDSEED with an operand of `size` bytes; always succeeds: CF set, the other status flags clear. */
export function rdrand(size: i32): u64 {
  const value = word() | (word() << 32);
  setFlags(1);
  return size == 8 ? value : size == 4 ? value & 0xffffffff : value & 0xffff;
}
