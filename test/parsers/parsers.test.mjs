// Every parser of what comes from outside of the host's own program, with damaged input: `npm run judge -- parsers` goes on
// for an hour.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PARSERS, tryInput } from './fuzz.mjs';

const SECONDS = Number(process.env.PARSER_SECONDS ?? 0.3);
const MOST = 2000;

for (const parser of PARSERS) {
  test(`damaged input: ${parser.name}`, { timeout: (SECONDS + 60) * 1000 }, async (t) => {
    const until = performance.now() + SECONDS * 1000;
    let tried = 0;
    let refused = 0;
    for (; tried < 3 || (tried < MOST && performance.now() < until); tried++) {
      if (!(await tryInput(parser, 1 + tried))) refused++;
    }
    t.diagnostic(`${tried} inputs, ${refused} refused`);
    assert.ok(tried > 0);
  });
}
