/**
 * The typed errors of the public API. Every one carries a stable `code` for programs, the exit code the command ends
 * with, and a message of one sentence for people: what is wrong, with which input, and what to do about it.
 */

/** Exit codes of the command; `timeout(1)`'s number for a timeout. */
export const EXIT_CODE = {
  POWER_OFF: 0,
  INTERNAL: 1,
  BAD_INPUT: 2,
  RESET: 4,
  TIMEOUT: 124,
} as const;

export type ErrorCode =
  /** A guest file is truncated, foreign, damaged or asks for what this machine does not have. */
  | 'bad-image'
  /** A saved state is truncated, damaged, of another version, or of another machine than the one asked for. */
  | 'bad-state'
  /** The guest's files do not fit into the guest's memory. */
  | 'out-of-memory'
  /** The command or an option of the API was used wrongly. */
  | 'bad-usage'
  /** A host file cannot be read or written. */
  | 'host-file'
  /** A guest image cannot be fetched, unpacked or found in the cache. */
  | 'image-source'
  /** The JavaScript host lacks something the machine needs. */
  | 'host-unsupported'
  /** The running guest cannot go on under the engine asked for. */
  | 'engine-switch'
  /** A defect of this program. */
  | 'internal';

export class TrapezeError extends Error {
  readonly code: ErrorCode;
  readonly exitCode: number;

  constructor(code: ErrorCode, message: string, exitCode: number = EXIT_CODE.BAD_INPUT, options?: ErrorOptions) {
    super(oneLine(message), options);
    this.name = new.target.name;
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** Messages quote file names, arguments and what other programs say: none of that starts a line or moves a cursor. */
function oneLine(message: string): string {
  return message.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ');
}

/** A kernel or module that cannot be loaded. */
export class BadImageError extends TrapezeError {
  constructor(message: string, options?: ErrorOptions) {
    super('bad-image', message, EXIT_CODE.BAD_INPUT, options);
  }
}

/** A saved state that cannot be loaded. */
export class StateError extends TrapezeError {
  constructor(message: string, options?: ErrorOptions) {
    super('bad-state', message, EXIT_CODE.BAD_INPUT, options);
  }
}

/** The guest's memory is too small; `requiredBytes` would be enough, where that can be known. */
export class OutOfMemoryError extends TrapezeError {
  readonly requiredBytes: number | undefined;

  constructor(message: string, requiredBytes?: number) {
    super('out-of-memory', message);
    this.requiredBytes = requiredBytes;
  }
}

/** A wrong argument, option value or combination. */
export class UsageError extends TrapezeError {
  constructor(message: string, options?: ErrorOptions) {
    super('bad-usage', message, EXIT_CODE.BAD_INPUT, options);
  }
}

/** A file of the host that cannot be read or written. */
export class HostFileError extends TrapezeError {
  constructor(message: string, options?: ErrorOptions) {
    super('host-file', message, EXIT_CODE.BAD_INPUT, options);
  }
}

/** A guest image that cannot be had. */
export class ImageSourceError extends TrapezeError {
  constructor(message: string, options?: ErrorOptions) {
    super('image-source', message, EXIT_CODE.BAD_INPUT, options);
  }
}

/** The running guest cannot go on under the engine asked for; `missing` names what that engine lacks on this host. */
export class EngineSwitchError extends TrapezeError {
  readonly missing: readonly string[];

  constructor(engine: string, missing: readonly string[]) {
    const what = missing.join(', ');
    super('engine-switch', `the guest cannot go on under engine ${engine} of this host, which lacks: ${what}`);
    this.missing = missing;
  }
}
