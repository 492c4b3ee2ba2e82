/**
 * Which of the engine's compilers makes a function: WebAssembly proposal "Compilation Hints", "Binary Format", as V8 has it up to
 * version 13. A byte for each function of the module:
 *
 *    bit 5..4  the best compiler that it gets      bit 3..2  the one it gets at once     bit 1..0  when: 1 at its first call
 *              1 baseline, 2 optimizing                      1 baseline, 2 optimizing
 */
import { ByteWriter } from './byte-writer.js';

const hint = (best: 1 | 2, first: 1 | 2, isLazy = false): number => (best << 4) | (first << 2) | (isLazy ? 1 : 0);

const HINT = {
  baseline: hint(1, 1),
  /** The baseline compiler's, until that of the optimizing one is there. */
  both: hint(2, 1),
  optimized: hint(2, 2),
  /** None before it is called. */
  none: hint(1, 1, true),
} as const;

export type Tier = keyof typeof HINT;

/** The custom section's content; its last bytes are those of the functions, in order. */
export function tierSection(tiers: readonly Tier[]): ByteWriter {
  const content = new ByteWriter(64);
  content.name('compilationHints');
  content.u32(tiers.length);
  for (const tier of tiers) content.u8(HINT[tier]);
  return content;
}

/** Changes a module. `at`: where the bytes of its functions begin. */
export function rewriteTiers(module: Uint8Array, at: number, tiers: readonly Tier[]): void {
  for (const [n, tier] of tiers.entries()) module[at + n] = HINT[tier];
}
