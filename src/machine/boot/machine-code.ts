/** Machine code written as a table: bytes beside what they mean, labels, and references to labels. */

/** A byte, or a reference that becomes one or two bytes. */
export type Piece = number | { readonly to: string; readonly form: 'relative8' | 'relative16' | 'absolute16' };

export interface Line {
  /** Name of this place. */
  readonly label?: string;
  readonly pieces: readonly Piece[];
}

/** One instruction or datum; the text is for whoever reads the table. */
export function line(_text: string, ...pieces: Piece[]): Line {
  return { pieces };
}

export function label(name: string): Line {
  return { label: name, pieces: [] };
}

export function text(value: string): Line {
  return { pieces: [...[...value].map((letter) => letter.charCodeAt(0) & 0x7f), 0] };
}

/** Distance from the end of the reference, one byte. */
export const near8 = (to: string): Piece => ({ to, form: 'relative8' });
export const near16 = (to: string): Piece => ({ to, form: 'relative16' });
/** Offset in the segment. */
export const offset16 = (to: string): Piece => ({ to, form: 'absolute16' });

/** The bytes of `lines`, the first of which has the offset `origin`. Throws for an unknown label or one out of reach. */
export function assemble(lines: readonly Line[], origin: number): { bytes: Uint8Array; labels: Map<string, number> } {
  const sizeOf = (piece: Piece): number => (typeof piece === 'number' || piece.form === 'relative8' ? 1 : 2);
  const labels = new Map<string, number>();
  let at = origin;
  for (const { label: name, pieces } of lines) {
    if (name !== undefined) labels.set(name, at);
    for (const piece of pieces) at += sizeOf(piece);
  }
  const bytes: number[] = [];
  const resolve = (piece: Exclude<Piece, number>): number => {
    const target = labels.get(piece.to);
    if (target === undefined) throw new RangeError(`no label ${piece.to}`);
    if (piece.form === 'absolute16') return target;
    const distance = target - (origin + bytes.length + sizeOf(piece));
    if (piece.form === 'relative8' && (distance < -128 || distance > 127)) throw new RangeError(`${piece.to} is far`);
    return distance;
  };
  for (const { pieces } of lines) {
    for (const piece of pieces) {
      const value = typeof piece === 'number' ? piece : resolve(piece);
      const size = sizeOf(piece);
      for (let i = 0; i < size; i++) bytes.push((value >> (8 * i)) & 0xff);
    }
  }
  return { bytes: Uint8Array.from(bytes), labels };
}
