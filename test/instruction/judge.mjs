// Runs random cases of every instruction form on our processor and on the host's, and collects what differs.

import { randomSource } from '../isa/forms.mjs';
import { writeCase } from './cases.mjs';
import { differences } from './compare.mjs';
import { formsOf } from './forms.mjs';
import { excluded, known } from './known.mjs';
import { REAL, RECORD, VIRTUAL } from './layout.mjs';
import { UserMachine } from './machine.mjs';
import { hostFlags, hostVendor, Native } from './native.mjs';
import { isSameInReal, RealMachine } from './real-machine.mjs';
import { isSameInVirtual, Virtual8086Machine } from './virtual-machine.mjs';

/** Cases that go to the native program together: starting a process costs more than running them. */
const BATCH = 2048;

export class Judge {
  constructor({ hotThreshold = 0 } = {}) {
    this.native = new Native();
    this.reason = this.native.reason;
    if (this.reason !== undefined) return;
    this.hotThreshold = hotThreshold;
    this.machine = new UserMachine(hotThreshold);
    this.virtual = new Virtual8086Machine();
    this.real = new RealMachine();
    /** Mode -> form -> cases. */
    this.seen = new Map();
    /** Mode and what differs -> { count, and the first case }. */
    this.failures = new Map();
    /** Reason -> cases. */
    this.explained = new Map();
    this.explainedCases = new Map();
    this.wrongCases = new Map();
    /** Mnemonic -> undefined flags that differ. */
    this.undefinedFlags = new Map();
    /** Vector -> cases. */
    this.traps = new Map();
  }

  formsOf(mode) {
    return this.seen.get(mode) ?? new Map();
  }

  counts(mode) {
    let cases = 0;
    for (const count of this.formsOf(mode).values()) cases += count;
    const explained = this.explainedCases.get(mode) ?? 0;
    return { forms: this.formsOf(mode).size, cases, explained, wrong: this.wrongCases.get(mode) ?? 0 };
  }

  run(mode, count, seed, only = /./) {
    const r = randomSource(seed * 977 + mode.bits);
    const forms = formsOf(mode.bits).filter(
      (form) => only.test(form.name) && excluded(form, hostFlags, hostVendor) === undefined,
    );
    if (forms.length === 0) return;
    const records = Buffer.alloc(BATCH * RECORD.SIZE);
    const view = new DataView(records.buffer, records.byteOffset, records.length);
    let cases = [];
    // All cases of a form together: they share the code that runs them.
    for (let n = 0; n < count; n++) {
      const form = forms[Math.floor((n * forms.length) / count)];
      for (let tries = 0; tries < 20; tries++) {
        const c = writeCase(view, cases.length * RECORD.SIZE, form, mode, r);
        if (c === undefined) continue;
        cases.push(c);
        break;
      }
      if (cases.length === BATCH) {
        this.judge(mode, records, cases);
        cases = [];
      }
    }
    this.judge(mode, records, cases);
  }

  judge(mode, records, cases) {
    if (cases.length === 0) return;
    const request = Buffer.from(records.subarray(0, cases.length * RECORD.SIZE));
    const answer = Buffer.from(request);
    const view = (buffer) => new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    const [before, ours, host] = [view(request), view(answer), view(records)];
    this.native.run(records, cases.length, mode.program);
    this.machine.prepare(before, cases);
    for (const [n, c] of cases.entries())
      this.compare(mode, this.machine, c, { before, ours, host, at: n * RECORD.SIZE });
    if (mode.bits !== 16 || this.hotThreshold > 0) return;
    for (const [other, machine, holds] of [
      [VIRTUAL, this.virtual, isSameInVirtual],
      [REAL, this.real, isSameInReal],
    ]) {
      machine.prepare(before, cases);
      for (const [n, c] of cases.entries()) {
        const at = n * RECORD.SIZE;
        if (!holds(c, before, host, at)) continue;
        request.copy(answer, at, at, at + RECORD.SIZE);
        // Selectors are not those of the records.
        records.copy(answer, at + RECORD.SELECTOR, at + RECORD.SELECTOR, at + RECORD.TRAP);
        this.compare(other, machine, c, { before, ours, host, at });
      }
    }
  }

  compare(mode, machine, c, { before, ours, host, at }) {
    const forms = this.seen.get(mode) ?? new Map();
    this.seen.set(mode, forms);
    forms.set(c.form, (forms.get(c.form) ?? 0) + 1);
    let found = [];
    try {
      machine.run(before, ours, at, c.code.length);
      found = differences(ours, host, before, at, c, (what, flags) => this.noteUndefined(c, what, flags));
    } catch (error) {
      found = [{ field: 'error', text: error.message }];
    }
    const trap = host.getUint32(at + RECORD.TRAP, true);
    if (machine === this.machine) this.traps.set(trap, (this.traps.get(trap) ?? 0) + 1);
    if (found.length === 0) return;
    const about = { c, before, ours, host, at, vendor: hostVendor };
    let unexplained = found.filter((one) => !this.isExplained({ ...about, ...one }));
    if (unexplained.length > 0 && this.answersOtherwise(c, before, host, at)) {
      this.explain('the host answered otherwise when it was asked again');
      found = differences(ours, host, before, at, c, () => {});
      unexplained = found.filter((one) => known({ ...about, ...one }) === undefined);
    }
    const map = unexplained.length > 0 ? this.wrongCases : this.explainedCases;
    map.set(mode, (map.get(mode) ?? 0) + 1);
    const record = Buffer.from(before.buffer, before.byteOffset + at, RECORD.SIZE);
    if (unexplained.length > 0) this.fail(mode, c, unexplained[0], record, trap);
  }

  /** Asks the host's processor once more, alone, and keeps what it says then. */
  answersOtherwise(c, before, host, at) {
    const again = Buffer.from(Buffer.from(before.buffer, before.byteOffset + at, RECORD.SIZE));
    this.native.run(again, 1, c.mode.program);
    const first = Buffer.from(host.buffer, host.byteOffset + at, RECORD.SIZE);
    const isOther = !again.equals(first);
    again.copy(first);
    return isOther;
  }

  /** What the manual leaves open and this processor does otherwise. */
  noteUndefined(c, what, flags) {
    if (what !== 'flags') {
      this.explain('x87 opcode and pointers are not kept while no exception is pending');
      return;
    }
    const name = c.insn.mnemonic;
    this.undefinedFlags.set(name, (this.undefinedFlags.get(name) ?? 0n) | flags);
  }

  explain(why) {
    this.explained.set(why, (this.explained.get(why) ?? 0) + 1);
  }

  isExplained(difference) {
    const why = known(difference);
    if (why !== undefined) this.explain(why);
    return why !== undefined;
  }

  fail(mode, c, { field, text }, record, trap) {
    const kind = field === 'vector' || field === 'error code' ? text : field;
    const name = `${mode.name} ${c.insn.mnemonic} ${kind}`;
    const entry = this.failures.get(name) ?? { count: 0, c, text, record, trap };
    entry.count++;
    this.failures.set(name, entry);
  }
}
