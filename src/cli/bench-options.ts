/** Options of `trapeze bench costs`: text to typed values. */
import { UsageError } from '../base/errors.js';
import { COSTS, type Cost } from '../bench/costs.js';
import { quote } from './options.js';

export type BenchEngine = 'dbt' | 'kvm';

export interface BenchCostsOptions {
  readonly engine: BenchEngine | 'all';
  readonly only?: readonly Cost[];
  readonly rounds: number;
  readonly json?: boolean;
}

const MAX_ROUNDS = 1000;

export function parseCostsEngine(text: string): BenchCostsOptions['engine'] {
  if (text === 'dbt' || text === 'kvm' || text === 'all') return text;
  throw new UsageError(`--engine ${quote(text)} does not exist; use dbt, kvm, or all for those that work on this host`);
}

export function parseCosts(text: string): Cost[] {
  const names = text.split(',');
  const unknown = names.find((name) => !COSTS.some((cost) => cost.name === name));
  if (unknown !== undefined) {
    const known = COSTS.map(({ name }) => name).join(', ');
    throw new UsageError(`--only: there is no operation ${quote(unknown)}; there are ${known}`);
  }
  return COSTS.filter(({ name }) => names.includes(name));
}

export function parseRounds(text: string): number {
  const rounds = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (rounds >= 1 && rounds <= MAX_ROUNDS) return rounds;
  throw new UsageError(`--rounds ${quote(text)} is not a number of rounds; give one from 1 to ${MAX_ROUNDS}`);
}
