// One input of one parser, and what it may do: take it, or refuse it with one sentence, soon.
import { TrapezeError } from '../../dist/base/errors.js';
import { TEXT_PARSERS } from './command-line.mjs';
import { IMAGE_PARSERS } from './images.mjs';
import { MACHINE_PARSERS } from './machines.mjs';
import { randomSource } from './mutate.mjs';
import { SERVER_PARSERS } from './server.mjs';

export const PARSERS = [...IMAGE_PARSERS, ...MACHINE_PARSERS, ...TEXT_PARSERS, ...SERVER_PARSERS];
/** The longest that any input may take, of the processor's time: others may have it meanwhile. */
export const ANSWER_MS = 10_000;

/** true: taken, false: refused. Throws, with the seed that brings it back, for everything else. */
export async function tryInput(parser, seed) {
  const random = randomSource(seed);
  const input = await parser.input(random);
  const started = process.cpuUsage();
  let taken = true;
  try {
    await parser.run(input, random);
  } catch (error) {
    const name = `${parser.name}, seed ${seed}`;
    if (!(error instanceof TrapezeError)) throw new Error(`${name}: ${error?.stack ?? error}`, { cause: error });
    if (error.code === 'internal') throw new Error(`${name}: ${error.stack}`, { cause: error });
    if (!/^[^\n]{10,600}$/.test(error.message))
      throw new Error(`${name}: no sentence: ${error.message.slice(0, 300)}`, { cause: error });
    taken = false;
  }
  const { user, system } = process.cpuUsage(started);
  const took = (user + system) / 1000;
  if (took > ANSWER_MS) throw new Error(`${parser.name}, seed ${seed}: took ${took.toFixed(0)} ms`);
  return taken;
}
