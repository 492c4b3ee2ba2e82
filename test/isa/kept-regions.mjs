// An archive of regions for tests: what it is given goes through the form that it has in a file, and its check.
import { inspect } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { isWellFormed } from '../../dist/engine/dbt/archived-region-check.js';
import { KnownBlocks } from '../../dist/engine/dbt/known-blocks.js';

export class KeptRegions {
  known = new KnownBlocks();
  archive = this;
  regions = new Map();

  has(signature) {
    return this.regions.has(signature);
  }
  *find(signature) {
    for (const bytes of this.regions.get(signature) ?? []) yield deserialize(bytes);
  }
  add(region, signatures) {
    const bytes = serialize(region);
    if (!isWellFormed(deserialize(bytes)))
      throw new Error(`not well-formed: ${inspect(region, { depth: 5, breakLength: 200 })}`);
    for (const signature of signatures) {
      this.regions.set(signature, [bytes, ...(this.regions.get(signature) ?? [])]);
      this.known.add(signature);
    }
  }
  weightOf() {
    return 0;
  }
  noteWeight() {}
}
