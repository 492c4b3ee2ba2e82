import { CPU_BASE, RIP } from "../src/x86/state";
export function ping(): u64 { return load<u64>(CPU_BASE + RIP); }
