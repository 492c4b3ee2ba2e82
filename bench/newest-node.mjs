/** The newest Node that npm's package "node" gives, kept in the cache. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { npmInstall } from './v86.mjs';

export function newestNode() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const directory = join(cache, 'trapeze/bench/node');
  const program = join(directory, 'node_modules/node/bin/node');
  if (!existsSync(program)) {
    console.error('bench: installing node from npm into the cache');
    npmInstall(directory, 'node');
  }
  return program;
}
