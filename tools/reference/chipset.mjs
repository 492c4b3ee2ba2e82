// A chipset as `trapeze run --debug-exit --debugcon 0xe9=…` has it, with a record of what it claims on its buses.
import { ManualClock } from '../../dist/base/clock.js';
import { MmioBus } from '../../dist/device/bus/mmio.js';
import { MsrBus } from '../../dist/device/bus/msr.js';
import { PioBus } from '../../dist/device/bus/pio.js';
import { createChipset } from '../../dist/machine/chipset.js';

const silent = { write() {} };

/** Runs `build` while the buses note every claim that is made and still stands. */
function recordClaims(build) {
  const claims = { pio: [], mmio: [], msr: [] };
  const buses = { pio: PioBus, mmio: MmioBus, msr: MsrBus };
  const originals = Object.entries(buses).map(([name, { prototype }]) => {
    const original = prototype.claim;
    prototype.claim = function claim(...values) {
      const entry = { values };
      claims[name].push(entry);
      const release = original.apply(this, values);
      return () => {
        claims[name].splice(claims[name].indexOf(entry), 1);
        release?.();
      };
    };
    return () => {
      prototype.claim = original;
    };
  });
  try {
    return { built: build(), claims };
  } finally {
    for (const restore of originals) restore();
  }
}

/** `more`: options of the chipset beside these. */
export function recordedChipset(more = {}) {
  const { built, claims } = recordClaims(() =>
    createChipset({
      clock: new ManualClock(),
      vcpus: 1,
      ramSizeBytes: 2 ** 29,
      wallClockMs: 0,
      events: { powerOff() {}, reset() {}, debugExit() {} },
      serial: [silent, silent],
      debugExit: true,
      debugConsole: { port: 0xe9, backend: silent },
      memory: { read: () => false, write: () => false },
      ...more,
    }),
  );
  const ports = claims.pio.map(({ values: [claim] }) => claim).sort((a, b) => a.first - b.first);
  const memory = claims.mmio.map(({ values: [claim] }) => claim).sort((a, b) => a.base - b.base);
  const msrs = claims.msr.map(({ values: [first, last] }) => ({ first, last }));
  return { chipset: built, ports, memory, msrs };
}
