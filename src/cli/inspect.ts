/** `trapeze inspect translation|cpu|engines`: what the engine makes of an address, what processor the guest sees, what runs it. */
import { CPUID_FEATURES, type CpuidFeature } from '../spec/x86/cpuid.js';
import { CPU_BRAND, isOffered, WITHHELD_FEATURES } from '../x86/system/cpuid-profile.js';
import { type GuestOptions, openGuest } from './guest.js';
import type { CommandHost } from './product.js';

export interface InspectTranslationOptions extends GuestOptions {
  readonly memory: number;
  readonly json?: boolean;
}

export async function inspectTranslation(
  address: bigint,
  options: InspectTranslationOptions,
  host: CommandHost,
): Promise<number> {
  const guest = await openGuest(options, host);
  const product = await host.product();
  const report = await product.inspectTranslation(
    {
      kernel: guest.kernel,
      kernelName: guest.kernelName,
      modules: guest.modules,
      append: guest.append,
      memoryBytes: options.memory,
    },
    address,
  );
  const sections = Object.entries({ assembly: report.assembly, IR: report.ir, WebAssembly: report.wasm });
  host.output.write(
    options.json === true
      ? `${JSON.stringify({ address: `0x${address.toString(16)}`, ...report }, null, 2)}\n`
      : `${sections.map(([title, text]) => `== ${title} ==\n${text.trimEnd()}`).join('\n\n')}\n`,
  );
  return 0;
}

export async function inspectCpu(options: { readonly json?: boolean }, host: CommandHost): Promise<number> {
  const features = CPUID_FEATURES.map((feature) => ({
    name: feature.name,
    title: feature.title,
    cpuid: bitText(feature),
    offered: isOffered(feature),
    ...(isOffered(feature) ? {} : { reason: WITHHELD_FEATURES[feature.name] ?? 'not implemented' }),
  }));
  if (options.json === true) {
    host.output.write(`${JSON.stringify({ brand: CPU_BRAND, features }, null, 2)}\n`);
    return 0;
  }
  const width = Math.max(...features.map((feature) => feature.name.length));
  const titleWidth = Math.max(...features.map((feature) => feature.title.length));
  const lines = [CPU_BRAND, '', 'offered:'];
  for (const feature of features.filter(({ offered }) => offered)) {
    lines.push(`  ${feature.name.padEnd(width)}  ${feature.title.padEnd(titleWidth)}  ${feature.cpuid}`);
  }
  lines.push('', 'missing:');
  for (const feature of features.filter(({ offered }) => !offered)) {
    lines.push(`  ${feature.name.padEnd(width)}  ${feature.title.padEnd(titleWidth)}  ${feature.reason}`);
  }
  host.output.write(`${lines.join('\n')}\n`);
  return 0;
}

export async function inspectEngines(options: { readonly json?: boolean }, host: CommandHost): Promise<number> {
  const report = (await host.product()).inspectEngines();
  if (options.json === true) {
    host.output.write(`${JSON.stringify(report, null, 2)}\n`);
    return 0;
  }
  const lines: string[] = [];
  for (const { name, title, usable, problem, capabilities, speeds } of report.engines) {
    lines.push(`${name}: ${title}, ${usable ? 'usable' : `not usable: ${problem ?? 'unknown reason'}`}`);
    const width = Math.max(0, ...[...capabilities.map((c) => c.title), ...Object.keys(speeds)].map((t) => t.length));
    for (const { title: what, has } of capabilities) lines.push(`  ${what.padEnd(width)}  ${has ? 'yes' : 'no'}`);
    for (const [what, value] of Object.entries(speeds)) lines.push(`  ${what.padEnd(width)}  ${value.toFixed(1)}`);
  }
  lines.push('', `auto takes ${report.choice}: ${report.reason}`);
  host.output.write(`${lines.join('\n')}\n`);
  return 0;
}

/** As the manual writes it: CPUID.07H.0:EBX[3]. */
function bitText(feature: CpuidFeature): string {
  const leaf = feature.leaf.toString(16).toUpperCase().padStart(2, '0');
  const subleaf = feature.subleaf === 0 ? '' : `.${feature.subleaf}`;
  return `CPUID.${leaf}H${subleaf}:${feature.register.toUpperCase()}[${feature.bit}]`;
}
