// Regions in which slices end are compiled once more while the guest runs, and replaced: programs do what the interpreter
// does, and code that changes meanwhile is not what runs afterwards.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompilerThread, SIGNS, serveRequests } from '../../dist/engine/dbt/compiler-thread.js';
import { call, DATA, jcc, PageMachine } from './page-machine.mjs';

const MAIN = 0x400000n;
const FUNCTION = 0x402000n;
const TURNS = 300_000n;
const IMMEDIATE = 'changed+3';

/** A loop over memory that calls a function in another page; both count, the function by what the immediate says. */
const PROGRAM = [
  [MAIN, ['main', 0x48, 0x01, 0x0f, call('function'), 0x48, 0xff, 0xc9, jcc(5, 'main'), 0xcc]], // add [rdi], rcx; ...; dec rcx
  [FUNCTION, ['function', 'changed', 0x48, 0x83, 0xc3, 1, 0x48, 0x31, 0xd8, 0xc3]], // add rbx, 1; xor rax, rbx; ret
];

/** A compiler whose messages are answered when the test says so, in this thread: it optimizes as one of its own would. */
class Answering {
  messages = [];
  answers = [];
  optimized = 0;

  start(memory) {
    const signs = new Int32Array(new SharedArrayBuffer(4 * SIGNS));
    const send = (answer) => {
      if ('numbers' in answer) this.optimized += answer.numbers.length;
      this.answers.push(answer);
    };
    this.serve = serveRequests(memory, { signs, send, choosesTiers: true });
    const thread = new CompilerThread(memory, {
      signs,
      post: (message) => this.messages.push(message),
      receive: () => this.answers.shift(),
      end: () => {},
    });
    // What is hot stays so, however long the clock of PageMachine says that it has waited.
    Object.defineProperty(thread, 'waitNs', { value: 1 });
    return thread;
  }
  answer() {
    for (const message of this.messages.splice(0)) this.serve(message);
  }
}

function machineWith(compiler) {
  const options = compiler === undefined ? {} : { startCompiler: (memory) => compiler.start(memory) };
  const machine = new PageMachine(compiler === undefined ? 0 : 1, true, options);
  machine.load(PROGRAM);
  return machine;
}
const begin = (machine) => machine.start({ gpr: { 1: TURNS, 7: DATA } });
/** The event loop turns, so that what V8 has compiled comes. */
const turn = () => new Promise((resolve) => setImmediate(resolve));
const change = (machine, value) => {
  const gpa = machine.gpaOf(machine.address(IMMEDIATE));
  machine.bytes[gpa] = value;
  machine.vcpu.written(gpa, 1);
};

/** Runs to the end; `between` is told the number of each slice. */
async function run(machine, compiler, between = () => {}) {
  begin(machine);
  for (let n = 0; n < 100_000; n++) {
    const exit = machine.slice();
    if (exit.kind === 'hlt') return machine.seen();
    assert.equal(exit.kind, 'preempted');
    compiler.answer();
    between(n);
    if (n % 8 === 0) await turn();
  }
  throw new Error('the program does not end');
}
function interpreted(...values) {
  const machine = machineWith(undefined);
  return values.map((value) => {
    change(machine, value);
    begin(machine);
    let exit = machine.slice({ sliceNs: 1e8 });
    while (exit.kind === 'preempted') exit = machine.slice({ sliceNs: 1e8 });
    assert.equal(exit.kind, 'hlt');
    return machine.seen();
  });
}

test('a region is replaced while the guest is in it, and goes on as the interpreter would', async () => {
  const compiler = new Answering();
  const machine = machineWith(compiler);
  const [expected] = interpreted(1);
  assert.deepEqual(await run(machine, compiler), expected);
  assert.ok(machine.regions['regions optimized'] > 0, 'better code has come');
  assert.deepEqual(await run(machine, compiler), expected, 'and does the same');
});

test('what was optimized of code that has changed meanwhile is not entered', async () => {
  const compiler = new Answering();
  const machine = machineWith(compiler);
  const [, expected] = interpreted(1, 5);
  await run(machine, compiler);
  // Made anew, asked for once more, and changed before V8's answer is taken.
  for (const value of [7, 5]) {
    change(machine, value);
    begin(machine);
    const before = compiler.optimized;
    for (let n = 0; n < 10_000 && compiler.optimized === before; n++) {
      machine.slice();
      compiler.answer();
      await turn();
    }
    assert.ok(compiler.optimized > before, 'it was compiled');
    change(machine, 5);
  }
  const replaced = machine.regions['regions optimized'];
  machine.vcpu.translator.advance(Infinity);
  assert.equal(machine.regions['regions optimized'], replaced, 'the region is gone');
  assert.deepEqual(await run(machine, compiler), expected);
});
