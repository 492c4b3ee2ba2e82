#!/usr/bin/env node
/** The `trapeze` program: streams, exit code, and every error as one sentence on standard error. */
import './flags.js';
import { readFileSync } from 'node:fs';
import { EXIT_CODE, TrapezeError } from '../base/errors.js';
import type { CommandHost } from './product.js';

const host: CommandHost = {
  input: process.stdin,
  output: process.stdout,
  errors: process.stderr,
  environment: process.env,
  product: async () => await import('../node.js'),
};

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** A reader that went away (`| head`) is no defect; run.ts ends the guest, elsewhere there is nothing left to say. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.on('uncaughtException', (error) => process.exit(report(error)));
process.on('unhandledRejection', (error) => process.exit(report(error)));

function report(error: unknown): number {
  if (error instanceof TrapezeError && error.code !== 'internal') {
    process.stderr.write(`trapeze: ${error.message}\n`);
    if (process.argv.includes('--json')) {
      const { code, message, exitCode } = error;
      process.stdout.write(`${JSON.stringify({ error: { code, message, exitCode } })}\n`);
    }
    return error.exitCode;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`trapeze: this is a defect of trapeze, please report it with the lines that follow\n${text}\n`);
  return EXIT_CODE.INTERNAL;
}

// The machine's thread takes longest to be there: it starts while this one learns what to run.
if (process.argv[2] === 'run')
  void import('../node-thread.js').then(
    ({ prepare }) => prepare(),
    () => {},
  );
const { runCommand } = await import('./program.js');
const exitCode = await runCommand(process.argv.slice(2), version(), host).catch(report);
// Output to a pipe may still be on its way; a Worker or an open terminal must not keep the process.
process.stdout.write('', () => process.exit(exitCode));
