// A guest's serial console as tests see it: text that grows, and lines that are typed.

/** What our busybox image prints last before it reads a command; its shell also asks where the cursor is (ESC [6n). */
const PROMPT = /trapeze:\S*[#$] (?:\S\[6n)?$/;

export class GuestConsole {
  text = '';
  #waiting = new Set();
  #type;
  #ended;

  /** `type(text)` sends text to the guest. */
  constructor(type) {
    this.#type = type;
  }

  /** Bytes that came from the guest. */
  receive(bytes) {
    this.text += Buffer.from(bytes).toString('latin1');
    for (const check of this.#waiting) check();
  }

  /** No more will come; whoever waits is told the reason. */
  end(reason) {
    this.#ended ??= reason;
    for (const check of this.#waiting) check();
  }

  type(text) {
    this.#type(text);
  }

  /** Resolves with the match of `pattern` in what came since `from` (a position in `text`). */
  waitFor(pattern, timeoutMs, from = 0) {
    return new Promise((resolve, reject) => {
      const finish = (settle, value) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        settle(value);
      };
      const fail = (why) =>
        finish(reject, new Error(`${why} before ${pattern}; the console ends in: ${this.text.slice(-400)}`));
      const check = () => {
        const match = pattern.exec(from === 0 ? this.text : this.text.slice(from));
        if (match !== null) finish(resolve, match);
        else if (this.#ended !== undefined) fail(this.#ended);
      };
      const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs);
      this.#waiting.add(check);
      check();
    });
  }

  waitForShell(timeoutMs) {
    return this.waitFor(PROMPT, timeoutMs);
  }

  /** Runs one command line in the guest's shell; its output, without the echo and the kernel's own lines around it. */
  async run(command, timeoutMs) {
    const from = this.text.length;
    // The echo of the command shows the marks in two parts, so only the shell's output matches.
    this.type(`echo '@@be''gin'; ${command}; echo '@@e''nd' $?\n`);
    const [, output, status] = await this.waitFor(/@@begin\r?\n(.*?)@@end (\d+)/s, timeoutMs, from);
    await this.waitFor(PROMPT, timeoutMs, from);
    return { output: output.replaceAll('\r\n', '\n'), status: Number(status) };
  }
}
