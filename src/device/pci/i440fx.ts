/** Intel 82441FX host bridge, as far as firmware and drivers look: registers that store, and nothing behind them. */
import * as spec from '../../spec/pci.js';
import type { Bus } from '../bus/bus.js';
import { defineStorage } from './config-space.js';
import { PciFunction } from './function.js';

export function createHostBridge(bus: Bus): PciFunction {
  const bridge = new PciFunction(bus, {
    vendor: spec.VENDOR_INTEL,
    device: spec.DEVICE_I440FX,
    classCode: spec.CLASS_HOST_BRIDGE,
    revision: 2,
  });
  // @deviation memory attributes and SMRAM control are stored, but 0xa0000-0xfffff is always plain memory.
  defineStorage(bridge.config);
  for (let i = 0; i < spec.PAM_COUNT; i++) bridge.config.define(spec.PAM_FIRST + i, 1, 0, 0x33);
  bridge.config.define(spec.SMRAM_CONTROL, 1, 0x02, 0x78);
  return bridge;
}
