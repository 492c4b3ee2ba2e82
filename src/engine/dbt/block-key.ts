/** What a block key (KEY_* of x86/state.ts) says of the code. */
import type { CodeSize } from '../../x86/insn.js';
import * as S from '../../x86/state.js';

export function codeSizeOf(key: number): CodeSize {
  return key & S.KEY_CODE64 ? 64 : key & S.KEY_CODE32 ? 32 : 16;
}
