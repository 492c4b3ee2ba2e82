/** Intel 82441FX host bridge, as far as firmware and drivers look: identity, attribute map, SMRAM control. */
import * as spec from '../../spec/pci.js';
import type { Bus } from '../bus/bus.js';
import { PciFunction } from './function.js';

export function createHostBridge(bus: Bus): PciFunction {
  const bridge = new PciFunction(bus, {
    vendor: spec.VENDOR_INTEL,
    device: spec.DEVICE_I440FX,
    classCode: spec.CLASS_HOST_BRIDGE,
    revision: 2,
  });
  // @deviation the attributes are stored, but 0xc0000-0xfffff is always plain memory.
  for (let i = 0; i < spec.PAM_COUNT; i++) bridge.config.define(spec.PAM_FIRST + i, 1, 0, 0x33);
  bridge.config.define(spec.SMRAM_CONTROL, 1, 0x02, 0x78);
  return bridge;
}
