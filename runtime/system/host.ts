/** What the runtime imports from its host. */

/** TSC ticks of the VM's clock before TSC_OFFSET, as a whole number; never decreases. */
// @ts-ignore: decorator
@external("env", "clock")
export declare function clock(): f64;

/** A uniform unsigned 32-bit number, unpredictable to the guest. */
// @ts-ignore: decorator
@external("env", "random")
export declare function random(): f64;
