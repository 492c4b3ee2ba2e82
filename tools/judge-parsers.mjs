// Damaged input for every parser of what comes from outside (test/parsers), for as long as asked, with a watch on each input:
// one that never ends is a failure like one that throws something other than a TrapezeError.
//   node tools/judge-parsers.mjs [--minutes 60] [--seed N] [--only TEXT]

import { parseArgs } from 'node:util';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const WATCH_MS = 1000;
/** Beyond the bound that tryInput sets: what does not come back at all. */
const HUNG_MS = 40_000;
/** Files get more time than texts, of which there are many thousand a second. */
const SLICE_MS = 3000;
const TEXT_SLICE_MS = 150;
/** Words of the shared page: number of the parser, its seed, inputs so far; then tried and refused by parser. */
const PARSER = 0;
const SEED = 1;
const INPUTS = 2;
const COUNTS = 4;
const MOST_FAILURES = 20;

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: String((Date.now() / 1000) & 0x3fffffff) },
    only: { type: 'string', default: '' },
  },
});

async function work({ page, until, base, only, round }) {
  const { PARSERS, tryInput } = await import('../test/parsers/fuzz.mjs');
  const { parentPort } = await import('node:worker_threads');
  for (; performance.timeOrigin + performance.now() < until; round++) {
    for (const [number, parser] of PARSERS.entries()) {
      if (!parser.name.includes(only)) continue;
      const end = performance.now() + (parser.isText ? TEXT_SLICE_MS : SLICE_MS);
      for (let n = 0; performance.now() < end; n++) {
        const seed = (base + round * 0x100000 + n) | 0;
        page[PARSER] = number;
        page[SEED] = seed;
        Atomics.add(page, INPUTS, 1);
        page[COUNTS + number * 2]++;
        try {
          if (!(await tryInput(parser, seed))) page[COUNTS + number * 2 + 1]++;
        } catch (error) {
          parentPort.postMessage(error.message);
        }
        // Sockets and messages get their turn.
        if (n % 16 === 0) await new Promise((done) => setImmediate(done));
      }
    }
  }
}

/** Runs until the end or until an input hangs; the problem, if any. */
function watched(page, data, onFailure) {
  return new Promise((resolve) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { ...data, page } });
    let last = -1;
    // Ticks, not time: this process may have stood still itself.
    let ticks = 0;
    const timer = setInterval(() => {
      const inputs = Atomics.load(page, INPUTS);
      if (inputs !== last) {
        last = inputs;
        ticks = 0;
      } else if (++ticks > HUNG_MS / WATCH_MS) {
        void worker.terminate();
      }
    }, WATCH_MS);
    worker.on('message', onFailure);
    worker.on('error', (error) => onFailure(`parser ${page[PARSER]}, seed ${page[SEED]}: ${error.stack}`));
    worker.on('exit', (code) => {
      clearInterval(timer);
      resolve(code);
    });
  });
}

async function main() {
  const { PARSERS } = await import('../test/parsers/fuzz.mjs');
  const page = new Int32Array(new SharedArrayBuffer(4 * (COUNTS + PARSERS.length * 2)));
  const until = Date.now() + Number(options.minutes) * 60_000;
  const base = Number(options.seed);
  console.log(`seed ${base}, ${PARSERS.length} parsers`);
  let failures = 0;
  const fail = (text) => {
    failures++;
    console.log(`FAILED ${text.slice(0, 2000)}`);
  };
  for (let start = 0; Date.now() < until && failures < MOST_FAILURES; start++) {
    const code = await watched(page, { until, base, only: options.only, round: start * 5000 }, fail);
    if (code === 0) break;
    fail(`${PARSERS[page[PARSER]].name}, seed ${page[SEED]}: did not come back`);
  }
  let total = 0;
  for (const [number, { name }] of PARSERS.entries()) {
    const [tried, refused] = [page[COUNTS + number * 2], page[COUNTS + number * 2 + 1]];
    total += tried;
    if (tried > 0)
      console.log(`${name.padEnd(28)} ${String(tried).padStart(9)} inputs ${String(refused).padStart(9)} refused`);
  }
  console.log(`${total} inputs for ${PARSERS.length} parsers in ${options.minutes} minutes, ${failures} failures`);
  process.exit(failures === 0 ? 0 : 1);
}

if (isMainThread) await main();
else {
  await work(workerData);
  process.exit(0);
}
