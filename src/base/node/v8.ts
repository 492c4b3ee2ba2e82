/** Flags of V8. */
import { setFlagsFromString } from 'node:v8';

/** That of Node 20 and 21. */
const OLD_V8 = 11;

/** Sets a flag that only the V8 of Node 20 and 21 knows: later ones would say so on standard error. */
export function setOldFlag(flag: string): void {
  if (Number.parseInt(process.versions.v8, 10) <= OLD_V8) setFlagsFromString(flag);
}
