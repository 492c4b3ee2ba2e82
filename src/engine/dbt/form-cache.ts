/**
 * Which handler serves instructions with the same `formKey` under the same mode bits: what the interpreter has told before,
 * without making an instruction to ask. Guests choose the keys: the size is fixed, and what finds no place replaces another.
 */
const ENTRIES = 8192;
const PROBES = 4;
/** Words of an entry: key, modes, handler (0: empty). */
const KEY = 0;
const MODES = 1;
const HANDLER = 2;
const ENTRY_SHIFT = 2;

export class FormCache {
  private readonly words = new Int32Array(ENTRIES << ENTRY_SHIFT);

  /** 0: not known. */
  find(key: number, modes: number): number {
    const { words } = this;
    const home = homeOf(key, modes);
    for (let probe = 0; probe < PROBES; probe++) {
      const at = ((home + probe) % ENTRIES) << ENTRY_SHIFT;
      if (words[at + KEY] === key && words[at + MODES] === modes) return words[at + HANDLER];
    }
    return 0;
  }

  add(key: number, modes: number, handler: number): void {
    const { words } = this;
    const home = homeOf(key, modes);
    let at = home << ENTRY_SHIFT;
    for (let probe = 0; probe < PROBES; probe++) {
      const next = ((home + probe) % ENTRIES) << ENTRY_SHIFT;
      if (words[next + HANDLER] !== 0) continue;
      at = next;
      break;
    }
    words[at + KEY] = key;
    words[at + MODES] = modes;
    words[at + HANDLER] = handler;
  }

  clear(): void {
    this.words.fill(0);
  }
}

function homeOf(key: number, modes: number): number {
  return (Math.imul(key, 0x9e3779b1) ^ Math.imul(modes, 0x85ebca6b)) >>> 19;
}
