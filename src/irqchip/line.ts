/**
 * Interrupt lines. A device drives one line with a level; `true` is asserted, whatever the electrical polarity.
 */
export interface IrqLine {
  set(asserted: boolean): void;
}

/** A wire that several sources pull: asserted while any of them asserts it (wired OR of level-triggered inputs). */
export class SharedLine {
  readonly #target: (asserted: boolean) => void;
  #asserted = 0;

  constructor(target: (asserted: boolean) => void) {
    this.#target = target;
  }

  /** A new source on this wire. */
  source(): IrqLine {
    let level = false;
    return {
      set: (asserted) => {
        if (asserted === level) return;
        level = asserted;
        this.#asserted += asserted ? 1 : -1;
        if (this.#asserted === (asserted ? 1 : 0)) this.#target(asserted);
      },
    };
  }
}

/** A line that can be cut: while cut it is low, whatever its device drives. */
export class GatedLine implements IrqLine {
  readonly #target: IrqLine;
  #level = false;
  #open = true;

  constructor(target: IrqLine) {
    this.#target = target;
  }

  set(asserted: boolean): void {
    this.#level = asserted;
    if (this.#open) this.#target.set(asserted);
  }

  set open(open: boolean) {
    this.#open = open;
    this.#target.set(open && this.#level);
  }
}

/** A line that leads nowhere. */
export const NO_LINE: IrqLine = { set() {} };
