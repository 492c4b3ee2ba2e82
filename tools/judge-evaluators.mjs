// Compares the interpreter and the translator with the slow evaluator on random instructions and random programs with
// loops and faults, in 64- and 32-bit code.
//   node tools/judge-evaluators.mjs [--count N] [--seed S] [--show N] [--programs]
import { parseArgs } from 'node:util';
import { compareCases } from '../test/isa/agreement.mjs';

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '5000' },
    seed: { type: 'string', default: '1' },
    show: { type: 'string', default: '10' },
    programs: { type: 'boolean', default: false },
  },
});

const { compared, wrong } = compareCases(Number(options.count), Number(options.seed), options.programs);
for (const text of wrong.slice(0, Number(options.show))) console.log(text);
console.log(`judge-evaluators: ${compared} compared, ${wrong.length} differ`);
process.exitCode = wrong.length > 0 ? 1 : 0;
