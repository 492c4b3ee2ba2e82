/** Lists of block headers, linked through a word of each: many blocks cost no JavaScript objects. */
export class HeaderLists {
  /** First header of each list, 0: none. */
  private readonly heads: Int32Array;
  private readonly i32: Int32Array;
  private readonly link: number;

  /** `heads`: zeroes; `link`: the field of a header (HEADER_SAME_*) that holds the next of its list. */
  constructor(memory: WebAssembly.Memory, heads: Int32Array, link: number) {
    this.heads = heads;
    this.i32 = new Int32Array(memory.buffer);
    this.link = link;
  }

  /** 0: the list is empty. */
  first(list: number): number {
    return this.heads[list] as number;
  }
  /** 0: that was the last. */
  after(header: number): number {
    return this.i32[(header + this.link) >> 2] as number;
  }
  add(list: number, header: number): void {
    this.i32[(header + this.link) >> 2] = this.first(list);
    this.heads[list] = header;
  }
  remove(list: number, header: number): void {
    const next = this.after(header);
    if (this.heads[list] === header) {
      this.heads[list] = next;
      return;
    }
    for (let at = this.first(list); at !== 0; at = this.after(at)) {
      if (this.after(at) !== header) continue;
      this.i32[(at + this.link) >> 2] = next;
      return;
    }
  }
  clear(): void {
    // What was never written is not touched: the host gives it no memory.
    for (let list = 0; list < this.heads.length; list++) if (this.heads[list] !== 0) this.heads[list] = 0;
  }
}
