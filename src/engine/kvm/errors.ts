/** What the kernel refuses, as one sentence. */
import { TrapezeError } from '../../base/errors.js';

export function needed(result: number, what: string): number {
  if (result >= 0) return result;
  throw new TrapezeError(
    'host-unsupported',
    `this host's /dev/kvm refused ${what} with error ${-result}; use --engine dbt`,
  );
}
